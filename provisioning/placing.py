"""Files of a set-up: each is made once, found again by the next run, and never replaced by something different."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evidence.durable import create_durably, sync_folder, write_durably
from evidence.errors import EnvironmentalError, MirrorcamError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


class WouldOverwriteError(MirrorcamError):
    """A file that is there is not the one that this command would make."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is there already and differs: {reason}; nothing was changed.")
        self.path = path


class FolderInUseError(EnvironmentalError):
    """Another command is at work in the same folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Another command is working in {path} right now: wait for it and try again.")
        self.path = path


@dataclass(frozen=True)
class Step:
    """One file or folder of a set-up: where it is, what it is for, and whether this run made it."""

    path: Path
    purpose: str
    is_new: bool


class SetUp:
    """Makes what is missing of a set-up, and keeps the list of what it made and of what was there.

    Every file appears whole or not at all, so a run that was interrupted anywhere is finished by the next one.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def folder(self, path: Path) -> None:
        """Make a folder that only its owner may enter, where there is none."""
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        sync_folder(path.parent)

    def file(self, path: Path, content: bytes, purpose: str, *, mode: int = 0o644) -> None:
        """Make a file with this very content; raises WouldOverwriteError where another content stands."""
        if path.exists():
            if path.read_bytes() != content:
                raise WouldOverwriteError(path, "it has another content")
            self.found(path, purpose)
        else:
            create_durably(path, content, mode=mode)
            self.made(path, purpose)

    def secret(self, path: Path, make: Callable[[], bytes], purpose: str) -> None:
        """Make a private file in place, readable by its owner alone, where there is none."""
        if path.exists():
            self.found(path, purpose)
        else:
            create_durably(path, make(), mode=PRIVATE_FILE)
            self.made(path, purpose)

    def replacement(self, path: Path, content: bytes, purpose: str, *, mode: int = 0o644) -> None:
        """Make a file, or replace it by a newer one of its kind."""
        if path.exists() and path.read_bytes() == content:
            self.found(path, purpose)
        else:
            write_durably(path, content, mode=mode)
            self.made(path, purpose)

    def made(self, path: Path, purpose: str) -> None:
        """Note that a file was made."""
        self.steps.append(Step(path, purpose, is_new=True))

    def found(self, path: Path, purpose: str) -> None:
        """Note that a file was there already."""
        self.steps.append(Step(path, purpose, is_new=False))


@contextmanager
def exclusively(folder: Path) -> Iterator[None]:
    """Hold a folder for one command at a time; raises FolderInUseError where another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise FolderInUseError(folder) from error
    finally:
        os.close(descriptor)
