"""Files that are whole or absent after a power cut: written beside, fsynced, renamed, and the folder fsynced."""

import os
import secrets
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the folder's entries (creations, renames, removals) durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content`: after a crash at any line the old file or the new one is there, never half of one.

    `mode` is in force from the first byte on, so a private key is never readable by others, not even for a moment.
    """
    beside = _write_beside(path, content, mode)
    beside.replace(path)
    sync_folder(path.parent)


def publish_durably(path: Path, content: bytes) -> None:
    """Replace `path` as `write_durably` does, by what every user of this machine may read, whatever the umask."""
    beside = _write_beside(path, content, 0o644)
    beside.chmod(0o644)
    beside.replace(path)
    sync_folder(path.parent)


def create_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Create `path` with `content`, whole or not at all; raises FileExistsError where there is one already."""
    beside = _write_beside(path, content, mode)
    try:
        path.hardlink_to(beside)
    finally:
        beside.unlink()
    sync_folder(path.parent)


def _write_beside(path: Path, content: bytes, mode: int) -> Path:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        beside.unlink()
        raise
    return beside
