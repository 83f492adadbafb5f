"""The text form of an age file, read as strict PEM ("ASCII armor" in C2SP age)."""

from __future__ import annotations

import base64
import binascii
import io
from typing import TYPE_CHECKING

from evidence.age.errors import ArmorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_BYTES_PER_LINE = 48
# White space is allowed around the armor; the age program gives up after as much of it.
_MAX_SPACE = 1024


def binary(file: io.BufferedIOBase) -> io.BufferedIOBase:
    """Give the file itself, or when it is armored, a reader of the binary file within.

    The file must be able to seek. Reading an armored one raises ArmorError where it breaks a rule.
    """
    start = file.tell()
    beginning = file.read(_MAX_SPACE + len(_BEGIN))
    file.seek(start)
    # Anything like a PEM line counts, so that a damaged one is named as what it is.
    is_armored = b"-----" in beginning and not beginning.startswith(b"age-encryption.org/")
    return io.BufferedReader(_ArmorReader(file)) if is_armored else file


class _ArmorReader(io.RawIOBase):
    """Gives the bytes that the lines of an armored file carry."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._pieces = _Lines(file).decoded()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        self._rest = self._rest or next(self._pieces, b"")
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


class _Lines:
    """Reads an armored file line by line, and knows where it is."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._number = 0

    def decoded(self) -> Iterator[bytes]:
        """Yield what each line of data carries. Raises ArmorError."""
        self._skip_to_begin()
        is_last = False
        while (line := self._next()) != _END:
            if is_last:
                raise ArmorError(self._number, "the data ended on the line before it")
            data = self._decode(line)
            is_last = len(data) < _BYTES_PER_LINE
            yield data
        self._check_nothing_follows()

    def _next(self) -> bytes:
        """Read a line that ends with LF, CRLF or the file."""
        self._number += 1
        line = self._file.readline(_MAX_SPACE)
        if not line:
            raise ArmorError(self._number, f"the file ends without {_END.decode()}")
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def _skip_to_begin(self) -> None:
        skipped = 0
        while not (line := self._next()).strip() and skipped < _MAX_SPACE:
            skipped += len(line) + 1
        if line != _BEGIN:
            raise ArmorError(self._number, f"it is not {_BEGIN.decode()}")

    def _decode(self, line: bytes) -> bytes:
        if not 0 < len(line) <= _COLUMNS:
            raise ArmorError(self._number, f"it has {len(line)} characters, not 1 to {_COLUMNS}")
        try:
            data = base64.b64decode(line, validate=True)
        except binascii.Error:
            raise ArmorError(self._number, "it is not base64") from None
        if base64.b64encode(data) != line:
            raise ArmorError(self._number, "it is not canonical base64")
        return data

    def _check_nothing_follows(self) -> None:
        trailing = self._file.read(_MAX_SPACE + 1)
        if trailing.strip() or len(trailing) > _MAX_SPACE:
            raise ArmorError(self._number + 1, f"something follows {_END.decode()}")
