"""A bundle of an image: what RAUC finds in it, who has signed it, and that it is there whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from evidence.certificates import Role, holder_of, load_certificate
from evidence.release import Release
from provisioning import stock_programs
from provisioning.authority import AuthorityFolder
from provisioning.bundles.making import make_bundle
from provisioning.card.image import ImageChangedError, NotAnImageError
from provisioning.placing import WouldOverwriteError
from provisioning.stock_programs import ProgramFailedError, ProgramMissingError
from tests.bundles import RELEASE, make_root, put_root, rauc_manifest, update_image
from tests.cards import BOOT, FIRST, ROOT, run
from tests.unit.provisioning.bundles.conftest import checked, now


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def records_of(authority: AuthorityFolder) -> list[Path]:
    """Return the certificates of all signers of the older release."""
    return sorted(authority.bundles.glob(f"*{RELEASE}*"))


def images_in(bundle: Path, into: Path) -> dict[str, bytes]:
    """Return what is in a bundle by the stock program, which needs no RAUC: its beginning is a squashfs."""
    run("unsquashfs", "-quiet", "-no-progress", "-dest", str(into), str(bundle))
    return {path.name: path.read_bytes() for path in into.iterdir()}


def test_a_bundle_has_slot_a_of_the_image_cut_to_its_own_bytes(
    place: Path, authority: AuthorityFolder, tmp_path: Path
) -> None:
    root = make_root(tmp_path / "root").read_bytes()
    put_root(place / "older.img", root)  # behind it stands what the image had there before
    make_bundle(checked(place / "older.img"), authority, tmp_path / "into", now())
    bundle = tmp_path / "into" / f"mirrorcam-debian-{RELEASE}.raucb"
    image = (place / "older.img").read_bytes()
    found = images_in(bundle, tmp_path / "content")
    assert set(found) == {"boot.vfat", "root.squashfs", "manifest.raucm"}
    assert found["boot.vfat"] == image[FIRST + BOOT : FIRST + 2 * BOOT]
    assert found["root.squashfs"] == root
    for content in (found["boot.vfat"], root):
        assert f"sha256={hashlib.sha256(content).hexdigest()}" in rauc_manifest(bundle)


def test_its_manifest_says_release_compatible_and_the_form(older: Path) -> None:
    manifest = rauc_manifest(older)
    assert f"compatible=mirrorcam-debian\nversion={RELEASE}\n" in manifest
    assert "format=verity" in manifest
    assert "[image.boot]" in manifest
    assert "[image.rootfs]" in manifest


def test_rauc_takes_it_by_the_authoritys_certificate(place: Path, older: Path, tmp_path: Path) -> None:
    config = tmp_path / "system.conf"
    config.write_text(
        f"[system]\ncompatible=mirrorcam-debian\nbootloader=noop\n"
        f"[keyring]\npath={place}/town/authority.crt\ncheck-purpose=codesign\nuse-bundle-signing-time=true\n"
    )
    run("rauc", "--conf", str(config), "info", str(older))


def test_its_signer_was_certified_for_this_release_and_for_signing_code_alone(authority: AuthorityFolder) -> None:
    (record,) = records_of(authority)
    certificate = load_certificate(record)
    assert record.name == f"mirrorcam-debian-{RELEASE}-{certificate.serial_number:x}.crt"
    assert holder_of(certificate).role is Role.UPDATE_SIGNER
    assert holder_of(certificate).name == Release.parse(RELEASE).name
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CODE_SIGNING]
    authority.authority().check(certificate, Role.UPDATE_SIGNER, now())


def test_a_second_run_finds_it_and_changes_nothing(place: Path, authority: AuthorityFolder, older: Path) -> None:
    before = older.read_bytes()
    setup = make_bundle(checked(place / "older.img"), authority, place, now())
    assert [step.is_new for step in setup.steps] == [False]
    assert older.read_bytes() == before


def test_made_again_elsewhere_it_names_the_signer_of_before_and_keeps_its_certificate(
    place: Path, authority: AuthorityFolder, older: Path, tmp_path: Path
) -> None:
    (record,) = records_of(authority)
    before = record.read_bytes()
    setup = make_bundle(checked(place / "older.img"), authority, tmp_path / "into", now())
    assert record.read_bytes() == before
    assert len(records_of(authority)) == 2
    (found,) = [step for step in setup.steps if not step.is_new]
    assert found.path == record
    assert found.purpose.startswith("an earlier signer of this release;")
    assert older.read_bytes() != (tmp_path / "into" / older.name).read_bytes()


def test_one_that_is_not_whole_any_more_is_to_be_removed_by_hand(
    place: Path, authority: AuthorityFolder, older: Path
) -> None:
    rotten = bytearray(older.read_bytes())
    rotten[len(rotten) // 3] ^= 1
    older.write_bytes(rotten)
    with pytest.raises(WouldOverwriteError, match="so remove it, and call this again; nothing was changed"):
        make_bundle(checked(place / "older.img"), authority, place, now())
    assert older.read_bytes() == rotten


def test_one_of_another_image_of_the_same_release_is_not_overwritten(
    place: Path, authority: AuthorityFolder, older: Path
) -> None:
    before = older.read_bytes()
    put_root(place / "older.img", make_root(place / "root").read_bytes())
    with pytest.raises(WouldOverwriteError, match="another image of the same release"):
        make_bundle(checked(place / "older.img"), authority, place, now())
    assert older.read_bytes() == before


@pytest.mark.parametrize("says", ["", "0.1.0\n", "release=0.1.0\ncompatible=mirrorcam-debian\n"])
def test_an_image_whose_root_names_no_release_is_refused(tmp_path: Path, authority: AuthorityFolder, says: str) -> None:
    image = update_image(tmp_path / "a.img", says=says)
    with pytest.raises(NotAnImageError, match="its root names no release in /etc/mirrorcam-release"):
        make_bundle(checked(image), authority, tmp_path / "into", now())
    assert files_of(tmp_path / "into") == set()


@pytest.mark.parametrize("content", [b"", b"hsqs", b"hsqs" + bytes(36) + b"\xff" * 8, b"\xa5" * 4096])
def test_an_image_without_a_squashfs_in_its_slot_is_refused(
    place: Path, authority: AuthorityFolder, tmp_path: Path, content: bytes
) -> None:
    put_root(place / "older.img", content.ljust(ROOT, b"\0"))
    with pytest.raises(NotAnImageError, match="holds no squashfs"):
        make_bundle(checked(place / "older.img"), authority, tmp_path / "into", now())


def test_an_image_that_changes_while_it_is_read_makes_no_bundle(
    place: Path, authority: AuthorityFolder, tmp_path: Path
) -> None:
    image = checked(place / "older.img")
    with image.path.open("r+b") as file:
        file.seek(FIRST + 3 * BOOT + 5000)
        file.write(b"x")
    with pytest.raises(ImageChangedError):
        make_bundle(image, authority, tmp_path / "into", now())
    assert files_of(tmp_path / "into") == set()


def test_where_rauc_fails_nothing_is_left(
    place: Path, authority: AuthorityFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "bin"
    failing.mkdir()
    (failing / "rauc").write_text("#!/bin/sh\necho 'Failed to create bundle' >&2\nexit 1\n")
    (failing / "rauc").chmod(0o755)
    monkeypatch.setitem(stock_programs._QUIET, "PATH", f"{failing}:{stock_programs._QUIET['PATH']}")
    monkeypatch.setenv("PATH", f"{failing}:{os.environ['PATH']}")
    with pytest.raises(ProgramFailedError, match="Failed to create bundle"):
        make_bundle(checked(place / "older.img"), authority, tmp_path / "into", now())
    assert files_of(tmp_path / "into") == set()


def test_without_rauc_it_says_what_to_install(
    place: Path, authority: AuthorityFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stock_programs._QUIET, "PATH", str(tmp_path))
    with pytest.raises(ProgramMissingError, match="apt install rauc"):
        make_bundle(checked(place / "older.img"), authority, tmp_path / "into", now())


SLOW = """#!/bin/sh
case "$*" in *bundle*) cp "${2#--key=}" "$SEEN/key"; touch "$SEEN/ready"; sleep 60;; esac
"""


def test_killed_in_the_middle_it_leaves_no_key_and_no_bundle_and_the_next_run_tidies_up(
    place: Path, authority: AuthorityFolder, tmp_path: Path
) -> None:
    slow, into = tmp_path / "bin", tmp_path / "into"
    slow.mkdir()
    (slow / "rauc").write_text(SLOW)
    (slow / "rauc").chmod(0o755)
    program = (
        "import os; from provisioning import stock_programs; quiet = stock_programs._QUIET; "
        f"quiet.update(PATH='{slow}:' + quiet['PATH'], SEEN=os.environ['SEEN']); os.environ['PATH'] = quiet['PATH']; "
        "from provisioning.cli import main; main()"
    )
    command = ("bundle", "make", str(place / "older.img"), "--authority", str(authority.path), "--into", str(into))
    with subprocess.Popen(
        [sys.executable, "-c", program, *command],
        env={**os.environ, "SEEN": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    key = (tmp_path / "key").read_bytes()
    assert b"PRIVATE KEY" in key
    line = key.splitlines()[1]
    left = [path for folder in (into, authority.path) for path in folder.rglob("*") if path.is_file()]
    assert left
    assert not any(line in path.read_bytes() for path in left)
    assert not any(name.endswith(".raucb") for name in files_of(into))
    earlier = records_of(authority)
    setup = make_bundle(checked(place / "older.img"), authority, into, now())
    assert files_of(into) == {f"mirrorcam-debian-{RELEASE}.raucb"}
    assert [step.path for step in setup.steps if not step.is_new] == earlier
    assert set(earlier) < set(records_of(authority))
