"""A worn unit and its dock in one machine, joined by USB: what tests do to them, and what they see of them."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.virtual_pi.cards import enable, mask, write_code_disk
from tests.virtual_pi.initrd import write_initrd
from tests.virtual_pi.machine import Drive, Machine
from tests.virtual_pi.root import HERE, PROJECT, Root
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import Town

UNIT_SERVICES = ("mirrorcam-gadget.service", "mirrorcam-cable.service", "mirrorcam-unit.service")
DOCK_SERVICES = ("mirrorcam-bays.service", "mirrorcam-pages.service", "mirrorcam-retention.service")
_RIG_SERVICES = ("rig-usb.service", "rig-touch.service", "rig-unit-network@unit.service")
# What an image for one purpose would not have.
_NOT_NEEDED = (
    *("systemd-logind.service", "getty.target", "e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer"),
    *("apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "systemd-random-seed.service"),
    *("systemd-update-utmp.service", "systemd-user-sessions.service", "dbus.service", "dbus.socket"),
)
_SOCKET = "/sys/bus/usb/devices/usb1/1-0:1.0/usb1-port1/disable"


@dataclass(frozen=True)
class Rig:
    """What all machines of a test run share: the root, the initial RAM disk, today's code."""

    root: Root
    folder: Path

    @classmethod
    def build(cls, root: Root, folder: Path, add: Callable[[Path], None]) -> "Rig":
        """Build it in `folder`; `add` puts more onto the code disk."""
        rig = cls(root, folder)
        write_initrd(root, rig.initrd)

        def put(tree: Path) -> None:
            _put_system_files(tree)
            add(tree)

        write_code_disk(root, rig.code, put)
        return rig

    @property
    def initrd(self) -> Path:
        """The initial RAM disk."""
        return self.folder / "initrd"

    @property
    def code(self) -> Path:
        """The disk with today's code."""
        return self.folder / "code.ext4"

    def pi(self, name: str, town: Town, *, extra: Sequence[str] = (), processors: int = 2) -> "VirtualPi":
        """Return a machine that is switched off, with new data disks."""
        folder = self.folder / name
        folder.mkdir()
        unit_disk, dock_disk = folder / "unit.ext4", folder / "dock.ext4"
        town.write_unit_disk(unit_disk)
        town.write_dock_disk(dock_disk)
        drives = (
            Drive(self.code, is_written=False),
            Drive(unit_disk, is_written=True),
            Drive(dock_disk, is_written=True),
        )
        machine = Machine(self.root, self.initrd, drives, folder, extra=extra, processors=processors)
        return VirtualPi(machine, town, unit_disk, dock_disk)


@dataclass(frozen=True)
class VirtualPi:
    """The machine, from outside. Every wait has a bound."""

    machine: Machine
    town: Town
    unit_disk: Path
    dock_disk: Path

    # What they say

    def said(self, service: str) -> list[dict[str, Any]]:
        """Return what a service has logged since the machine's start, line by line."""
        output = self.machine.run(f"journalctl --no-pager -o cat -u {service}")
        return [json.loads(line) for line in output.splitlines() if line.startswith("{")]

    def events(self, service: str = "mirrorcam-unit") -> list[str]:
        """Return the names of the events that a service has logged."""
        return [line["event"] for line in self.said(service)]

    def wait_for(
        self, event: str, *, count: int = 1, seconds: float = 120.0, service: str = "mirrorcam-unit"
    ) -> dict[str, Any]:
        """Return a service's `count`th line with this event, as soon as it is there."""

        def found() -> dict[str, Any] | None:
            lines = [line for line in self.said(service) if line["event"] == event]
            return lines[count - 1] if len(lines) >= count else None

        line: dict[str, Any] = until(found, seconds=seconds, what=f"'{event}' of {service}", pause=0.3)
        return line

    def count(self, event: str, service: str = "mirrorcam-unit") -> int:
        """Return how often a service has logged an event."""
        return self.events(service).count(event)

    def clock(self) -> float:
        """Return the machine's monotonic time, in seconds."""
        return float(self.machine.run("cut -d' ' -f1 /proc/uptime"))

    # What is done to them

    def touch(self, line: str) -> list[float]:
        """Have the panel touched (`tap 0.08`, `hold 2.1`, `down`, `up`), and return the moments of it."""
        before = len(self._touched())
        self.machine.run(f"echo '{line}' > /run/rig/touch")
        answers: list[str] = until(lambda: self._touched()[before:], seconds=60, what=f"the touch '{line}'", pause=0.05)
        return [float(moment) for moment in answers[0].partition(": ")[2].split()]

    def _touched(self) -> list[str]:
        return self.machine.run("cat /run/rig/touched").splitlines()

    def plug(self) -> None:
        """Put the unit onto the dock."""
        self.machine.run(f"echo 0 > {_SOCKET}")

    def unplug(self) -> None:
        """Take it off."""
        self.machine.run(f"echo 1 > {_SOCKET}")

    # What is there

    def spool(self) -> list[str]:
        """Return the names of the files in the unit's spool."""
        return self.machine.run("ls /var/lib/mirrorcam/unit/data").split()


def _put_system_files(tree: Path) -> None:
    shutil.copytree(HERE / "overlay", tree, dirs_exist_ok=True)
    shutil.copytree(PROJECT / "systemd/system", tree / "usr/lib/systemd/system")
    shutil.copytree(PROJECT / "systemd/sysusers.d", tree / "usr/lib/sysusers.d")
    shutil.copytree(PROJECT / "systemd/network/dock", tree / "usr/lib/systemd/network")
    shutil.copytree(PROJECT / "systemd/network/unit", tree / "usr/lib/mirrorcam-rig/unit-network")
    enable(tree, *UNIT_SERVICES, *DOCK_SERVICES, "systemd-networkd.service")
    enable_rig(tree, *_RIG_SERVICES)
    mask(tree, *_NOT_NEEDED)


def enable_rig(tree: Path, *units: str) -> None:
    """Have systemd start the rig's own units."""
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    for unit in units:
        name, _, instance = unit.partition("@")
        file = f"{name}@.service" if instance else unit
        (wants / unit).symlink_to(f"/etc/systemd/system/{file}")
