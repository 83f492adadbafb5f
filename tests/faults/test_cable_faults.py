"""A real network cable between unit and dock that is pulled, vanishes, and comes back; a forwarder that is killed."""

import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.docking.client import DockUnreachableError
from appliance.docking.delivery import Sent, Step
from appliance.docking.offload import Offload
from appliance.usb.link import Link
from tests.cable_process import PATIENCE, CableProcess, Wire, laid_wire, running_cable
from tests.dock import RunningDock, running, running_dock, set_up, until
from tests.pki import Pki
from tests.unit_process import environment, running_unit
from tests.worn import Steps, Worn, enrol

SIZE = 60_000_000


@pytest.fixture
def wire() -> Iterator[Wire]:
    with laid_wire() as wire:
        yield wire


@dataclass
class Station:
    """A dock at one end of the wire, and at the other a unit whose forwarder runs."""

    wire: Wire
    dock: RunningDock
    unit: Worn
    cable: CableProcess
    socket_path: Path

    def call(self) -> socket.socket:
        """Call the dock as the unit's programs do."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(self.socket_path))
        return connection

    def hand_over(self, steps: "Steps | Breaking") -> None:
        Offload(self.unit.installation, cable=self.socket_path).run(steps, threading.Event())


@pytest.fixture
def station(tmp_path: Path, wire: Wire) -> Iterator[Station]:
    pki = Pki()
    folder = set_up(tmp_path / "dock", pki)
    settings = folder.settings_file.read_text()
    folder.settings_file.write_text(settings.replace('bays_address = "127.0.0.1"', 'bays_address = "::"'))
    pki.dock("dock-1", (wire.dock_address,)).write(folder.tls_key_file, folder.tls_certificate_file)
    with running(folder, pki) as dock:
        unit = Worn.open(enrol(tmp_path / "unit", pki, f"https://[{wire.dock_address}]:{dock.port}"))
        socket_path = tmp_path / "cable.sock"
        folder_of_unit = unit.installation.folder.path
        with running_cable(folder_of_unit, socket_path, interface=wire.card, within=wire.within) as cable:
            cable.wait_for("cable_in")
            yield Station(wire, dock, unit, cable, socket_path)


class Breaking:
    """Keeps the steps, and does something when the second piece of a clip is at the dock."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.steps = Steps()
        self._action = action

    def __call__(self, step: Step) -> None:
        self.steps(step)
        if isinstance(step, Sent) and step.bytes == 16 << 20:
            self._action()


class TestCarrier:
    def test_a_bell_rings_whenever_it_goes_and_comes_and_the_card_does(self, wire: Wire) -> None:
        changes = [
            (wire.pull_far_end, False),
            (wire.put_far_end_in, True),
            (wire.take_card_out, False),
            (wire.plug_card_in, True),
        ]
        with Link(wire.near_card) as link:
            assert link.has_carrier()
            for change, has_carrier in changes:
                link.listen()
                change()
                while link.has_carrier() != has_carrier:
                    assert select.select(link.bells, [], [], PATIENCE)[0], change
                    link.listen()

    def test_each_bell_rings_by_itself_when_the_card_vanishes(self, wire: Wire) -> None:
        with Link(wire.near_card) as link:
            wire.take_card_out()
            for bell in link.bells:
                assert select.select([bell], [], [], PATIENCE)[0]
            link.listen()
            assert not link.has_carrier()

    def test_a_pulled_cable_ends_every_connection_and_lets_nobody_in_until_it_is_back(self, station: Station) -> None:
        with station.call() as one, station.call() as other:
            one.sendall(b"\x16")  # the dock waits for the rest of a handshake
            until(lambda: has_connections(station, 2))
            station.wire.pull()
            assert station.cable.wait_for("cable_out")["connections"] == 2
            assert one.recv(1) == b""
            assert other.recv(1) == b""
        with station.call() as late:
            assert late.recv(1) == b""
        station.wire.put_in()
        station.cable.wait_for("cable_in", count=2)
        station.hand_over(Steps())

    def test_a_card_that_vanishes_is_a_pulled_cable_and_one_that_comes_late_a_new_one(self, station: Station) -> None:
        with station.call() as here:
            here.sendall(b"\x16")
            until(lambda: has_connections(station, 1))
            station.wire.take_card_out()
            assert station.cable.wait_for("cable_out")["connections"] == 1
            assert here.recv(1) == b""
        station.wire.plug_card_in()
        station.cable.wait_for("cable_in", count=2)
        clip = station.unit.clip()
        station.hand_over(Steps())
        assert station.dock.is_stored(clip)


def has_connections(station: Station, count: int) -> bool:
    """Tell whether so many connections have got as far as the dock's host."""
    port = f"{station.dock.port:04X}"
    lines = Path("/proc/net/tcp6").read_text().splitlines()[1:]
    established = [line for line in lines if line.split()[1].endswith(f":{port}") and line.split()[3] == "01"]
    return len(established) >= count


class TestCutUploads:
    def test_a_cable_pulled_in_mid_upload_loses_and_doubles_nothing(self, station: Station) -> None:
        clip = station.unit.clip(SIZE)
        with pytest.raises(DockUnreachableError):
            station.hand_over(Breaking(station.wire.pull))
        assert station.cable.wait_for("cable_out")["connections"] == 1
        assert station.unit.waiting() == [clip.clip_id]
        station.wire.put_in()
        station.cable.wait_for("cable_in", count=2)
        self.check_resumes(station, clip.clip_id)

    def test_a_forwarder_killed_in_mid_upload_loses_and_doubles_nothing(self, station: Station) -> None:
        clip = station.unit.clip(SIZE)
        with pytest.raises(DockUnreachableError):
            station.hand_over(Breaking(station.cable.process.kill))
        assert station.cable.end() == -signal.SIGKILL
        assert station.unit.waiting() == [clip.clip_id]
        with running_cable(
            station.unit.installation.folder.path,
            station.socket_path,
            interface=station.wire.card,
            within=station.wire.within,
        ) as again:
            again.wait_for("cable_in")
            self.check_resumes(station, clip.clip_id)

    @staticmethod
    def check_resumes(station: Station, clip_id: str) -> None:
        steps = Steps()
        station.hand_over(steps)
        assert steps.sent(clip_id)[0] >= 16 << 20
        assert steps.deleted == [clip_id]
        assert station.unit.waiting() == []
        assert station.dock.uploads() == []
        assert station.dock.log().count(("clip-accepted", f"clip:{clip_id}")) == 1
        assert station.dock.alarms() == []


class TestUnit:
    def test_it_docks_when_the_cable_is_put_in_and_stands_by_again_when_it_is_pulled(
        self, station: Station, tmp_path: Path
    ) -> None:
        small = "video_width = 320\nvideo_height = 240\nvideo_bits_per_second = 500000\n"
        folder = station.unit.installation.folder
        folder.settings_file.write_text(folder.settings_file.read_text() + small)
        station.wire.pull()
        station.cable.wait_for("cable_out")
        manager = Manager(tmp_path / "notify")
        watched = environment(NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="2000000")
        options = ("--headless", "--cable-socket", station.socket_path)
        with running_unit(folder.path, *options, with_environment=watched) as unit:
            unit.wait_for("standby")
            ended = unit.record()
            station.wire.put_in()
            assert unit.wait_for("offloaded")["delivered"] == 1
            station.wire.pull()
            unit.wait_for("undocked")
            unit.wait_for("standby", count=3)
            station.wire.put_in()
            unit.wait_for("offloaded", count=2)
            assert unit.end(signal.SIGTERM) == 0
            assert (unit.events.count("docked"), unit.events.count("undocked")) == (2, 1)
        assert station.dock.stored(ended["clip_id"])
        heard = manager.close()
        assert heard[0] == "READY=1"
        assert heard[-1] == "STOPPING=1"
        assert heard.count("WATCHDOG=1") == len(heard) - 2 > 3

    def test_it_stays_in_standby_at_a_computer_that_is_not_its_dock(self, tmp_path: Path) -> None:
        with running_dock(tmp_path / "elsewhere") as dock:
            folder = enrol(tmp_path / "unit", Pki(), f"https://localhost:{dock.port}")
            socket_path = tmp_path / "cable.sock"
            with (
                running_cable(folder.path, socket_path),
                running_unit(folder.path, "--headless", "--cable-socket", socket_path) as unit,
            ):
                assert "another authority issued it" in unit.wait_for("dock_foreign")["sentence"]
                unit.wait_for("standby")
                assert unit.record()["ended_by"] == "wearer"
                assert "docked" not in unit.events


class Manager:
    """A service manager's ear, open all the time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def close(self) -> list[str]:
        """Return all that it has heard."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()
        return self._heard

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self._heard.append(message.decode())
