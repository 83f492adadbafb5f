"""A worn unit and its dock in one machine, joined by USB: what tests do to them, and what they see of them."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.virtual_pi.cards import enable, mask, write_code_disk
from tests.virtual_pi.initrd import write_initrd
from tests.virtual_pi.machine import Drive, Machine, kernel_of
from tests.virtual_pi.root import HERE, PROJECT, Root
from tests.virtual_pi.talking import NoAnswerError, until
from tests.virtual_pi.town import PAGES_PORT, SMALL_PANEL, Town

UNIT_SERVICES = ("mirrorcam-gadget.service", "mirrorcam-cable.service", "mirrorcam-unit.service")
DOCK_SERVICES = ("mirrorcam-bays.service", "mirrorcam-pages.service", "mirrorcam-retention.service")
_RIG_SERVICES = ("rig-usb.service", "rig-touch.service", "rig-unit-network@unit.service")
# What an image for one purpose would not have.
_NOT_NEEDED = (
    *("systemd-logind.service", "getty.target", "e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer"),
    *("apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "systemd-random-seed.service"),
    *("systemd-update-utmp.service", "systemd-user-sessions.service", "dbus.service", "dbus.socket"),
)
_STATES = {"standby", "live", "recording_started", "fault", "docked"}
_HOLDS = 5
_SPOOL = "/var/lib/mirrorcam/unit/data"
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
            put_system_files(tree)
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

    def pi(
        self,
        name: str,
        town: Town,
        *,
        extra: Sequence[str] = (),
        processors: int = 2,
        scratch_mebibytes: int = 16,
        screen: tuple[int, int] = SMALL_PANEL,
    ) -> "VirtualPi":
        """Return a machine that is switched off, with new data disks, and one (/dev/vde) for what a test wants out."""
        folder = self.folder / name
        folder.mkdir()
        disks = [folder / f"{name}.ext4" for name in ("unit", "dock", "scratch")]
        town.write_unit_disk(disks[0], screen)
        town.write_dock_disk(disks[1])
        with disks[2].open("wb") as scratch:
            scratch.truncate(scratch_mebibytes << 20)
        return self._with_disks(folder, town, disks, extra=extra, processors=processors, screen=screen)

    def copy(self, pi: "VirtualPi", name: str, *, of: Sequence[Path]) -> "VirtualPi":
        """Return a machine that is switched off, with copies `of` these disks (unit's, dock's, scratch)."""
        folder = self.folder / name
        folder.mkdir()
        disks = [folder / disk.name for disk in of]
        for source, copy in zip(of, disks, strict=True):
            subprocess.run(["cp", "--sparse=always", str(source), str(copy)], check=True)
        return self._with_disks(folder, pi.town, disks, extra=(), processors=2, screen=SMALL_PANEL)

    def _with_disks(
        self,
        folder: Path,
        town: Town,
        disks: Sequence[Path],
        *,
        extra: Sequence[str],
        processors: int,
        screen: tuple[int, int],
    ) -> "VirtualPi":
        drives = [
            *(Drive(disk, is_written=False) for disk in (self.root.disk, self.code)),
            *(Drive(disk, is_written=True) for disk in disks),
        ]
        boot = kernel_of(self.root, self.initrd)
        machine = Machine(self.root.arch, boot, drives, folder, extra=extra, processors=processors, screen=screen)
        return VirtualPi(machine, town, *disks)


@dataclass(frozen=True)
class VirtualPi:
    """The machine, from outside. Every wait has a bound."""

    machine: Machine
    town: Town
    unit_disk: Path
    dock_disk: Path
    scratch_disk: Path

    # What they say

    def said(self, service: str) -> list[dict[str, Any]]:
        """Return what a service has logged since the machine's start, line by line."""
        output = self.machine.run(f"journalctl --no-pager -o cat -u {service}")
        return [json.loads(line) for line in output.splitlines() if line.startswith("{")]

    def events(self, service: str = "mirrorcam-unit") -> list[str]:
        """Return the names of the events that a service has logged."""
        return [line["event"] for line in self.said(service)]

    def wait_for(
        self, event: str, *, count: int = 1, seconds: float = 300.0, service: str = "mirrorcam-unit"
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

    def state(self) -> str:
        """Return what the unit is doing, by the last event that says so."""
        told = [name for name in self.events() if name in _STATES]
        return told[-1] if told else ""

    def wait_for_state(self, state: str, *, seconds: float = 240.0) -> None:
        """Wait until the unit is in this state; where it never is, what it said last is told."""
        try:
            until(lambda: self.state() == state, seconds=seconds, what=f"the unit to be in '{state}'", pause=0.3)
        except NoAnswerError as error:
            raise NoAnswerError(f"{error} It said: {self.said('mirrorcam-unit')[-12:]}") from error

    def clock(self) -> float:
        """Return the machine's monotonic time, in seconds."""
        return float(self.machine.run("cut -d' ' -f1 /proc/uptime"))

    def wall_clock_at(self, monotonic: float) -> float:
        """Return the Unix time at a moment of the machine's monotonic clock."""
        now, since_start = map(float, self.machine.run("echo $(date +%s.%N) $(cut -d' ' -f1 /proc/uptime)").split())
        return now - since_start + monotonic

    # What is done to them

    def touch(self, line: str) -> list[float]:
        """Have the panel touched (`tap 0.08`, `hold 2.1`, `down`, `up`), and return the moments of it."""
        before = len(self._touched())
        self.machine.run(f"echo '{line}' > /run/rig/touch")
        answers: list[str] = until(lambda: self._touched()[before:], seconds=60, what=f"the touch '{line}'", pause=0.05)
        return [float(moment) for moment in answers[0].partition(": ")[2].split()]

    def end_clip(self) -> dict[str, Any]:
        """Hold a finger on the panel, as a wearer does, until the clip is closed; return the line that says so.

        Where the camera of a busy machine was given up meanwhile, the unit goes on in another clip, and that is ended.
        """
        for _ in range(_HOLDS):
            ended = self.count("recording_ended")
            self.touch("down")
            stated = self.wait_for("recording_ended", count=ended + 1)
            self.touch("up")
            if stated["ended_by"] != "camera-failed":
                return stated
        raise NoAnswerError(f"The camera was given up {_HOLDS} times: this machine is too busy.")

    def _touched(self) -> list[str]:
        return self.machine.run("cat /run/rig/touched").splitlines()

    def plug(self) -> None:
        """Put the unit onto the dock."""
        self._power_socket("0")

    def unplug(self) -> None:
        """Take it off."""
        self._power_socket("1")

    def _power_socket(self, disabled: str) -> None:
        until(lambda: self.machine.try_run(f"test -e {_SOCKET}").code == 0, seconds=60, what="a USB socket")
        self.machine.run(f"echo {disabled} > {_SOCKET}")

    # What is there

    def spool(self) -> list[str]:
        """Return the names of the files in the unit's spool."""
        return self.machine.run(f"ls {_SPOOL}").split()

    def clip(self, clip_id: str) -> bytes:
        """Return a waiting clip's sealed file."""
        return self.machine.read(f"{_SPOOL}/{clip_id}.mp4.age")

    def waiting(self) -> set[str]:
        """Return the ids of the clips that are closed and wait in the unit's spool."""
        return {name.removesuffix(".mp4.age") for name in self.spool() if name.endswith(".mp4.age")}

    def fill_spool(self, clips: int, size: int) -> set[str]:
        """Put so many clips of `size` bytes into the spool of the unit, which is off the dock, and return their ids."""
        self.machine.run("systemctl stop mirrorcam-unit", seconds=120)
        begun = self.count("standby")
        script = f"/opt/mirrorcam/bin/python3 /opt/mirrorcam/rig/fill_spool.py {clips} {size}"
        added = self.machine.run(f"runuser -u mirrorcam-unit -- {script}", seconds=300).split()
        self.machine.run("systemctl start mirrorcam-unit", seconds=300)
        self.wait_for("standby", count=begun + 1)
        return set(added)

    def dock(self, *words: str, seconds: float = 200.0) -> str:
        """Return what a command of mirrorcam-dock prints."""
        command = f"/opt/mirrorcam/bin/mirrorcam-dock {' '.join(words)} --folder /var/lib/mirrorcam/dock"
        return self.machine.run(f"runuser -u mirrorcam-dock -- {command}", seconds=seconds)

    def page(self, path: str) -> str:
        """Return a page of the dock as anybody gets it who has not signed in."""
        ask = (
            "import ssl, sys, urllib.request as r; print(r.urlopen(sys.argv[1], "
            "context=ssl._create_unverified_context(), timeout=30).read().decode())"
        )
        return self.machine.run(f"python3 -c '{ask}' https://localhost:{PAGES_PORT}{path}")

    def vault_bytes(self) -> int:
        """Return how many bytes the dock has of clips, half of one included."""
        return int(self.machine.run("du -sb /var/lib/mirrorcam/dock/vault").split()[0])

    def main_pid(self, service: str) -> int:
        """Return the process id of a service, 0 where none runs."""
        return int(self.machine.run(f"systemctl show -P MainPID {service}"))

    def is_active(self, service: str) -> bool:
        """Tell whether a service says that it is ready."""
        return self.machine.try_run(f"systemctl is-active {service}").out.strip() == "active"

    def scratch(self) -> bytes:
        """Return what a program of the rig has written to the scratch disk: its first eight bytes say how much."""
        with self.scratch_disk.open("rb") as disk:
            size = int.from_bytes(disk.read(8), "little")
            disk.seek(512)
            return disk.read(size)


def put_system_files(tree: Path) -> None:
    """Put our units and networks, and the rig's own, into the tree."""
    shutil.copytree(HERE / "overlay", tree, dirs_exist_ok=True)
    shutil.copytree(PROJECT / "systemd/system", tree / "usr/lib/systemd/system")
    shutil.copytree(PROJECT / "systemd/sysusers.d", tree / "usr/lib/sysusers.d")
    shutil.copytree(PROJECT / "systemd/network/dock", tree / "usr/lib/systemd/network")
    shutil.copytree(PROJECT / "systemd/network/unit", tree / "usr/lib/mirrorcam-rig/unit-network")
    enable(tree, *UNIT_SERVICES, "mirrorcam-crashed.service", *DOCK_SERVICES, "systemd-networkd.service")
    enable_rig(tree, *_RIG_SERVICES)
    mask(tree, *_NOT_NEEDED)


def enable_rig(tree: Path, *units: str) -> None:
    """Have systemd start the rig's own units."""
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    for unit in units:
        name, _, instance = unit.partition("@")
        file = f"{name}@.service" if instance else unit
        (wants / unit).symlink_to(f"/etc/systemd/system/{file}")
