"""A dock offers a bundle that its authority has signed: whole, not older than the one before, with room for it."""

import os
import shutil
from pathlib import Path

import pytest

from dock_station.settings import DockFolder
from evidence.docking import UpdateOffer
from provisioning.authority import AuthorityFolder
from provisioning.bundles import making, publishing
from provisioning.bundles.making import make_bundle
from provisioning.bundles.publishing import (
    NoRoomError,
    OfferUnusableError,
    OlderBundleError,
    SameReleaseError,
    publish_bundle,
    withdraw_bundle,
)
from provisioning.bundles.reading import BundleRefusedError
from provisioning.dock import NotADockError, OtherAuthorityError
from provisioning.units import revoke_unit
from tests.bundles import NEWER, RELEASE, update_image
from tests.cards import run
from tests.unit.provisioning.bundles.conftest import checked, new_dock, new_town, now


def offer_of(dock: DockFolder) -> UpdateOffer | None:
    """Return what is offered, after a look at whether its bundle is the one that it says."""
    offer = dock.updates.offer()
    if offer:
        content = dock.updates.bundle(offer.sha256).read_bytes()
        assert len(content) == offer.bytes
    return offer


def files_of(dock: DockFolder) -> set[str]:
    return {path.name for path in dock.updates.path.iterdir()}


def release_of(dock: DockFolder) -> str | None:
    offer = offer_of(dock)
    return offer.release if offer else None


def test_a_bundle_is_offered_with_its_size_and_digest(
    authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    publish_bundle(older, authority, dock, now())
    offer = offer_of(dock)
    assert offer
    assert run("sha256sum", str(older)).decode().startswith(offer.sha256)
    assert (offer.release, offer.compatible) == (RELEASE, "mirrorcam-debian")
    assert files_of(dock) == {"offer.json", "bundles.txt", f"{offer.sha256}.raucb"}


def test_a_second_run_finds_the_offer(authority: AuthorityFolder, dock: DockFolder, older: Path) -> None:
    publish_bundle(older, authority, dock, now())
    before = files_of(dock)
    setup = publish_bundle(older, authority, dock, now())
    assert [(step.path.name, step.is_new) for step in setup.steps][1:] == [("offer.json", False)]
    assert files_of(dock) == before


@pytest.mark.parametrize("rotten", [b"", b"rotten", None])
def test_a_bundle_that_has_rotted_or_gone_in_the_docks_folder_is_mended_by_publishing_it_again(
    authority: AuthorityFolder, dock: DockFolder, older: Path, rotten: bytes | None
) -> None:
    publish_bundle(older, authority, dock, now())
    offer = offer_of(dock)
    assert offer
    place = dock.updates.bundle(offer.sha256)
    if rotten is None:
        place.unlink()
    else:
        place.write_bytes(rotten)
    setup = publish_bundle(older, authority, dock, now())
    assert place.read_bytes() == older.read_bytes()
    assert [(step.path, step.is_new) for step in setup.steps][:1] == [(place, True)]


def test_a_newer_one_takes_the_place_of_the_one_before(
    authority: AuthorityFolder, dock: DockFolder, older: Path, newer: Path
) -> None:
    publish_bundle(older, authority, dock, now())
    publish_bundle(newer, authority, dock, now())
    assert release_of(dock) == NEWER
    assert len(files_of(dock)) == 3


def test_an_older_one_is_refused(authority: AuthorityFolder, dock: DockFolder, older: Path, newer: Path) -> None:
    publish_bundle(newer, authority, dock, now())
    before = files_of(dock)
    with pytest.raises(OlderBundleError, match=f"offers release {NEWER.replace('+', '.')}"):
        publish_bundle(older, authority, dock, now())
    assert release_of(dock) == NEWER
    assert files_of(dock) == before


def test_another_one_of_the_same_release_is_refused(
    place: Path, authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    publish_bundle(older, authority, dock, now())
    make_bundle(checked(update_image(place / "again.img")), authority, place / "again", now())
    with pytest.raises(SameReleaseError):
        publish_bundle(place / "again" / older.name, authority, dock, now())
    assert release_of(dock) == RELEASE


def test_no_bit_of_it_can_be_changed(authority: AuthorityFolder, dock: DockFolder, older: Path) -> None:
    whole = older.read_bytes()
    signature_bytes = int.from_bytes(whole[-8:], "big")
    payload = len(whole) - 8 - signature_bytes
    places = [0, 4095, payload // 2, payload - 4097, payload - 1, payload, payload + signature_bytes // 2]
    places += [len(whole) - 9, len(whole) - 8, len(whole) - 1, *range(1000, payload, payload // 20)]
    for at in places:
        changed = bytearray(whole)
        changed[at] ^= 1
        older.write_bytes(changed)
        with pytest.raises(BundleRefusedError):
            publish_bundle(older, authority, dock, now())
        assert files_of(dock) == set(), f"byte {at}"
    older.write_bytes(whole)
    publish_bundle(older, authority, dock, now())


@pytest.mark.parametrize("left", [0, 7, 4096, -1, -9, -5000])
def test_one_that_was_cut_is_refused(authority: AuthorityFolder, dock: DockFolder, older: Path, left: int) -> None:
    older.write_bytes(older.read_bytes()[:left])
    with pytest.raises(BundleRefusedError):
        publish_bundle(older, authority, dock, now())
    assert files_of(dock) == set()


def test_the_signature_of_one_over_the_content_of_another_is_refused(
    authority: AuthorityFolder, dock: DockFolder, older: Path, newer: Path
) -> None:
    first, second = older.read_bytes(), newer.read_bytes()
    older.write_bytes(
        first[: -8 - int.from_bytes(first[-8:], "big")] + second[-8 - int.from_bytes(second[-8:], "big") :]
    )
    with pytest.raises(BundleRefusedError, match="changed or cut after it was signed"):
        publish_bundle(older, authority, dock, now())


def test_one_of_another_authority_is_refused(place: Path, dock: DockFolder, authority: AuthorityFolder) -> None:
    other = new_town(place / "other", "Otherton")
    make_bundle(checked(place / "older.img"), other, place / "theirs", now())
    bundle = place / "theirs" / f"mirrorcam-debian-{RELEASE}.raucb"
    with pytest.raises(BundleRefusedError, match="another authority issued it"):
        publish_bundle(bundle, authority, dock, now())
    with pytest.raises(OtherAuthorityError, match="another authority's"):
        publish_bundle(bundle, other, dock, now())
    assert files_of(dock) == set()


def signed_by(bundle: Path, certificate: Path, key: Path, into: Path) -> Path:
    """Return a bundle of the same content that somebody else has signed."""
    content = into.with_suffix(".content")
    run("unsquashfs", "-quiet", "-no-progress", "-dest", str(content), str(bundle))
    run("rauc", f"--cert={certificate}", f"--key={key}", "bundle", str(content), str(into))
    return into


def test_one_that_the_dock_has_signed_is_refused(
    place: Path, authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    forged = signed_by(older, dock.tls_certificate_file, dock.tls_key_file, place / "forged.raucb")
    with pytest.raises(BundleRefusedError, match="its role is dock, not update-signer"):
        publish_bundle(forged, authority, dock, now())


def test_one_that_brings_more_than_two_images_is_refused(
    place: Path, authority: AuthorityFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = making._manifest
    monkeypatch.setattr(
        making, "_manifest", lambda installed: usual(installed) + "\n[image.firmware]\nfilename=boot.vfat\n"
    )
    with pytest.raises(BundleRefusedError, match="it was not made by this command"):
        make_bundle(checked(place / "older.img"), authority, place / "more", now())


def test_signers_that_were_revoked_sign_no_more_though_the_release_was_made_twice(
    place: Path, authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    make_bundle(checked(place / "older.img"), authority, place / "again", now())
    # As IT revokes a unit: the certificate's copy at the authority, and the new list at the dock.
    authority.units.mkdir(exist_ok=True)
    for certificate in authority.bundles.glob(f"{older.stem}*.crt"):
        shutil.copy(certificate, authority.units)
        revoke_unit(authority, certificate.stem, now())
    shutil.copy(authority.revocations_file, dock.revocations_file)
    for bundle in (older, place / "again" / older.name):
        with pytest.raises(BundleRefusedError, match="it was revoked on"):
            publish_bundle(bundle, authority, dock, now())


def test_without_room_beside_what_the_dock_keeps_nothing_is_copied(
    authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    settings = dock.settings_file.read_text()
    free = shutil.disk_usage(dock.path).free
    dock.settings_file.write_text(settings.replace("vault_reserve_bytes = 0", f"vault_reserve_bytes = {free * 2}"))
    with pytest.raises(NoRoomError, match=r"There is no room in .* bytes are missing"):
        publish_bundle(older, authority, dock, now())
    assert files_of(dock) == set()


def test_a_disk_that_fills_up_meanwhile_leaves_the_offer_of_before(
    authority: AuthorityFolder, dock: DockFolder, older: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_bundle(older, authority, dock, now())
    before = files_of(dock)
    monkeypatch.setattr(publishing, "_copy", lambda _bundle, target: shutil.copy(newer, target) and fail())
    with pytest.raises(OSError, match="No space left"):
        publish_bundle(newer, authority, dock, now())
    assert files_of(dock) == before
    assert release_of(dock) == RELEASE


def fail() -> str:
    raise OSError(28, os.strerror(28))


CRASHES = ("UpdateFiles.write_list", "UpdateFiles.write_offer", "_remove_others")


@pytest.mark.parametrize("at", CRASHES)
@pytest.mark.parametrize("then", ["publish", "withdraw"])
def test_a_crash_at_any_step_leaves_an_offer_and_the_next_run_tidies_up(
    authority: AuthorityFolder, dock: DockFolder, older: Path, newer: Path, at: str, then: str
) -> None:
    publish_bundle(older, authority, dock, now())
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(f"provisioning.bundles.publishing.{at}", lambda *_arguments, **_more: fail())
        with pytest.raises(OSError, match="No space left"):
            publish_bundle(newer, authority, dock, now())
    assert release_of(dock) in {RELEASE, NEWER}
    if then == "withdraw":
        withdraw_bundle(dock)
        assert files_of(dock) == {"bundles.txt"}
    else:
        publish_bundle(newer, authority, dock, now())
        assert release_of(dock) == NEWER
        assert len(files_of(dock)) == 3


def test_a_withdrawn_bundle_is_gone_and_an_older_one_may_be_offered(
    authority: AuthorityFolder, dock: DockFolder, older: Path, newer: Path
) -> None:
    publish_bundle(newer, authority, dock, now())
    assert withdraw_bundle(dock)
    assert release_of(dock) is None
    assert files_of(dock) == {"bundles.txt"}
    assert not withdraw_bundle(dock)
    publish_bundle(older, authority, dock, now())
    assert release_of(dock) == RELEASE


def test_an_offer_that_cannot_be_read_is_withdrawn_first(
    authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    publish_bundle(older, authority, dock, now())
    dock.updates.offer_file.write_text("{")
    with pytest.raises(OfferUnusableError, match="bundle withdraw"):
        publish_bundle(older, authority, dock, now())
    assert withdraw_bundle(dock)
    publish_bundle(older, authority, dock, now())
    assert release_of(dock) == RELEASE


def test_nothing_but_bundles_that_were_put_there_is_removed(
    authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    publish_bundle(older, authority, dock, now())
    foreign = dock.updates.path / f"{'0' * 64}.raucb"
    foreign.write_bytes(b"of somebody else")
    dock.updates.list_file.write_text(dock.updates.list_file.read_text() + "../dock.key\n")
    withdraw_bundle(dock)
    assert foreign.exists()
    assert dock.tls_key_file.exists()


def test_a_folder_that_is_no_dock_is_refused(place: Path, authority: AuthorityFolder, older: Path) -> None:
    with pytest.raises(NotADockError):
        publish_bundle(older, authority, DockFolder(place / "nothing"), now())
    with pytest.raises(NotADockError):
        withdraw_bundle(DockFolder(place / "nothing"))
    assert not (place / "nothing").exists()


def test_a_docks_own_copy_of_the_certificate_is_enough(place: Path, dock: DockFolder, older: Path) -> None:
    publish_bundle(older, AuthorityFolder(dock.path), dock, now())
    assert release_of(dock) == RELEASE


def test_two_docks_of_a_town_get_the_same(place: Path, authority: AuthorityFolder, older: Path) -> None:
    second = new_dock(place / "second", authority, "station-2")
    publish_bundle(older, authority, second, now())
    assert release_of(second) == RELEASE
