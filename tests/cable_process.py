"""The forwarder as a process of its own for tests, and a network cable that can be pulled, with its end of it."""

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 30  # seconds that a test waits for what takes a moment
PROGRAM = Path(sys.executable).with_name("mirrorcam-unit")

Line = dict[str, Any]


@dataclass
class CableProcess:
    """One running `mirrorcam-unit cable`."""

    process: "subprocess.Popen[str]"
    lines: list[Line] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _has_ended: bool = False

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def wait_for(self, event: str, *, count: int = 1) -> Line:
        """Return the line of this event, once it has come `count` times; fails when the process ends before."""

        def found() -> list[Line]:
            return [line for line in self.lines if line["event"] == event]

        with self._news:
            self._news.wait_for(lambda: len(found()) >= count or self._has_ended, PATIENCE)
        assert len(found()) >= count, f"no {event}: {self.events}"
        return found()[count - 1]

    def end(self) -> int:
        """Wait until it has ended."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.lines.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


@contextmanager
def running_cable(
    folder: Path, socket_path: Path, *, interface: str = "lo", within: Sequence[str] = ()
) -> Iterator[CableProcess]:
    """Run the forwarder of a unit's folder as long as the block runs, started by the command `within` if given."""
    command = [*within, str(PROGRAM), "cable", "--folder", str(folder)]
    process = subprocess.Popen(
        [*command, "--interface", interface, "--socket", str(socket_path)], stdout=subprocess.PIPE, text=True
    )
    cable = CableProcess(process)
    try:
        cable.wait_for("cable_ready")
        yield cable
    finally:
        process.kill()
        cable.end()
        assert process.stdout
        process.stdout.close()


class Wire:
    """A real pair of network cards: the unit's in a network namespace of its own, the dock's in this one."""

    unit_address, dock_address = "fd00:6d63::2", "fd00:6d63::1"
    card = "usb0"

    def __init__(self) -> None:
        name = uuid.uuid4().hex[:8]
        self.namespace, self.near_card = f"mirrorcam-{name}", f"mc{name}"

    @property
    def within(self) -> Sequence[str]:
        """The command that runs another one at the unit's end."""
        return ("ip", "netns", "exec", self.namespace)

    def lay(self) -> None:
        self._ip("netns", "add", self.namespace)
        self._ip("-n", self.namespace, "link", "set", "lo", "up")
        self.plug_card_in()

    def plug_card_in(self) -> None:
        """Have both cards appear, joined."""
        peer = ("peer", "name", self.card, "netns", self.namespace)
        self._ip("link", "add", self.near_card, "type", "veth", *peer)
        self._ip("-n", self.namespace, "address", "add", f"{self.unit_address}/64", "dev", self.card, "nodad")
        self._ip("-n", self.namespace, "link", "set", self.card, "up")
        self.put_in()

    def take_card_out(self) -> None:
        """Have both cards vanish."""
        self._ip("link", "delete", self.near_card)

    def put_in(self) -> None:
        self._ip("link", "set", self.near_card, "up")
        self._ip("address", "replace", f"{self.dock_address}/64", "dev", self.near_card, "nodad")

    def pull(self) -> None:
        """Take the dock's end away: the unit's card stays, without a carrier."""
        self._ip("link", "set", self.near_card, "down")

    def pull_far_end(self) -> None:
        """Take the unit's end away: the dock's card stays, without a carrier."""
        self._ip("-n", self.namespace, "link", "set", self.card, "down")

    def put_far_end_in(self) -> None:
        self._ip("-n", self.namespace, "link", "set", self.card, "up")

    def remove(self) -> None:
        subprocess.run(["ip", "link", "delete", self.near_card], check=False, stderr=subprocess.DEVNULL)
        self._ip("netns", "delete", self.namespace)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)


@contextmanager
def laid_wire() -> Iterator[Wire]:
    """Lay a cable from this network namespace to a new one; whatever happens, nothing of it stays."""
    assert os.geteuid() == 0, "run this as root: it lays a cable between two network namespaces"
    wire = Wire()
    try:
        wire.lay()
        yield wire
    finally:
        wire.remove()
