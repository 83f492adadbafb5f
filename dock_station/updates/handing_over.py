"""A bundle's bytes on their way to a unit: in small pieces, from where the unit had come, and few at a time."""

import re
import threading
from collections.abc import Callable
from typing import BinaryIO

import structlog

from dock_station.updates import offers
from evidence.docking import UpdateOffer
from evidence.errors import MirrorcamError
from evidence.update_files import UpdateFiles

log = structlog.get_logger()

# Of the bays' 32 workers: however many units come for a new bundle at once, most workers are left for clips.
MOST_AT_ONCE = 8
PIECE = 64 << 10  # a few TLS records; what a worker holds in memory

_FROM = re.compile(r"bytes=([0-9]{1,18})-")


class BundlesBusyError(MirrorcamError):
    """Other units are fetching the bundle."""

    def __init__(self) -> None:
        super().__init__("Other units are fetching the bundle just now; try again in a minute.")


class NothingLeftError(MirrorcamError):
    """A unit asks for what would stand behind a bundle's end; `size` is what the bundle has."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The bundle has {size} bytes, and none where this request begins: fetch it from the start.")
        self.size = size


class Counter:
    """The doors through which bundles go: MOST_AT_ONCE of them."""

    def __init__(self, files: UpdateFiles) -> None:
        self._files = files
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)

    def hand_over(self, unit_id: str, sha256: str, range_header: str | None) -> "HandingOver":
        """Return a bundle's bytes for a unit; whoever gets them closes them.

        Of a range, only `bytes=N-` is understood; another one is answered by the whole (RFC 9110 §14.2). Raises
        NotOfferedError, OfferUnusableError, NothingLeftError or BundlesBusyError.
        """
        offer, bundle = offers.opened(self._files, sha256)
        found = _FROM.fullmatch(range_header) if range_header else None
        start = int(found[1]) if found else None
        if start is not None and start >= offer.bytes:
            bundle.close()
            raise NothingLeftError(offer.bytes)
        if not self._free.acquire(blocking=False):
            bundle.close()
            raise BundlesBusyError
        return HandingOver(offer, bundle, start, unit_id, self._free.release)


class HandingOver:
    """The bytes of one answer, piece by piece; `close` frees the place for the next unit, however far it got."""

    def __init__(
        self, offer: UpdateOffer, bundle: BinaryIO, start: int | None, unit_id: str, on_close: Callable[[], None]
    ) -> None:
        self._offer = offer
        self._bundle = bundle
        self._start = start
        self._unit_id = unit_id
        self._on_close = on_close
        self._at = bundle.seek(start or 0)

    @property
    def status(self) -> int:
        """The answer's status: 206 for a part, 200 for the whole."""
        return 200 if self._start is None else 206

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers (RFC 9110 §14)."""
        size, start = self._offer.bytes, self._start or 0
        headers = {"Content-Length": str(size - start), "Accept-Ranges": "bytes", "Cache-Control": "no-store"}
        return headers if self._start is None else headers | {"Content-Range": f"bytes {start}-{size - 1}/{size}"}

    def __iter__(self) -> "HandingOver":
        return self

    def __next__(self) -> bytes:
        piece = self._bundle.read(min(PIECE, self._offer.bytes - self._at))
        self._at += len(piece)
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Close the bundle, and let the next unit in; to close again does nothing."""
        if self._bundle.closed:
            return
        self._bundle.close()
        self._on_close()
        if self._at == self._offer.bytes:
            log.info("bundle_handed_over", unit_id=self._unit_id, release=self._offer.release)
