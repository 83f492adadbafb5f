"""The command `mirrorcam-clip`: what it prints, how it ends, what it leaves, and that no secret is in any of it."""

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from evidence import manifest as manifests
from evidence.age import X25519Identity, seal_bytes
from evidence.strict import write_json
from tests.clips import Case, call, cut_case, frames_before_the_cut, make_case, open_it


def verify(sealed: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    return call("verify", sealed, "--authority", sealed.with_name("authority.crt"), *more)


# inspect


@pytest.mark.parametrize("ending", ["", ".mp4.age", ".json", ".json.sig"])
def test_a_clip_is_found_by_any_of_its_names(case: Case, ending: str) -> None:
    clip = case.clips[1]
    shown = call("inspect", clip.sealed_file.with_name(clip.clip_id + ending))
    assert shown.returncode == 0, shown.stderr
    assert f"Clip              {clip.clip_id}" in shown.stdout
    assert "unit unit-1, worn by wearer-7, its clip number 2" in shown.stdout
    assert "1 of kind X25519" in shown.stdout
    assert str(case.unit.identity.recipient) in shown.stdout
    assert "there, as the manifest says" in shown.stdout


def test_a_sealed_file_alone_is_inspected_as_far_as_it_goes(copied: Path) -> None:
    alone = copied.with_name("somebody-called-it-so.age")
    copied.rename(alone)
    shown = call("inspect", alone)
    assert shown.returncode == 0, shown.stderr
    assert "none beside it" in shown.stdout
    assert "not known without a manifest or a key" in shown.stdout


def test_a_clip_that_was_cut_since_shows_in_its_inspection(copied: Path) -> None:
    os.truncate(copied, copied.stat().st_size - 100)
    assert "the file has 100 bytes fewer than its manifest says" in call("inspect", copied).stdout


# verify


def test_a_genuine_clip_verifies_and_what_was_not_checked_is_said(copied: Path) -> None:
    done = verify(copied)
    assert done.returncode == 0, done.stderr
    assert "is genuine" in done.stdout
    assert "unit unit-1 signed the manifest" in done.stdout
    assert "--previous" in done.stdout
    assert "--receipt" in done.stdout


def test_everything_that_can_be_checked_is_checked_when_given(case: Case, copied: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(write_json(case.receipt(case.clips[1])))
    before = case.clips[0].manifest_file
    revocations = case.folder / "revocations.pem"
    done = verify(copied, "--previous", before, "--receipt", receipt, "--revocations", revocations)
    assert done.returncode == 0, done.stderr
    assert f"it follows clip {case.clips[0].clip_id}, sequence 1" in done.stdout
    assert "dock dock-1 stored it" in done.stdout
    assert "Not checked" not in done.stdout


def test_the_certificate_is_found_as_an_authoritys_folder_has_it(copied: Path) -> None:
    (copied.parent / "units").mkdir()
    copied.with_name("unit.crt").rename(copied.parent / "units/unit-1.crt")
    assert verify(copied).returncode == 0


def test_a_missing_certificate_is_asked_for(copied: Path) -> None:
    copied.with_name("unit.crt").unlink()
    done = verify(copied)
    assert done.returncode == 5
    assert "give the unit's certificate with --unit-certificate" in done.stderr


def test_a_file_that_does_not_fit_is_named_with_exit_code_3(case: Case, copied: Path, tmp_path: Path) -> None:
    other = case.clips[0]
    wrong = tmp_path / "wrong.json"
    wrong.write_bytes(write_json(case.receipt(other)))
    alien = case.unit.pki.unit("unit-2").certificate_pem
    (tmp_path / "alien.crt").write_bytes(alien)
    for arguments, sentence in (
        (("--previous", copied.with_suffix("").with_suffix(".json")), "which was used before"),
        (("--receipt", wrong), "The dock's receipt for clip"),
        (("--unit-certificate", tmp_path / "alien.crt"), "The signature of this manifest does not fit"),
        (("--unit-certificate", case.authority), "it names no Mirrorcam role"),
    ):
        done = verify(copied, *arguments)
        assert done.returncode == 3, arguments
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert "genuine" not in done.stdout


def test_a_receipt_that_no_dock_of_this_authority_signed_is_refused(case: Case, copied: Path, tmp_path: Path) -> None:
    good = case.receipt(case.clips[1])
    by_a_unit = msgspec.structs.replace(
        good, signature=case.signer.signer().sign(good.content), certificate=case.signer.certificate_pem
    )
    by_another_dock = case.unit.pki.dock_signer("dock-2").signer().signed(good.content)
    later = msgspec.structs.replace(good, content=good.content.replace(b'"entries": 7', b'"entries": 8'))
    path = tmp_path / "receipt.json"
    for receipt, sentence in (
        (by_a_unit, "its role is unit, not dock-signer"),
        (by_another_dock, "has another dock_id than the clip"),
        (later, "The signature of this receipt does not fit"),
    ):
        path.write_bytes(write_json(receipt))
        done = verify(copied, "--receipt", path)
        assert done.returncode == 3
        assert sentence in done.stderr


def test_the_manifest_of_another_clip_is_refused(case: Case, copied: Path) -> None:
    other = case.clips[0]
    base = copied.name.removesuffix(".mp4.age")
    shutil.copy(other.manifest_file, copied.with_name(f"{base}.json"))
    shutil.copy(other.signature_file, copied.with_name(f"{base}.json.sig"))
    done = verify(copied)
    assert done.returncode == 3
    assert f"is the one of clip {other.clip_id}" in done.stderr


def test_another_recording_under_a_clips_name_is_refused(case: Case, copied: Path) -> None:
    shutil.copy(case.clips[0].sealed_file, copied)
    done = verify(copied)
    assert done.returncode == 3
    assert "is not what its manifest says" in done.stderr


def test_a_clip_of_another_authority_is_refused(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    foreign = make_case(tmp_path_factory.mktemp("foreign"), clips=1, seconds=1)
    shutil.copy(foreign.authority, copied.with_name("authority.crt"))
    done = verify(copied)
    assert done.returncode == 3
    assert "another authority issued it" in done.stderr


def test_a_revoked_units_clip_is_refused_with_the_list(case: Case, copied: Path) -> None:
    pki = replace(case.unit.pki, _revoked=[])
    pki._key, pki.certificate = case.unit.pki._key, case.unit.pki.certificate
    pki.revoke(case.signer)
    (copied.parent / "revoked.pem").write_bytes(pki.revocations_pem())
    done = verify(copied, "--revocations", copied.parent / "revoked.pem")
    assert done.returncode == 3
    assert "it was revoked on" in done.stderr
    assert verify(copied).returncode == 0


@pytest.mark.parametrize("ending", [".mp4.age", ".json", ".json.sig"])
def test_a_missing_file_of_the_clip_is_named(copied: Path, ending: str) -> None:
    missing = copied.with_name(copied.name.removesuffix(".mp4.age") + ending)
    missing.unlink()
    done = verify(copied)
    assert done.returncode == 5
    assert f"{missing} is missing" in done.stderr


def test_a_clip_that_lost_its_end_with_the_power_is_genuine_and_told_apart(tmp_path: Path) -> None:
    case = cut_case(tmp_path)
    (clip,) = case.clips
    done = call("verify", clip.sealed_file, "--authority", case.authority)
    assert done.returncode == 0, done.stderr
    assert "Its end is missing, as its unit states: power-lost." in done.stdout
    assert "missing, as the manifest says (power-lost)" in call("inspect", clip.sealed_file).stdout
    assert open_it(clip.sealed_file, case.key, tmp_path / "clip.mp4")[0] == 3
    assert frames_before_the_cut(tmp_path / "clip.mp4") > 0


def test_a_reader_who_is_not_in_the_manifest_is_noticed(tmp_path: Path) -> None:
    case = make_case(tmp_path, clips=1, seconds=1)
    (clip,) = case.clips
    stranger = X25519Identity.generate()
    film = case.unit.open(clip)
    clip.sealed_file.write_bytes(seal_bytes(film, [case.unit.identity.recipient, stranger.recipient]))
    sealed = clip.sealed_file.read_bytes()
    changed = msgspec.structs.replace(
        clip.manifest, ciphertext_bytes=len(sealed), ciphertext_sha256=hashlib.sha256(sealed).hexdigest()
    )
    clip.manifest_file.write_bytes(manifests.encode(changed))
    clip.signature_file.write_bytes(case.signer.signer().sign(manifests.encode(changed)))
    done = call("verify", clip.sealed_file, "--authority", case.authority)
    assert done.returncode == 3
    assert "it is sealed to 2 recipients, not to 1" in done.stderr


def test_what_a_manifest_says_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    case = make_case(tmp_path, clips=1, seconds=1)
    (clip,) = case.clips
    clip.manifest_file.write_bytes(manifests.encode(msgspec.structs.replace(clip.manifest, wearer="[/] [red]x[/red]")))
    shown = call("inspect", clip.sealed_file)
    assert shown.returncode == 0, shown.stderr
    assert "worn by [/] [red]x[/red]," in shown.stdout


def test_a_document_without_end_is_refused_and_not_read_to_its_end(case: Case, copied: Path) -> None:
    done = verify(copied, "--previous", "/dev/zero")
    assert done.returncode == 3
    assert "it is larger than 1048576 bytes" in done.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "does not begin with age-encryption.org/v1"),
        (b"\x00\x00\x00\x1cftypiso5", "does not begin with age-encryption.org/v1"),
        (b"age-encryption.org/v1\n-> X25519", "ends inside its header"),
        (b"age-encryption.org/v1\n" + b"-> grease a\n\n" * 6000, "more than the 65536 bytes"),
    ],
)
def test_what_is_no_sealed_clip_is_refused_by_inspect_and_open(
    case: Case, tmp_path: Path, content: bytes, sentence: str
) -> None:
    sealed = tmp_path / "x.mp4.age"
    sealed.write_bytes(content)
    for done in (call("inspect", sealed), call("open", sealed, "--identity", case.key, "--output", tmp_path / "o")):
        assert done.returncode == 3
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


# How it is used


@pytest.mark.parametrize(
    "arguments", [(), ("open", "x"), ("verify", "x"), ("inspect",), ("open", "x", "--passphrase", "secret")]
)
def test_wrong_usage_ends_with_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).returncode == 2


def test_every_example_in_the_help_is_a_command_with_options_that_exist() -> None:
    pages = [call("--help").stdout, *(call(name, "--help").stdout for name in ("inspect", "verify", "open"))]
    examples = [line.split() for page in pages for line in page.splitlines() if line.strip().startswith("mirrorcam-")]
    assert len(examples) >= 7
    for _, name, *rest in examples:
        help_page = call(name, "--help").stdout
        assert all(word in help_page for word in rest if word.startswith("--"))


def test_a_file_name_or_certificate_that_would_command_the_terminal_does_not(copied: Path) -> None:
    strange = copied.with_name("\x1b]0;owned\x07\x1b[2J:x:.mp4.age")
    found = call("verify", strange, "--authority", copied.with_name("authority.crt"))
    assert found.returncode == 5
    assert "\N{REPLACEMENT CHARACTER}]0;owned\N{REPLACEMENT CHARACTER}" in found.stderr
    assert ":x:.mp4.age is missing" in found.stderr
    assert "\x1b" not in found.stderr
