"""Fetching a bundle from the dock: a part file that grows over cut cables, and is the bundle once its digest fits."""

import hashlib
import os
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol

from appliance.spool import FLOOR_BYTES
from appliance.updates.places import UpdatePlaces
from evidence.docking import UpdateOffer
from evidence.durable import sync_folder, write_durably
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.strict import write_json

_READ_BYTES = 1 << 20


class NoRoomForUpdateError(EnvironmentalError):
    """The storage has no room for the bundle."""

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(
            f"The update needs {needed // 1_000_000} MB on this unit and {free // 1_000_000} MB are free: it stays as "
            "it is. Have IT look at the clips that the dock refused, or put in a larger card."
        )


class BundleDiffersError(MirrorcamError):
    """What the dock sent is not what it has announced."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The update that the dock sent is not the one that it offers ({reason}): nothing of it is kept."
        )


class Dock(Protocol):
    """Where a bundle comes from."""

    def bundle(self, sha256: str, start: int) -> Generator[bytes]:
        """Yield a bundle's bytes from byte `start` on; raises as DockClient does."""


def fetch(
    dock: Dock,
    offer: UpdateOffer,
    places: UpdatePlaces,
    *,
    free_bytes: Callable[[], int],
    report: Callable[[float], None],
    is_stopping: threading.Event,
) -> bool:
    """Fetch what is offered; False where it was stopped before the bundle was whole, which is gone on with later.

    Contract: `bundle.raucb` has the size and the digest of the offer, as read back from the storage, or is not there.
    `report` gets how far it is, 0 to 1. Raises NoRoomForUpdateError, BundleDiffersError, OSError, or as `dock` does.
    """
    places.arriving.mkdir(mode=0o700, exist_ok=True)
    part = places.part(offer.sha256)
    for other in places.arriving.glob("*.part"):
        if other != part:
            other.unlink()
    size = part.stat().st_size if part.exists() else 0
    if size > offer.bytes:
        part.unlink()
        size = 0
    missing = offer.bytes - size
    if missing and missing + FLOOR_BYTES > (free := free_bytes()):
        raise NoRoomForUpdateError(missing, free)
    if missing and not _append(dock, offer, places, size, report, is_stopping):
        return False
    return _settle(offer, places, is_stopping)


def drop_parts(places: UpdatePlaces) -> None:
    """Make room for recordings: what was fetched of an update is fetched again. Raises OSError."""
    for file in (*places.arriving.glob("*.part"), places.bundle):
        file.unlink(missing_ok=True)


def _append(
    dock: Dock,
    offer: UpdateOffer,
    places: UpdatePlaces,
    size: int,
    report: Callable[[float], None],
    is_stopping: threading.Event,
) -> bool:
    with places.part(offer.sha256).open("ab", buffering=0) as file, closing(dock.bundle(offer.sha256, size)) as blocks:
        for block in blocks:
            if is_stopping.is_set():
                return False
            size += len(block)
            if size > offer.bytes:
                break
            file.write(block)
            report(size / offer.bytes)
        os.fsync(file.fileno())
    if size != offer.bytes:
        places.part(offer.sha256).unlink()
        raise BundleDiffersError(f"{size} bytes came of {offer.bytes}")
    return not is_stopping.is_set()


def _settle(offer: UpdateOffer, places: UpdatePlaces, is_stopping: threading.Event) -> bool:
    part = places.part(offer.sha256)
    digest = hashlib.sha256()
    with part.open("rb", buffering=0) as file:
        while block := file.read(_READ_BYTES):
            if is_stopping.is_set():
                return False
            digest.update(block)
    if digest.hexdigest() != offer.sha256:
        part.unlink()
        raise BundleDiffersError("its digest is another one")
    write_durably(places.offer, write_json(offer))
    part.replace(places.bundle)
    sync_folder(places.arriving)
    return True
