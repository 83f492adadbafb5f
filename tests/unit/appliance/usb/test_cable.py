"""The forwarder between real sockets: what it passes on, what it holds back, whom it lets go, and how it is run."""

import hashlib
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from appliance.usb.cable_journal import CableJournal
from appliance.usb.calling import Way, way_to
from appliance.usb.forwarder import MAX_CONNECTIONS, Forwarder
from appliance.usb.link import Link
from evidence.supervisor import Supervisor
from tests.cable_process import PATIENCE, PROGRAM, running_cable
from tests.dock import until
from tests.unit_process import call

LOOPBACK = "lo"  # which always has a carrier


class Dock:
    """A server at the cable's other end, which is told what to do with each connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def take(self) -> socket.socket:
        """Return the next connection."""
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        return connection


@pytest.fixture
def dock() -> Iterator[Dock]:
    dock = Dock()
    yield dock
    dock.listener.close()


class Unit:
    """The unit's end: a socket at which the forwarder listens, and what it has said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path.with_suffix(".log")

    def call(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(self.path))
        return connection

    def said(self) -> str:
        return self.log.read_text()


@contextmanager
def forwarding(path: Path, find_way: Callable[[], Way], interface: str = LOOPBACK) -> Iterator[Unit]:
    unit = Unit(path / "cable.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(unit.path))
    listener.listen()
    with Link(interface) as link, unit.log.open("w", buffering=1) as log:
        supervisor = Supervisor(None, None)
        forwarder = Forwarder(listener, link, find_way, journal=CableJournal(log), supervisor=supervisor)
        thread = threading.Thread(target=forwarder.run)
        thread.start()
        try:
            yield unit
        finally:
            forwarder.stop()
            thread.join()


@pytest.fixture
def unit(tmp_path: Path, dock: Dock) -> Iterator[Unit]:
    with forwarding(tmp_path, lambda: way_to("127.0.0.1", dock.port, LOOPBACK)) as unit:
        yield unit


def everything(connection: socket.socket) -> bytes:
    """Read to the end."""
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


class TestPassingOn:
    def test_what_one_end_says_the_other_hears_and_each_end_ends_by_itself(self, dock: Dock, unit: Unit) -> None:
        with unit.call() as here, dock.take() as there:
            here.sendall(b"a question")
            here.shutdown(socket.SHUT_WR)
            assert everything(there) == b"a question"
            there.sendall(b"an answer")
            there.shutdown(socket.SHUT_WR)
            assert everything(here) == b"an answer"

    def test_the_units_end_hears_at_once_that_the_dock_has_gone(self, dock: Dock, unit: Unit) -> None:
        with unit.call() as here:
            dock.take().close()
            assert here.recv(1) == b""

    def test_the_dock_hears_at_once_that_the_unit_has_gone(self, dock: Dock, unit: Unit) -> None:
        here = unit.call()
        with dock.take() as there:
            here.close()
            assert there.recv(1) == b""

    def test_megabytes_cross_both_ways_at_once_and_none_of_them_changes(self, dock: Dock, unit: Unit) -> None:
        up, down = os.urandom(20_000_000), os.urandom(15_000_000)
        with unit.call() as here, dock.take() as there:
            for end, content in ((here, up), (there, down)):
                threading.Thread(target=lambda end=end, content=content: send_all(end, content)).start()
            heard: list[bytes] = []
            reader = threading.Thread(target=lambda: heard.append(everything(there)))
            reader.start()
            assert hashlib.sha256(everything(here)).digest() == hashlib.sha256(down).digest()
            reader.join()
            assert hashlib.sha256(heard[0]).digest() == hashlib.sha256(up).digest()

    def test_who_sends_faster_than_the_dock_reads_has_to_wait_and_others_do_not(self, dock: Dock, unit: Unit) -> None:
        with unit.call() as here, dock.take() as there, unit.call() as other, dock.take() as other_there:
            sent = send_until_full(here)
            assert sent < 64 << 20
            other.sendall(b"meanwhile")
            assert other_there.recv(20) == b"meanwhile"
            here.shutdown(socket.SHUT_WR)
            assert len(everything(there)) == sent


def send_all(end: socket.socket, content: bytes) -> None:
    end.sendall(content)
    end.shutdown(socket.SHUT_WR)


def send_until_full(end: socket.socket) -> int:
    """Send until for a whole second nothing more is taken, or far too much was; return how much was."""
    sent = 0
    end.settimeout(1)
    try:
        while sent < 64 << 20:
            sent += end.send(bytes(1 << 16))
    except TimeoutError:
        pass
    end.settimeout(PATIENCE)
    return sent


class TestLettingGo:
    def test_one_connection_too_many_is_closed_and_the_others_stay(self, dock: Dock, unit: Unit) -> None:
        here = [unit.call() for _ in range(MAX_CONNECTIONS)]
        there = [dock.take() for _ in range(MAX_CONNECTIONS)]
        with unit.call() as one_more:
            assert one_more.recv(1) == b""
        assert '"event": "cable_crowded"' in unit.said()
        here[0].sendall(b"still here")
        assert any(end.recv(20) == b"still here" for end in there[:1])
        here.pop().close()
        there.pop().close()
        with unit.call(), dock.take():
            pass
        for end in (*here, *there):
            end.close()

    def test_without_a_carrier_nobody_gets_to_the_dock(self, tmp_path: Path, dock: Dock) -> None:
        def find_way() -> Way:
            raise AssertionError("nobody is to be called")

        with forwarding(tmp_path, find_way, "none0") as unit:
            for _ in range(3):
                with unit.call() as here:
                    assert here.recv(1) == b""

    def test_a_dock_that_does_not_answer_is_told_once_until_one_has(self, tmp_path: Path, dock: Dock) -> None:
        nobody = socket.create_server(("127.0.0.1", 0))
        free = nobody.getsockname()
        nobody.close()
        routes = [(socket.AF_INET, free)]
        with forwarding(tmp_path, lambda: Way(LOOPBACK, tuple(routes))) as unit:
            for _ in range(3):
                with unit.call() as here:
                    assert here.recv(1) == b""
            assert unit.said().count("dock_silent") == 1
            assert "no dock answers over it: Connection refused." in unit.said()
            routes.append((socket.AF_INET, ("127.0.0.1", dock.port)))
            with unit.call() as here, dock.take() as there:
                here.sendall(b"x")
                assert there.recv(1) == b"x"
            routes.pop()
            with unit.call() as here:
                assert here.recv(1) == b""
            assert unit.said().count("dock_silent") == 2

    def test_a_host_that_nobody_knows_is_told_as_a_silent_dock(self, tmp_path: Path) -> None:
        with forwarding(tmp_path, lambda: way_to("[nowhere]", 1, LOOPBACK)) as unit, unit.call() as here:
            assert here.recv(1) == b""
            until(lambda: "dock_silent" in unit.said())

    def test_a_card_that_is_not_the_cables_is_not_used(self, tmp_path: Path, dock: Dock) -> None:
        with forwarding(tmp_path, lambda: way_to("127.0.0.1", dock.port, "none0")) as unit, unit.call() as here:
            assert here.recv(1) == b""
            until(lambda: "dock_silent" in unit.said())


def settings(folder: Path, dock_url: str) -> Path:
    """Write a unit's settings, and nothing else, into its folder."""
    folder.mkdir()
    (folder / "unit.toml").write_text(f'unit_id = "unit-7"\ndock_url = "{dock_url}"\n')
    return folder


class TestCommand:
    def test_it_needs_the_units_settings_alone_and_ends_by_sigterm(self, tmp_path: Path, dock: Dock) -> None:
        folder = settings(tmp_path / "unit", f"https://127.0.0.1:{dock.port}")
        with running_cable(folder, tmp_path / "cable.sock") as cable:
            cable.wait_for("cable_in")
            with Unit(tmp_path / "cable.sock").call() as here, dock.take() as there:
                here.sendall(b"hello")
                assert there.recv(10) == b"hello"
                cable.process.send_signal(signal.SIGTERM)
                assert here.recv(1) == b""
            assert cable.end() == 0
            assert cable.events == ["cable_ready", "cable_in", "cable_stopped"]

    def test_only_its_user_and_group_may_call(self, tmp_path: Path) -> None:
        path = tmp_path / "cable.sock"
        with running_cable(settings(tmp_path / "unit", "https://[::1]:1"), path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660

    def test_a_socket_that_a_killed_process_left_is_replaced(self, tmp_path: Path, dock: Dock) -> None:
        folder, path = settings(tmp_path / "unit", f"https://localhost:{dock.port}"), tmp_path / "cable.sock"
        with running_cable(folder, path) as cable:
            cable.process.kill()
            cable.end()
        assert path.is_socket()
        with running_cable(folder, path), Unit(path).call(), dock.take():
            pass

    def test_a_place_where_no_socket_can_be_is_told(self, tmp_path: Path) -> None:
        folder = settings(tmp_path / "unit", "https://[::1]:1")
        (tmp_path / "file").write_text("mine")
        for place, reason in (("none/cable.sock", "No such file or directory"), ("file", "Address already in use")):
            refused = call("cable", "--folder", folder, "--socket", tmp_path / place)
            assert refused.returncode == 5
            assert f"No socket can be opened at {tmp_path / place} ({reason})" in refused.stderr
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize("url", ["https://localhost:port", "https://[::1:8444", "https://:8444"])
    def test_a_dock_url_that_is_no_address_is_told(self, tmp_path: Path, url: str) -> None:
        refused = call("cable", "--folder", settings(tmp_path / "unit", url), "--socket", tmp_path / "cable.sock")
        assert refused.returncode == 5
        assert "unit.toml cannot be used: dock_url is no address" in refused.stderr

    def test_before_the_unit_is_enrolled_it_leads_to_the_enrolment_door(self, tmp_path: Path) -> None:
        card = UnitFolder(tmp_path)
        card.enrolment_file.write_text('dock_url = "https://[fd6d:6972:726f::1]:8445"\n')
        assert card.dock_url_on_cable() == ("https://[fd6d:6972:726f::1]:8445", card.enrolment_file)
        card.settings_file.write_text('unit_id = "unit-7"\ndock_url = "https://[fd6d:6972:726f::1]:8444"\n')
        assert card.dock_url_on_cable() == ("https://[fd6d:6972:726f::1]:8444", card.settings_file)
        card.settings_file.unlink()
        card.enrolment_file.write_text('dock_url = "https://:8445"\n')
        refused = call("cable", "--folder", tmp_path, "--socket", tmp_path / "cable.sock")
        assert refused.returncode == 5
        assert "enrolment.toml cannot be used: dock_url is no address" in refused.stderr

    def test_a_socket_that_the_service_manager_has_opened_is_served(self, tmp_path: Path, dock: Dock) -> None:
        folder, unit = settings(tmp_path / "unit", f"https://127.0.0.1:{dock.port}"), Unit(tmp_path / "given.sock")
        given = socket.socket(socket.AF_UNIX)
        given.bind(str(unit.path))
        given.listen()
        command = 'exec env LISTEN_PID=$$ LISTEN_FDS=1 "$@" 3<&0'
        process = subprocess.Popen(
            ["sh", "-c", command, "sh", PROGRAM, "cable", "--folder", folder, "--interface", LOOPBACK],
            stdin=given.fileno(),
            stdout=subprocess.DEVNULL,
        )
        try:
            with given, unit.call() as here, dock.take() as there:  # it waited until somebody took the socket over
                here.sendall(b"hello")
                assert there.recv(10) == b"hello"
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0

    def test_the_service_manager_hears_that_it_is_ready_alive_and_stopping(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        with manager, running_cable(settings(tmp_path / "unit", "https://[::1]:1"), tmp_path / "cable.sock") as cable:
            assert manager.recv(100) == b"READY=1"
            assert manager.recv(100) == b"WATCHDOG=1"
            assert manager.recv(100) == b"WATCHDOG=1"
            cable.process.terminate()
            assert b"STOPPING=1" in iter(lambda: manager.recv(100), b"")
