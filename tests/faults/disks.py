"""Disks for tests: one that logs what it does so that a medium can be cut off anywhere, and others that fail."""

import errno
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from appliance.writing.disk import Disk, Space

SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One thing that was done to the disk, and when (the test's seconds)."""

    moment: float
    what: Literal["create", "write", "sync", "replace", "rename", "remove", "sync_folder"]
    name: str = ""
    content: bytes = b""
    new_name: str = ""


class LoggingDisk(Disk):
    """The real disk, with a log of all that was done to it; a step is in the log when it is done."""

    def __init__(self, moment: Callable[[], float]) -> None:
        self.steps: list[Step] = []
        self._moment = moment
        self._names: dict[int, str] = {}

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._names[descriptor] = path.name
        self._log("create", path.name)
        return descriptor

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        taken = super().write(descriptor, data)
        self._log("write", self._names[descriptor], bytes(data[:taken]))
        return taken

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self._log("sync", self._names[descriptor])

    def settle(self, path: Path) -> None:
        super().settle(path)
        self._log("sync", path.name)

    def write_durably(self, path: Path, content: bytes) -> None:
        super().write_durably(path, content)
        self._log("replace", path.name, content)

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._log("rename", old.name, new_name=new.name)

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._log("remove", path.name)

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self._log("sync_folder")

    def _log(
        self,
        what: Literal["create", "write", "sync", "replace", "rename", "remove", "sync_folder"],
        name: str = "",
        content: bytes = b"",
        new_name: str = "",
    ) -> None:
        self.steps.append(Step(self._moment(), what, name, content, new_name))


@dataclass
class _File:
    durable: bytes = b""
    unsynced: list[bytes] = field(default_factory=list)

    def sync(self) -> None:
        self.durable += b"".join(self.unsynced)
        self.unsynced.clear()


_Folder = dict[str, _File]


class Medium:
    """What a medium has of a folder while steps come in, and what of it is left when the power goes."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin with what `folder` holds, all of it durable."""
        files = {path.name: _File(path.read_bytes()) for path in folder.iterdir()} if folder else {}
        self._durable: _Folder = files
        self._seen: _Folder = dict(files)
        self._pending: list[Callable[[_Folder], object]] = []

    def take(self, steps: Iterable[Step]) -> "Medium":
        """Let steps happen."""
        for step in steps:
            self._take(step)
        return self

    def cut(self, folder: Path, *, chance: random.Random | None = None) -> Path:
        """Write to `folder` what is left: what was synced, and with `chance` some of what was not.

        Of the folder's unsynced entries any number is kept in their order, as a journal does; of a file's unsynced
        writes any, in whole sectors, with zeros in the gaps.
        """
        kept = dict(self._durable)
        for change in self._pending[: chance.randint(0, len(self._pending)) if chance else 0]:
            change(kept)
        folder.mkdir(parents=True)
        for name, file in kept.items():
            (folder / name).write_bytes(file.durable + (_some(file.unsynced, chance) if chance else b""))
        return folder

    def write_seen(self, folder: Path) -> Path:
        """Write to `folder` what programs see of it, which is what is left when only a process dies."""
        folder.mkdir(parents=True)
        for name, file in self._seen.items():
            (folder / name).write_bytes(file.durable + b"".join(file.unsynced))
        return folder

    def _take(self, step: Step) -> None:
        if step.what == "write":
            self._seen[step.name].unsynced.append(step.content)
        elif step.what == "sync":
            self._seen[step.name].sync()
        elif step.what == "create":
            self._change(partial(_put, step.name, _File()))
        elif step.what == "rename":
            self._change(partial(_rename, step.name, step.new_name))
        elif step.what == "remove":
            self._change(partial(_remove, step.name))
        else:
            if step.what == "replace":
                self._change(partial(_put, step.name, _File(step.content)))
            self._durable = dict(self._seen)
            self._pending.clear()

    def _change(self, change: Callable[[_Folder], object]) -> None:
        change(self._seen)
        self._pending.append(change)


def _put(name: str, file: _File, folder: _Folder) -> None:
    folder[name] = file


def _rename(old: str, new: str, folder: _Folder) -> None:
    folder[new] = folder.pop(old)


def _remove(name: str, folder: _Folder) -> None:
    folder.pop(name, None)


def _some(writes: list[bytes], chance: random.Random) -> bytes:
    left = bytearray()
    end = 0
    for write in writes:
        whole = len(write) if chance.random() < 0.5 else chance.randrange(0, len(write) + 1, SECTOR)
        if chance.random() < 0.7:
            left += bytes(end - len(left)) + write[:whole]
        end += len(write)
    return bytes(left)


class StallingDisk(Disk):
    """The real disk, which takes nothing from the moment of `stall` to that of `go_on`; so far it waits.

    From `stall_reading` on it gives nothing back either.
    """

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()
        self._gives = threading.Event()
        self._gives.set()
        self.waits = threading.Event()

    def stall_reading(self) -> None:
        self._gives.clear()

    def stall(self) -> None:
        self._free.clear()

    def go_on(self) -> None:
        self._free.set()
        self._gives.set()

    def pieces(self, path: Path) -> Iterator[bytes]:
        if not self._gives.is_set():
            self.waits.set()
        self._gives.wait()
        return super().pieces(path)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        self._wait()
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._wait()
        super().sync(descriptor)

    def _wait(self) -> None:
        if not self._free.is_set():
            self.waits.set()
        self._free.wait()


class FailingDisk(Disk):
    """The real disk until `error` is set; then the named methods raise it, after as many good calls as are left."""

    def __init__(self) -> None:
        self._error: int | None = None
        self._methods: frozenset[str] = frozenset()
        self._good_calls = 0
        self._bad_calls = 0

    def fail(self, error: int, *methods: str, after: int = 0, times: int = 1 << 30) -> None:
        """Raise `error` (an errno) from `methods`, `times` times, after so many calls that succeed."""
        self._error, self._methods, self._good_calls, self._bad_calls = error, frozenset(methods), after, times

    def heal(self) -> None:
        self._error = None

    def create(self, path: Path) -> int:
        self._check("create")
        return super().create(path)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        self._check("write")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._check("sync")
        super().sync(descriptor)

    def settle(self, path: Path) -> None:
        self._check("settle")
        super().settle(path)

    def pieces(self, path: Path) -> Iterator[bytes]:
        self._check("pieces")
        return super().pieces(path)

    def write_durably(self, path: Path, content: bytes) -> None:
        self._check("write_durably")
        super().write_durably(path, content)

    def rename(self, old: Path, new: Path) -> None:
        self._check("rename")
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._check("remove")
        super().remove(path)

    def sync_folder(self, folder: Path) -> None:
        self._check("sync_folder")
        super().sync_folder(folder)

    def space(self, folder: Path) -> Space:
        self._check("space")
        return super().space(folder)

    def _check(self, method: str) -> None:
        if self._error is None or method not in self._methods or not self._bad_calls:
            return
        if self._good_calls:
            self._good_calls -= 1
            return
        self._bad_calls -= 1
        raise OSError(self._error, os.strerror(self._error))


class FullDisk(Disk):
    """The real disk with room for so many bytes of clips; the system's own figure of the room is right."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(descriptor, data[: self.room])
        self.room -= taken
        return taken

    def space(self, folder: Path) -> Space:
        return Space(self.room, 1 << 40)
