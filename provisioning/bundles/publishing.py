"""Putting a bundle in a dock's folder, for the dock to hand on; and taking it away again."""

import hashlib
import os
import shutil
from datetime import datetime
from pathlib import Path

from dock_station.settings import DockFolder
from evidence.certificates import Authority
from evidence.docking import UpdateOffer
from evidence.durable import sync_folder
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.release import Release
from evidence.strict import SchemaError
from evidence.update_files import UpdateFiles
from provisioning.authority import AuthorityFolder
from provisioning.bundles.reading import Bundle, BundleRefusedError, read_bundle
from provisioning.dock import check_is_dock, check_own_dock
from provisioning.placing import SetUp, exclusively

_PIECE = 4 << 20  # bytes copied at a time


class OlderBundleError(MirrorcamError):
    """A bundle is not newer than what the dock offers."""

    def __init__(self, release: str, offered: str) -> None:
        super().__init__(
            f"The dock offers release {offered}, and this bundle is {release}: units take no older release; "
            "'mirrorcam-provision bundle withdraw' ends the offer. Nothing was changed."
        )


class SameReleaseError(MirrorcamError):
    """A dock offers another bundle of the same release."""

    def __init__(self, release: str) -> None:
        super().__init__(
            f"The dock offers another bundle of release {release}: have an image of a later release made, or end the "
            "offer with 'mirrorcam-provision bundle withdraw'. Nothing was changed."
        )


class NoRoomError(EnvironmentalError):
    """A bundle would take the room that a dock keeps."""

    def __init__(self, dock: Path, missing: int) -> None:
        super().__init__(
            f"There is no room in {dock}: {missing} bytes are missing beside what the dock keeps free "
            "(vault_reserve_bytes); make room. Nothing was changed."
        )


class OfferUnusableError(EnvironmentalError):
    """What a dock offers cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be used ({reason}): run 'mirrorcam-provision bundle withdraw' first.")


def publish_bundle(bundle: Path, folder: AuthorityFolder, dock: DockFolder, at: datetime) -> SetUp:
    """Put a bundle in a dock's folder, checked to its last bit, and offer it instead of what was offered before.

    One that is offered already is put there anew, whatever has become of its file. A crash at any line leaves the offer
    of before, or the new one; what is left over goes at the next run. Raises NotADockError, OtherAuthorityError,
    BundleRefusedError, OlderBundleError, SameReleaseError, NoRoomError, OfferUnusableError or OSError.
    """
    check_own_dock(dock, folder)
    authority = dock.authority()
    files = dock.updates
    files.prepare()
    setup = SetUp()
    with exclusively(files.path):
        offered = offered_in(files)
        _check_room(bundle, files, dock)
        try:
            sha256 = _copy(bundle, files.unfinished_file)
            found = _read(bundle, files.unfinished_file, authority, at)
            offer = _offer(found, files.unfinished_file, sha256)
            _check_newer(offer, offered)
            _place(setup, files, offer, offered)
        finally:
            files.unfinished_file.unlink(missing_ok=True)
        _remove_others(files, keep=sha256)
    return setup


def offered_in(files: UpdateFiles) -> UpdateOffer | None:
    """Return what a dock offers, None where it offers nothing; raises OfferUnusableError."""
    try:
        return files.offer()
    except SchemaError as error:
        raise OfferUnusableError(files.offer_file, error.reason) from error


def withdraw_bundle(dock: DockFolder) -> bool:
    """End a dock's offer, and remove its bundle; False where there was none. Raises NotADockError or OSError."""
    check_is_dock(dock)
    files = dock.updates
    files.prepare()
    with exclusively(files.path):
        was_offered = files.offer_file.exists()
        files.offer_file.unlink(missing_ok=True)
        sync_folder(files.path)
        files.unfinished_file.unlink(missing_ok=True)
        _remove_others(files, keep=None)
    return was_offered


def _check_room(bundle: Path, files: UpdateFiles, dock: DockFolder) -> None:
    files.unfinished_file.unlink(missing_ok=True)
    room = shutil.disk_usage(files.path).free - dock.settings().vault_reserve_bytes
    missing = bundle.stat().st_size - room
    if missing > 0:
        raise NoRoomError(dock.path, missing)


def _copy(bundle: Path, target: Path) -> str:
    """Copy a bundle durably, and return the SHA-256 (hex) of what was copied."""
    digest = hashlib.sha256()
    with bundle.open("rb") as source, target.open("wb") as copy:
        while piece := source.read(_PIECE):
            digest.update(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    target.chmod(0o644)  # it holds no secret, and whoever puts it here, the dock reads it
    return digest.hexdigest()


def _read(bundle: Path, copy: Path, authority: Authority, at: datetime) -> Bundle:
    try:
        return read_bundle(copy, authority, at)
    except BundleRefusedError as error:
        raise BundleRefusedError(bundle, error.reason) from error


def _offer(found: Bundle, copy: Path, sha256: str) -> UpdateOffer:
    return UpdateOffer(
        release=str(found.installed.release),
        compatible=found.installed.compatible,
        bytes=copy.stat().st_size,
        sha256=sha256,
    )


def _check_newer(offer: UpdateOffer, offered: UpdateOffer | None) -> None:
    if offered is None or offered == offer:
        return
    if Release.parse(offer.release) < Release.parse(offered.release):
        raise OlderBundleError(offer.release, offered.release)
    if (offer.release, offer.compatible) == (offered.release, offered.compatible):
        raise SameReleaseError(offer.release)


def _place(setup: SetUp, files: UpdateFiles, offer: UpdateOffer, offered: UpdateOffer | None) -> None:
    place = files.bundle(offer.sha256)
    files.write_list(*sorted({*files.listed(), offer.sha256}))
    files.unfinished_file.rename(place)  # also over the same bundle: it may have rotted there, this one was just read
    sync_folder(files.path)
    setup.made(place, f"bundle of release {offer.release} for {offer.compatible}")
    if offered == offer:
        setup.found(files.offer_file, "the offer to units")
    else:
        files.write_offer(offer)
        setup.made(files.offer_file, "the offer to units")


def _remove_others(files: UpdateFiles, keep: str | None) -> None:
    for digest in files.listed():
        if digest != keep:
            files.bundle(digest).unlink(missing_ok=True)
    sync_folder(files.path)
    files.write_list(*([keep] if keep else []))
