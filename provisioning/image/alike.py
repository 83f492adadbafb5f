"""Files of ours in a root: as open as everybody needs them, and of one moment, however the checkout's are."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_FOLDER, _PROGRAM, _FILE = 0o755, 0o755, 0o644


def put(source: Path, target: Path) -> None:
    """Copy a file, or a folder with all that is in it; folders that are there already stay as they are."""
    if source.is_dir():
        if not target.is_dir():
            target.mkdir()
            target.chmod(_FOLDER)
        for entry in sorted(source.iterdir()):
            put(entry, target / entry.name)
    else:
        shutil.copyfile(source, target)
        target.chmod(_mode(source))


def make_alike(folder: Path, epoch: int) -> None:
    """Give a folder, and all in it, the modes that `put` gives, and the moment `epoch` (Unix seconds).

    Devices keep their modes.
    """
    for place in all_of(folder):
        if not place.is_symlink() and (place.is_dir() or place.is_file()):
            place.chmod(_mode(place))
        os.utime(place, (epoch, epoch), follow_symlinks=False)


def all_of(folder: Path) -> Iterator[Path]:
    """Yield what is below a folder, each folder behind what is in it, and the folder itself last."""
    for parent, folders, files in os.walk(folder, topdown=False):
        yield from (Path(parent) / name for name in (*files, *folders))
    yield folder


def _mode(place: Path) -> int:
    if place.is_dir():
        return _FOLDER
    return _PROGRAM if place.stat().st_mode & 0o100 else _FILE
