"""The computer that becomes a dock: the running one, or a file system that is prepared for another one."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evidence.errors import EnvironmentalError
from provisioning.stock_programs import Done, ProgramFailedError, check_root, finish

OLDEST_RELEASE = 12  # Debian bookworm: systemd-networkd 252, Python 3.11
SYSTEMS = frozenset({"debian", "raspbian"})  # 64-bit Raspberry Pi OS calls itself debian


class OtherSystemError(EnvironmentalError):
    """The computer runs another system than those that a dock is made for."""

    def __init__(self, root: Path, found: str) -> None:
        super().__init__(
            f"{root} holds {found}, and a dock is installed on Debian or Raspberry Pi OS, release {OLDEST_RELEASE} or "
            "newer."
        )


class Run(Protocol):
    """Runs a command to its end; `lines` go to its standard input, `user` is whom it runs as (None: root)."""

    def __call__(self, command: Sequence[str], *, user: str | None = None, lines: str = "") -> Done:
        """Return how it ended."""
        ...


@dataclass(frozen=True)
class Machine:
    """The computer, its root folder, and how a command is run; `is_booted`: its systemd runs, and can start things."""

    root: Path = Path("/")
    run: Run = finish
    is_booted: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it is the file system that this program runs on."""
        return self.root == Path("/")

    def path(self, place: str) -> Path:
        """Return where a place of the machine's is seen from here."""
        return self.root / place.removeprefix("/")

    def call(self, *command: str, user: str | None = None, lines: str = "") -> str:
        """Run a command and return what it prints; raises ProgramFailedError with the newest line of its complaint."""
        done = self.run(command, user=user, lines=lines)
        if done.code:
            raise ProgramFailedError(Path(command[0]).name, done.reason, "'{program}' refused ({reason}).")
        return done.output

    def ids_of(self, user: str) -> tuple[int, int] | None:
        """Return a user's number and that of their group, as this machine's own list has them; None: there is none."""
        for line in self._lines("/etc/passwd"):
            name, *fields = line.split(":")
            if name == user and len(fields) > 2:
                return int(fields[1]), int(fields[2])
        return None

    def python(self) -> str:
        """Return the version of the machine's own Python, as '3.13'; '' where it has none."""
        found = re.fullmatch(r"python(3\.[0-9]+)", self.path("/usr/bin/python3").resolve().name)
        return found[1] if found else ""

    def require_debian(self) -> None:
        """Raise OtherSystemError unless this is a Debian or Raspberry Pi OS that a dock can be installed on."""
        facts = {
            name: value.strip().strip("\"'")
            for name, _, value in (line.partition("=") for line in self._lines("/etc/os-release"))
        }
        release = re.match(r"[0-9]+", facts.get("VERSION_ID", ""))
        if facts.get("ID") not in SYSTEMS or release is None or int(release[0]) < OLDEST_RELEASE:
            raise OtherSystemError(self.root, facts.get("PRETTY_NAME") or "no system that says its name")

    def _lines(self, place: str) -> list[str]:
        try:
            return self.path(place).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []


def this_machine(root: Path, *, euid: Callable[[], int] = os.geteuid) -> Machine:
    """Return the machine whose file system is at `root`; raises NotRootError or OtherSystemError."""
    check_root(
        "Installing a dock changes the whole computer, so root does it: put 'sudo' before the command.", euid=euid
    )
    root = root.resolve()
    is_booted = root == Path("/") and Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None
    machine = Machine(root, is_booted=is_booted)
    machine.require_debian()
    return machine
