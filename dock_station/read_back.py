"""The digest of a file as the disk gives it back, taken close behind the one who writes it."""

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

PIECE = 1 << 20  # bytes hashed at a time
STEP = 32 << 20  # bytes that must be new before the follower goes to work: a flush each, so not too few


class ReadBack:
    """SHA-256 of a growing file's beginning, read from the disk and not from the memory that it was written through.

    Contract: `hashed_bytes` from the start on are durable, were read back after that, and are in the digest. After an
    error it is as if nothing had been read yet. One thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sha256 = hashlib.sha256()
        self.hashed_bytes = 0

    def catch_up(self, to: int) -> None:
        """Make the file durable, and take its bytes up to `to` into the digest; raises OSError or EOFError."""
        try:
            self._catch_up(to)
        except BaseException:
            self._sha256, self.hashed_bytes = hashlib.sha256(), 0
            raise

    def sha256_of(self, size: int) -> str:
        """Return the digest (hex) of the first `size` bytes, which must reach at least to where we are."""
        if size < self.hashed_bytes:
            self._sha256, self.hashed_bytes = hashlib.sha256(), 0
        self.catch_up(size)
        return self._sha256.hexdigest()

    def _catch_up(self, to: int) -> None:
        with self._path.open("rb", buffering=0) as file:
            os.fdatasync(file.fileno())
            # What is durable may leave memory: what follows then comes from the disk, as for a reader years later.
            os.posix_fadvise(file.fileno(), self.hashed_bytes, to - self.hashed_bytes, os.POSIX_FADV_DONTNEED)
            file.seek(self.hashed_bytes)
            buffer = memoryview(bytearray(PIECE))
            while self.hashed_bytes < to:
                size = file.readinto(buffer[: to - self.hashed_bytes])
                if not size:
                    raise EOFError(f"{self._path.name} ends at byte {self.hashed_bytes}, before byte {to}")
                self._sha256.update(buffer[:size])
                self.hashed_bytes += size


class Follower:
    """A thread that lets a ReadBack catch up while the file is still being written.

    Contract: it never reads beyond what `wrote` has told it. When the block has ended it reads no more. It is a
    help, not a judge: on an error it stops, and the final `sha256_of` meets that error again.
    """

    def __init__(self, read_back: ReadBack) -> None:
        self._read_back = read_back
        self._written = 0
        self._over = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="read back")

    def wrote(self, size: int) -> None:
        """Say how many bytes of the file are written by now."""
        if size - self._written >= STEP:
            with self._news:
                self._written = size
                self._news.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._over = True
            self._news.notify()
        self._thread.join()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._over or self._written - self._read_back.hashed_bytes >= STEP)
                    if self._over:
                        return
                    target = self._written
                self._read_back.catch_up(target)
