"""The image goes onto the card, is read back, and only then gets the partition table that lets a unit start from it."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from evidence.errors import EnvironmentalError, MirrorcamError
from provisioning.card.block_device import BlockDevice
from provisioning.card.devices import CardTooSmallError, MountedError, NotPermittedError, ReadOnlyCardError
from provisioning.card.image import Progress

HEAD = 1 << 20  # bytes; the first partition begins behind them (sfdisk's and parted's alignment)
PROBE = 4096  # bytes
_EVENLY = 16  # probes at even distances, beside those at powers of two

_EMPTY = "The card has no partition table now, so nothing starts from it."
_DOUBTFUL = "Its first bytes could not be erased any more: do not put it into a unit as it is."
_GONE = {errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM}


class Source(Protocol):
    """What is to be on the card."""

    @property
    def size(self) -> int:
        """How many bytes."""

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield them all, in order, with their offsets; the same each time, or raise MirrorcamError."""


class CardError(EnvironmentalError):
    """The card was not written, or not as it should be; the sentence ends with the state that it is left in."""

    def __init__(self, device: str, what: str) -> None:
        super().__init__(f"{device} {what}")
        self.device, self.what = device, what


class CardPulledError(CardError):
    """The device went away."""

    def __init__(self, device: str) -> None:
        super().__init__(device, "went away: the card was pulled out, or its reader failed; put it in and start again.")


class CardFailedError(CardError):
    """The device reported an error."""

    def __init__(self, device: str, offset: int, reason: str) -> None:
        super().__init__(
            device, f"failed at byte {offset} ({reason}): take another card, and if that fails too, another reader."
        )
        self.offset = offset


class CardForgetsError(CardError):
    """The card gave back other bytes than were written."""

    def __init__(self, device: str, offset: int) -> None:
        super().__init__(
            device,
            f"gave back another byte than was written, first at byte {offset}: it is worn out or fake; destroy it.",
        )
        self.offset = offset


class FakeSizeError(CardError):
    """The card does not have the size that it claims."""

    def __init__(self, device: str, offset: int, size: int) -> None:
        super().__init__(
            device,
            f"says that it has {size} bytes and does not keep what is written at byte {offset}: it is fake or worn "
            "out; destroy it.",
        )
        self.offset = offset


class WritingStoppedError(MirrorcamError):
    """Somebody pressed Ctrl-C."""

    def __init__(self, device: str, state: str) -> None:
        super().__init__(f"Stopped before {device} was ready. {state}")


class SourceFailedError(MirrorcamError):
    """The image could not be read to its end, or is not the one any more that was checked."""

    def __init__(self, device: str, reason: str, state: str) -> None:
        super().__init__(f"{device} was not finished: {reason} {state}")


def write_card(source: Source, path: Path, progress: Progress) -> None:
    """Write `source` to the disk at `path` and verify it.

    Contract: the old partition table is erased first and the new one written last, when everything else was read back
    from the card and found equal. So a card that was cut, pulled or found bad at any moment starts nowhere; and if this
    returns, each byte of `source` was read back from it. Raises CardError and its kinds, WritingStoppedError,
    SourceFailedError, or, before a byte is written, MountedError, NotPermittedError, ReadOnlyCardError or
    CardTooSmallError.
    """
    with _opened(path) as card:
        if card.size < source.size:
            raise CardTooSmallError(str(path), card.size, source.size)
        writing = _Writing(source, card, progress)
        try:
            writing.run()
        except CardError as error:
            error.args = (f"{error} {writing.give_up()}",)
            raise
        except (MirrorcamError, OSError) as error:
            raise SourceFailedError(str(path), str(error), writing.give_up()) from error
        except KeyboardInterrupt as error:
            raise WritingStoppedError(str(path), writing.give_up()) from error


class _Writing:
    """One card being written."""

    def __init__(self, source: Source, card: BlockDevice, progress: Progress) -> None:
        self._source = source
        self._card = card
        self._progress = progress
        self._head = b""
        self._is_erased = False

    def run(self) -> None:
        self._erase()
        probes = self._write_probes()
        self._write_body()
        self._check_probes(probes)
        self._read_body()
        self._write_head()

    def give_up(self) -> str:
        """Erase the partition table once more, and say what state the card is in."""
        try:
            self._put(0, bytes(HEAD))
            self._sync()
        except CardError as error:
            return _EMPTY if self._is_erased and isinstance(error, CardPulledError) else _DOUBTFUL
        return _EMPTY

    def _erase(self) -> None:
        """Take away the old table, and the copy that it has at the disk's end."""
        end = self._card.size - HEAD
        if end > HEAD:
            self._put(end - end % PROBE, bytes(HEAD))
        self._put(0, bytes(HEAD))
        self._sync()
        self._is_erased = True

    def _write_probes(self) -> dict[int, bytes]:
        """Write random bytes here and there behind the image: a fake card puts them elsewhere, or nowhere."""
        probes = {offset: secrets.token_bytes(PROBE) for offset in probe_offsets(self._source.size, self._card.size)}
        for offset, content in probes.items():
            self._put(offset, content)
        self._sync()
        return probes

    def _check_probes(self, probes: dict[int, bytes]) -> None:
        for offset, content in probes.items():
            if self._get(offset, PROBE) != content:
                raise FakeSizeError(self._card.path, offset, self._card.size)

    def _write_body(self) -> None:
        for offset, piece in self._source.pieces():
            if offset == 0:
                self._head = piece[:HEAD]
                self._put(HEAD, piece[HEAD:])
            else:
                self._put(offset, piece)
            self._progress("Writing", offset + len(piece), self._source.size)
        self._sync()

    def _read_body(self) -> None:
        for offset, piece in self._source.pieces():
            if offset == 0:
                self._compare(HEAD, piece[HEAD:])
            else:
                self._compare(offset, piece)
            self._progress("Reading back", offset + len(piece), self._source.size)

    def _write_head(self) -> None:
        self._is_erased = False
        self._put(0, self._head)
        self._sync()
        self._compare(0, self._head)

    def _compare(self, offset: int, expected: bytes) -> None:
        found = self._get(offset, len(expected))
        if found != expected:
            raise CardForgetsError(self._card.path, offset + first_difference(found, expected))

    def _put(self, offset: int, content: bytes) -> None:
        with self._explained(offset):
            self._card.write(offset, content)

    def _get(self, offset: int, size: int) -> bytes:
        with self._explained(offset):
            return self._card.read(offset, size)

    def _sync(self) -> None:
        with self._explained(0):
            self._card.sync()

    @contextmanager
    def _explained(self, offset: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _GONE or self._card.is_gone():
                raise CardPulledError(self._card.path) from error
            raise CardFailedError(self._card.path, offset, error.strerror or str(error)) from error


def probe_offsets(used: int, size: int) -> list[int]:
    """Return where to look whether a disk is as large as it says: `size` bytes, of which the image takes `used`.

    At every power of two, where the true sizes of fakes lie and their addresses wrap around, at even distances, and at
    the very end; each a multiple of the probe's size.
    """
    used, last = used + -used % PROBE, (size - size % PROBE) - PROBE
    powers = [1 << bit for bit in range(size.bit_length())]
    evenly = [used + (last - used) * step // _EVENLY for step in range(_EVENLY + 1)]
    return sorted({offset - offset % PROBE for offset in (*powers, *evenly) if used <= offset <= last})


def first_difference(one: bytes, other: bytes) -> int:
    """Return the first index at which two texts of bytes differ; the shorter one's end counts."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


@contextmanager
def _opened(path: Path) -> Iterator[BlockDevice]:
    try:
        card = BlockDevice(path)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise MountedError(str(path), "another program holds it") from error
        if error.errno == errno.EROFS or (error.errno == errno.EACCES and os.access(path, os.W_OK)):
            raise ReadOnlyCardError(str(path)) from error
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise NotPermittedError(str(path)) from error
        raise CardPulledError(str(path)) from error
    with card:
        yield card
