"""What a service manager hears of a process, on a real datagram socket."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from evidence.supervisor import Supervisor


class Manager:
    """The service manager's end; `at` is its address as NOTIFY_SOCKET has it."""

    def __init__(self, at: str) -> None:
        self.at = at
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(at.replace("@", "\0", 1) if at.startswith("@") else at)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """Return all that has come since the last look: a datagram is there when its sender goes on."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_ready_alive_status_and_stopping_are_said_in_the_managers_words(manager: Manager) -> None:
    supervisor = Supervisor.from_environment({"NOTIFY_SOCKET": manager.at, "WATCHDOG_USEC": "10000000"})
    supervisor.ready()
    supervisor.alive()
    supervisor.status("Two clips wait.")
    supervisor.stopping()
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "STATUS=Two clips wait.", "STOPPING=1"]


def test_an_abstract_socket_is_reached() -> None:
    manager = Manager(f"@mirrorcam-test-{uuid.uuid4().hex}")
    try:
        Supervisor.from_environment({"NOTIFY_SOCKET": manager.at}).ready()
        assert manager.heard() == ["READY=1"]
    finally:
        manager.close()


def test_ready_is_told_once(manager: Manager) -> None:
    supervisor = Supervisor(manager.at, None)
    supervisor.ready()
    supervisor.ready()
    assert manager.heard() == ["READY=1"]


def test_a_sign_of_life_goes_out_four_times_in_the_watchdogs_time(manager: Manager) -> None:
    clock = Clock()
    supervisor = Supervisor(manager.at, 8.0, monotonic=clock)
    supervisor.alive()
    clock.now += 1.9
    supervisor.alive()
    assert manager.heard() == ["WATCHDOG=1"]
    clock.now += 0.2
    supervisor.alive()
    assert manager.heard() == ["WATCHDOG=1"]


def test_a_sign_of_life_that_found_no_room_is_given_again_at_the_next_turn(manager: Manager) -> None:
    clock = Clock()
    supervisor = Supervisor(manager.at, 8.0, monotonic=clock)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd, suppress(BlockingIOError):
        crowd.connect(manager.at)
        crowd.setblocking(False)
        while True:
            crowd.send(b"STATUS=so much to say")
    supervisor.alive()
    assert "WATCHDOG=1" not in manager.heard()
    supervisor.alive()
    assert manager.heard() == ["WATCHDOG=1"]


def test_who_is_not_watched_gives_no_sign_of_life(manager: Manager) -> None:
    here = {"NOTIFY_SOCKET": manager.at}
    for environ in (
        here,
        {**here, "WATCHDOG_USEC": "soon"},
        {**here, "WATCHDOG_USEC": "0"},
        {**here, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ):
        Supervisor.from_environment(environ).alive()
    assert manager.heard() == []
    Supervisor.from_environment({**here, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}).alive()
    assert manager.heard() == ["WATCHDOG=1"]


def test_a_status_is_one_line_whatever_it_is_made_of(manager: Manager) -> None:
    Supervisor(manager.at, None).status("It is not well:\nREADY=1\n")
    assert manager.heard() == ["STATUS=It is not well: READY=1"]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path", "/nowhere/at/all", "@nobody-listens-there"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    supervisor = Supervisor.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    supervisor.ready()
    supervisor.alive()
    supervisor.status("Nobody hears this.")
    supervisor.stopping()


def test_a_process_that_no_manager_started_says_nothing() -> None:
    Supervisor.from_environment({}).ready()
