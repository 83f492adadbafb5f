"""Steps that hold on any file system: packages, users, folders, files, what is started at boot.

Every step can be asked whether the machine differs from what it wants, which changes nothing, and can be applied again
after it was cut off anywhere.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evidence.durable import sync_folder, write_durably
from evidence.errors import EnvironmentalError
from provisioning.install.machine import Machine


class OnlyCheckedError(EnvironmentalError):
    """A step cannot be taken on a file system that is not the running one."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; that is done inside it: call this command there, by chroot say.")


class NoUserError(EnvironmentalError):
    """A user that something is to belong to is not there."""

    def __init__(self, user: str) -> None:
        super().__init__(f"there is no user {user}.")


class Step(Protocol):
    """One thing that is to be so."""

    @property
    def name(self) -> str:
        """What it is about, in a few words."""
        ...

    def differs(self, machine: Machine) -> str | None:
        """Say in one sentence, without its stop, in what the machine differs, or None; changes nothing."""
        ...

    def apply(self, machine: Machine) -> None:
        """Make it so; raises MirrorcamError or OSError."""
        ...


@dataclass(frozen=True)
class Packages:
    """Packages of the system's own archive that are to be installed."""

    names: tuple[str, ...]
    name: str = "packages of the system"

    def differs(self, machine: Machine) -> str | None:
        """Say which are missing."""
        missing = self._missing(machine)
        return f"packages are missing: {', '.join(missing)}" if missing else None

    def apply(self, machine: Machine) -> None:
        """Install those that are missing, without what they merely recommend."""
        missing = self._missing(machine)
        if not machine.is_here:
            raise OnlyCheckedError(f"packages are missing there: {', '.join(missing)}")
        machine.call("apt-get", "update", "-qq")
        machine.call("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)

    def _missing(self, machine: Machine) -> list[str]:
        admin = f"--admindir={machine.path('/var/lib/dpkg')}"
        # Its exit code is 1 where one of the packages is unknown; the others are listed even so.
        told = machine.run(("dpkg-query", admin, "-W", "-f", "${db:Status-Status} ${Package}\n", *self.names))
        there = {line.partition(" ")[2] for line in told.output.splitlines() if line.startswith("installed ")}
        return [name for name in self.names if name not in there]


@dataclass(frozen=True)
class User:
    """A user of the system that a file of sysusers.d describes."""

    user: str
    file: str

    @property
    def name(self) -> str:
        """Who."""
        return f"user {self.user}"

    def differs(self, machine: Machine) -> str | None:
        """Say that there is none."""
        return None if machine.ids_of(self.user) else f"there is no user {self.user}"

    def apply(self, machine: Machine) -> None:
        """Make it."""
        root = () if machine.is_here else (f"--root={machine.root}",)
        machine.call("systemd-sysusers", *root, self.file)


@dataclass(frozen=True)
class Folder:
    """A folder with its owner and mode."""

    place: str
    owner: str
    mode: int

    @property
    def name(self) -> str:
        """Which."""
        return f"folder {self.place}"

    def differs(self, machine: Machine) -> str | None:
        """Say that it is missing, or whose it is, or how open."""
        path = machine.path(self.place)
        if path.is_symlink() or not path.is_dir():
            return f"{self.place} is no folder" if os.path.lexists(path) else f"{self.place} is missing"
        return _standing(machine, path, self.place, self.owner, self.mode)

    def apply(self, machine: Machine) -> None:
        """Make it, or hand it to its owner."""
        path = machine.path(self.place)
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        _hand_over(machine, path, self.owner, self.mode)
        sync_folder(path.parent)


@dataclass(frozen=True)
class File:
    """A file of the set-up, root's own; `then` is what the running system is told of a new one by."""

    place: str
    content: bytes
    purpose: str
    then: tuple[str, ...] = ()
    mode: int = 0o644

    @property
    def name(self) -> str:
        """Which, and what for."""
        return f"{self.place}  ({self.purpose})"

    def differs(self, machine: Machine) -> str | None:
        """Say that it is missing, or has another content, owner or mode."""
        path = machine.path(self.place)
        if not os.path.lexists(path):
            return f"{self.place} is missing"
        if path.is_symlink() or not path.is_file():
            return f"{self.place} is no file"
        if path.read_bytes() != self.content:
            return f"{self.place} has another content"
        return _standing(machine, path, self.place, "root", self.mode)

    def apply(self, machine: Machine) -> None:
        """Write it beside and put it in place, and tell the system."""
        path = machine.path(self.place)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.is_symlink() or not path.is_file() or path.read_bytes() != self.content:
            write_durably(path, self.content, mode=self.mode)
        _hand_over(machine, path, "root", self.mode)
        if self.then and machine.is_booted:
            machine.call(*self.then)


@dataclass(frozen=True)
class Owned:
    """All that a folder holds belongs to its owner; `dock create`, say, was called by root."""

    place: str
    owner: str

    @property
    def name(self) -> str:
        """Which folder's."""
        return f"owner of what is in {self.place}"

    def differs(self, machine: Machine) -> str | None:
        """Say how much belongs to others."""
        others = self._others(machine)
        return f"{self.place} holds {len(others)} files or folders that are not {self.owner}'s" if others else None

    def apply(self, machine: Machine) -> None:
        """Hand it over."""
        owner = machine.ids_of(self.owner)
        if owner is None:
            raise NoUserError(self.owner)
        for path in self._others(machine):
            os.chown(path, *owner, follow_symlinks=False)

    def _others(self, machine: Machine) -> list[Path]:
        owner = machine.ids_of(self.owner)
        others = []
        for path in sorted(machine.path(self.place).rglob("*")):
            with suppress(FileNotFoundError):  # a dock at work makes and removes files
                found = path.lstat()
                if (found.st_uid, found.st_gid) != owner:
                    others.append(path)
        return others


@dataclass(frozen=True)
class AtBoot:
    """A service that systemd starts with a target; `without` is what its package would have started beside it."""

    unit: str
    target: str = "multi-user.target"
    without: str | None = None

    @property
    def name(self) -> str:
        """Which."""
        return f"{self.unit} at boot"

    def differs(self, machine: Machine) -> str | None:
        """Say that it is not started at boot."""
        link = machine.path(f"/etc/systemd/system/{self.target}.wants/{self.unit}")
        return None if os.path.lexists(link) else f"nothing starts {self.unit} at boot"

    def apply(self, machine: Machine) -> None:
        """Have it started at boot from now on."""
        systemctl = ("systemctl", "--quiet", *(() if machine.is_here else (f"--root={machine.root}",)))
        machine.call(*systemctl, "enable", self.unit)
        if self.without:
            machine.call(*systemctl, "disable", self.without)


def _standing(machine: Machine, path: Path, place: str, owner: str, mode: int) -> str | None:
    """Say whose a file is, or how open, if that differs."""
    found, wanted = path.lstat(), machine.ids_of(owner)
    if (found.st_uid, found.st_gid) != wanted:
        return f"{place} does not belong to {owner}"
    if stat.S_IMODE(found.st_mode) != mode:
        return f"{place} has mode {stat.S_IMODE(found.st_mode):04o}, not {mode:04o}"
    return None


def _hand_over(machine: Machine, path: Path, owner: str, mode: int) -> None:
    ids = machine.ids_of(owner)
    if ids is None:
        raise NoUserError(owner)
    os.chown(path, *ids, follow_symlinks=False)
    path.chmod(mode)
