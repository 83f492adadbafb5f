"""Mirrorcam's own code on the dock: a venv at /opt/mirrorcam, from the locked packages and one wheel."""

import hashlib
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from evidence.durable import write_durably
from evidence.errors import EnvironmentalError
from provisioning.install.machine import Machine
from provisioning.install.steps import OnlyCheckedError

HOME = "/opt/mirrorcam"
STAMP = f"{HOME}/installed"  # what was installed, written when all of it was
PACKAGES = ("appliance", "dock_station", "evidence", "provisioning", "systemd")
_HERE = Path(__file__).parent
_PROJECT = _HERE.parents[1]
LOCK = _HERE / "requirements.lock"


class NoSourceError(EnvironmentalError):
    """Nothing is there that mirrorcam could be installed from."""

    def __init__(self) -> None:
        super().__init__(
            "there is nothing to install mirrorcam from: call this in its checkout, or name a --wheel FILE."
        )


@dataclass(frozen=True)
class Source:
    """Where the code comes from: a wheel, or with none the checkout that this program runs in."""

    wheel: Path | None = None

    @property
    def is_checkout(self) -> bool:
        """Whether there is a checkout to build from."""
        return self.wheel is None and (_PROJECT / "pyproject.toml").is_file() and (_PROJECT / "systemd").is_dir()

    def digest(self) -> str | None:
        """Return what tells this code from any other, or None where there is nothing to install."""
        if self.wheel:
            return _digest([self.wheel])
        return _digest(_files()) if self.is_checkout else None

    def build(self, machine: Machine, folder: Path) -> Path:
        """Return the wheel; one that has to be built is built in `folder`, by the Python that runs this program."""
        if self.wheel:
            return self.wheel
        source = folder / "source"
        for file in _files():
            target = source / file.relative_to(_PROJECT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
        machine.call(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(source))
        return next(folder.glob("*.whl"))


def _files() -> list[Path]:
    found = [_PROJECT / "pyproject.toml", _PROJECT / "README.md"]
    for package in PACKAGES:
        found += (
            path for path in (_PROJECT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )
    return sorted(found)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256(LOCK.read_bytes())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _version_in(stamp: str) -> str:
    """Return what people tell one mirrorcam from another by: its version, its digest's beginning, its Python."""
    found = re.fullmatch(r"mirrorcam (\S+), ([0-9a-f]{8})[0-9a-f]*, (python \S+)\n", stamp)
    return f"{found[1]} ({found[2]}, {found[3]})" if found else "one that cannot be told"


@dataclass(frozen=True)
class Code:
    """The venv that the services run in, by the system's own Python."""

    source: Source
    name: str = f"mirrorcam in {HOME}"

    def differs(self, machine: Machine) -> str | None:
        """Say that it is missing, or another one, or for another Python; one that runs this very program is right."""
        if machine.is_here and Path(sys.prefix) == Path(HOME):
            return None
        there = self._stamp(machine)
        if there is None:
            return f"mirrorcam is not installed in {HOME}"
        wanted = self._wanted(machine)
        if wanted is None or there == wanted:
            return None
        return f"{HOME} holds another mirrorcam than this one, {_version_in(there)} and not {_version_in(wanted)}"

    def apply(self, machine: Machine) -> None:
        """Make the venv, or bring it up to this code; services take it up when they are started again."""
        wanted = self._wanted(machine)
        if not machine.is_here:
            raise OnlyCheckedError(f"mirrorcam is not in {HOME}, or another one")
        if wanted is None:
            raise NoSourceError
        python = f"{HOME}/bin/python3"
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
        is_same_python = (there := self._stamp(machine)) is not None and there.endswith(f"python {machine.python()}\n")
        machine.path(STAMP).unlink(missing_ok=True)
        machine.call("/usr/bin/python3", "-m", "venv", *(() if is_same_python else ("--clear",)), HOME)
        machine.call(*pip, "--require-hashes", "--requirement", str(LOCK))
        with TemporaryDirectory() as folder:
            machine.call(*pip, "--no-deps", "--force-reinstall", str(self.source.build(machine, Path(folder))))
        write_durably(machine.path(STAMP), wanted.encode())

    def _stamp(self, machine: Machine) -> str | None:
        try:
            return machine.path(STAMP).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _wanted(self, machine: Machine) -> str | None:
        digest = self.source.digest()
        return digest and f"mirrorcam {version('mirrorcam')}, {digest}, python {machine.python()}\n"
