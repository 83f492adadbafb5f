"""What the spool does to its disk, one method each, so that a test can make any of them slow or break it."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evidence.durable import sync_folder, write_durably

# What a system says (errno) where there is no room.
FULL = (errno.ENOSPC, errno.EDQUOT)

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Space:
    """A file system's bytes: free for us, and all."""

    free: int
    total: int


class Disk:
    """The real disk. Every method raises OSError as the system does."""

    def create(self, path: Path) -> int:
        """Create a file that is not there yet, and return its descriptor for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        """Append, and return how many bytes were taken, which can be fewer."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Make durable what was written; returns when the medium says so."""
        os.fdatasync(descriptor)

    def settle(self, path: Path) -> None:
        """Make durable what a file has, and forget it: who reads it next reads the medium.

        After a failed sync the system's memory holds bytes that the medium never got.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

    def pieces(self, path: Path) -> Iterator[bytes]:
        """Yield all of a file, piece by piece."""
        with path.open("rb", buffering=0) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def write_durably(self, path: Path, content: bytes) -> None:
        """Replace a small file: whole or not at all, and durable."""
        write_durably(path, content, mode=0o600)

    def rename(self, old: Path, new: Path) -> None:
        """Rename within a folder; durable after `sync_folder`."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; durable after `sync_folder`."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make the folder's creations, renames and removals durable."""
        sync_folder(folder)

    def space(self, folder: Path) -> Space:
        """Return how much room there is where `folder` is."""
        figures = os.statvfs(folder)
        return Space(figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize)
