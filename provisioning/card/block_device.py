"""A block device opened for this program alone, past the kernel's page cache: what is read comes from the medium."""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

_BLKROGET = 0x125E  # linux/fs.h
_ROOM = 4 << 20  # bytes of the buffer; direct I/O wants memory that begins at a page


class BlockDevice:
    """A whole disk, held exclusively (O_EXCL): the kernel lets nobody mount it or a partition of it meanwhile.

    Raises OSError: EBUSY where something of it is mounted or otherwise held, EROFS where it is write-protected.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
        if _is_read_only(self._descriptor):
            os.close(self._descriptor)
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        self._buffer = mmap.mmap(-1, _ROOM)
        self.size = self._size_now()

    def __enter__(self) -> "BlockDevice":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._buffer.close()

    def write(self, offset: int, content: bytes) -> None:
        """Write whole sectors; raises OSError."""
        for start in range(0, len(content), _ROOM):
            piece = content[start : start + _ROOM]
            self._buffer[: len(piece)] = piece
            self._transfer(offset + start, len(piece), os.pwritev)

    def read(self, offset: int, size: int) -> bytes:
        """Return whole sectors as the medium has them; raises OSError."""
        pieces = []
        for start in range(0, size, _ROOM):
            length = min(_ROOM, size - start)
            self._transfer(offset + start, length, os.preadv)
            pieces.append(self._buffer[:length])
        return b"".join(pieces)

    def sync(self) -> None:
        """Have the medium's own cache written; raises OSError."""
        os.fsync(self._descriptor)

    def is_gone(self) -> bool:
        """Tell whether the disk, or the medium in its reader, is not there any more."""
        return not Path(self.path).exists() or self._size_now() == 0

    def _size_now(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_END)

    def _transfer(self, offset: int, length: int, call: Callable[[int, list[memoryview], int], int]) -> None:
        done = 0
        with memoryview(self._buffer) as view:
            while done < length:
                with view[done:length] as rest:
                    moved = call(self._descriptor, [rest], offset + done)
                if moved == 0:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                done += moved


def _is_read_only(descriptor: int) -> bool:
    """Ask the kernel, which opens some write-protected disks for writing and refuses each write later."""
    return struct.unpack("i", fcntl.ioctl(descriptor, _BLKROGET, struct.pack("i", 0))) != (0,)
