"""Steps that only a running computer can take: firewall and bridge at work, catalogue, services, administrator."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dock_station.settings import DockFolder
from evidence.errors import EnvironmentalError, MirrorcamError
from provisioning.install import firewall
from provisioning.install.code import HOME, STAMP
from provisioning.install.machine import Machine

BRIDGE = "mirrorcam0"
PATIENCE_SECONDS = 10  # until systemd-networkd has made the bridge: it takes some milliseconds
DOCK_COMMAND = f"{HOME}/bin/mirrorcam-dock"
_NEVER_MIGRATED = "mirrorcam-dock migrate"  # what every command of a dock answers whose catalogue is not current


class NoBridgeError(EnvironmentalError):
    """The bays' network does not come up."""

    def __init__(self) -> None:
        super().__init__(f"systemd-networkd has not made {BRIDGE}: see 'journalctl -u systemd-networkd'.")


class NoAdministratorError(MirrorcamError):
    """Nobody may sign in at the dock, and nobody was named."""

    def __init__(self) -> None:
        super().__init__("name the first administrator with --administrator LOGIN.")


@dataclass(frozen=True)
class Firewall:
    """The firewall's rules as they are in force, not just in their file."""

    rules: str
    service: str
    name: str = "firewall in force"

    def differs(self, machine: Machine) -> str | None:
        """Say that the rules in force are not those of the file."""
        loaded = machine.run(("nft", "list", "table", *firewall.TABLE.split()))
        if loaded.code == 0 and firewall.comment_of(loaded.output) == firewall.comment_of(self.rules):
            return None
        return "the firewall's rules are not in force"

    def apply(self, machine: Machine) -> None:
        """Load them, through the service that loads them at boot."""
        machine.call("systemctl", "daemon-reload")
        machine.call("systemctl", "restart", self.service)


@dataclass(frozen=True)
class Bridge:
    """The bays' network, made by systemd-networkd."""

    name: str = f"bridge {BRIDGE}"

    def differs(self, machine: Machine) -> str | None:
        """Say that it is not there."""
        return None if self._is_there(machine) else f"the bays' network {BRIDGE} is not there"

    def apply(self, machine: Machine) -> None:
        """Start what makes it, and wait until it has."""
        machine.call("systemctl", "start", "systemd-networkd.service")
        machine.call("networkctl", "reload")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_there(machine):
            if time.monotonic() > deadline:
                raise NoBridgeError
            time.sleep(0.1)

    def _is_there(self, machine: Machine) -> bool:
        return machine.path(f"/sys/class/net/{BRIDGE}").exists()


@dataclass(frozen=True)
class CatalogueMade:
    """The dock's catalogue, with the tables of this version."""

    folder: str
    user: str
    name: str = "catalogue of the dock"

    def differs(self, machine: Machine) -> str | None:
        """Say that it is missing or of an earlier version; raises ProgramFailedError where it cannot be asked."""
        done = machine.run((DOCK_COMMAND, "person", "list", "--folder", self.folder), user=self.user)
        if done.code == 0:
            return None
        if _NEVER_MIGRATED in done.complaint:
            return "the dock's catalogue is not there yet, or of an earlier version"
        return f"the dock's catalogue cannot be used: {_sentence(done.complaint)}"

    def apply(self, machine: Machine) -> None:
        """Make it, or bring it up to this version, as the dock's own user."""
        machine.call(DOCK_COMMAND, "migrate", "--folder", self.folder, user=self.user)


@dataclass(frozen=True)
class Service:
    """A service at work, with the code and the unit file that are there now."""

    unit: str

    @property
    def name(self) -> str:
        """Which."""
        return f"{self.unit} at work"

    def differs(self, machine: Machine) -> str | None:
        """Say that it does not run, or has run since before it was changed."""
        told = machine.call(
            "systemctl", "show", "--timestamp=unix", "--property=ActiveState,ActiveEnterTimestamp", self.unit
        )
        facts = dict(line.partition("=")[::2] for line in told.splitlines())
        if facts.get("ActiveState") != "active":
            return f"the service {self.unit} does not run"
        since = int(facts.get("ActiveEnterTimestamp", "").removeprefix("@") or 0)
        changed = max(_changed(machine, place) for place in (STAMP, f"/etc/systemd/system/{self.unit}"))
        return f"the service {self.unit} has run since before it was changed" if changed > since else None

    def apply(self, machine: Machine) -> None:
        """Start it, anew if it runs; it says itself when it is ready."""
        machine.call("systemctl", "daemon-reload")
        machine.call("systemctl", "restart", self.unit)


@dataclass(frozen=True)
class Administrator:
    """The first person who may sign in at the dock's pages, in the role of IT; the password is asked when needed."""

    folder: str
    user: str
    login: str | None
    password: Callable[[], str]
    name: str = "first administrator"

    def differs(self, machine: Machine) -> str | None:
        """Say that nobody may sign in, or not the one who was named."""
        told = machine.call(DOCK_COMMAND, "person", "list", "--folder", self.folder, user=self.user)
        logins = {line.split()[0] for line in told.splitlines() if line.strip()}
        if "Nobody may sign in yet" in told:
            return "nobody may sign in at this dock yet"
        return f"the administrator {self.login} may not sign in" if self.login and self.login not in logins else None

    def apply(self, machine: Machine) -> None:
        """Add the person; the password goes through a pipe."""
        if self.login is None:
            raise NoAdministratorError
        command = (DOCK_COMMAND, "person", "add", self.login, "--role", "it", "--password-file", "-")
        machine.call(*command, "--folder", self.folder, user=self.user, lines=f"{self.password()}\n")


def is_set_up(folder: Path) -> bool:
    """Say whether `dock create` has been called for a dock's folder."""
    return DockFolder(folder).settings_file.exists()


def _changed(machine: Machine, place: str) -> float:
    try:
        return machine.path(place).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _sentence(complaint: str) -> str:
    return complaint.strip().partition("mirrorcam-dock: ")[2].rstrip(".") or "it says nothing"
