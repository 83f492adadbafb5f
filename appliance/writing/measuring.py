"""Reading a cut clip back from the medium: how many bytes of it are there, and their digest."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.writing.disk import Disk


@dataclass(frozen=True)
class Measured:
    """What the medium holds of a file: bytes, and their SHA-256 (hex)."""

    size: int
    sha256: str


def measure(disk: Disk, path: Path, rest: Callable[[float], bool]) -> Measured | None:
    """Read all of a file, however long that takes; raises OSError.

    After each piece `rest` is told how many seconds it took; where it answers true, nobody wants the rest: None.
    """
    try:
        disk.settle(path)
    except OSError:
        disk.settle(path)  # a write that failed before is told of here, but only once: fsync(2)
    digest, size = hashlib.sha256(), 0
    since = time.monotonic()
    for piece in disk.pieces(path):
        digest.update(piece)
        size += len(piece)
        if rest(time.monotonic() - since):
            return None
        since = time.monotonic()
    return Measured(size, digest.hexdigest())
