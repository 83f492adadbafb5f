"""When a unit is on its dock: an authentic one answers over the cable, whoever else is at the other end."""

import io
import json
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.docking.client import DockClient
from appliance.docking.dock_watch import BEAT_SECONDS, DockWatch
from appliance.docking.offload import Offload
from appliance.docking.tls import context_for
from appliance.journal import Journal
from appliance.states import Event, News
from tests.cable_process import running_cable
from tests.dock import RunningDock, running_dock, until
from tests.pki import Identity, Pki
from tests.proxy import cable_to
from tests.worn import Steps, Worn, enrol

DOCKED, UNDOCKED = News(Event.DOCKED), News(Event.UNDOCKED)


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def unit(tmp_path: Path, dock: RunningDock) -> Worn:
    return Worn.open(enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}"))


@dataclass
class Told:
    """What the unit was told, in order, and what the journal says."""

    news: list[News] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)

    @property
    def foreign(self) -> list[str]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line["sentence"] for line in lines if line["event"] == "dock_foreign"]


@contextmanager
def watching(
    unit: Worn,
    cable: Path,
    progress: Callable[[], int] = lambda: 0,
    beat: float = BEAT_SECONDS,
    after: threading.Event | None = None,
) -> Iterator[Told]:
    """Watch for the unit's dock through the socket `cable` as long as the block runs."""
    installation, told = unit.installation, Told()

    def client() -> DockClient:
        context = context_for(installation.folder, installation.folder.authority())
        return DockClient(installation.settings.dock_url, context, "mirrorcam test", cable)

    watch = DockWatch(
        client, journal=Journal(told.log), tell=told.news.append, progress=progress, beat=beat, after=after
    )
    watch.start()
    try:
        yield told
    finally:
        watch.stop()


def test_the_unit_is_told_once_that_it_is_docked_and_once_that_it_is_not(unit: Worn, tmp_path: Path) -> None:
    socket_path = tmp_path / "cable.sock"
    with watching(unit, socket_path) as told:
        with running_cable(unit.installation.folder.path, socket_path):
            until(lambda: told.news == [DOCKED])
        until(lambda: told.news == [DOCKED, UNDOCKED])
        with running_cable(unit.installation.folder.path, socket_path):
            until(lambda: told.news == [DOCKED, UNDOCKED, DOCKED])
        until(lambda: told.news == [DOCKED, UNDOCKED, DOCKED, UNDOCKED])
    assert told.foreign == []


def test_on_trial_no_dock_is_called_before_the_camera_has_given_a_picture(unit: Worn, tmp_path: Path) -> None:
    picture, socket_path = threading.Event(), tmp_path / "cable.sock"
    with running_cable(unit.installation.folder.path, socket_path), watching(unit, socket_path, after=picture) as told:
        assert not picture.wait(0.3)
        assert told.news == []
        picture.set()
        until(lambda: told.news == [DOCKED])


def test_the_end_of_the_connection_is_noticed_before_the_next_question_is_due(unit: Worn, tmp_path: Path) -> None:
    socket_path = tmp_path / "cable.sock"
    with watching(unit, socket_path, beat=3600) as told:
        with running_cable(unit.installation.folder.path, socket_path):
            until(lambda: told.news == [DOCKED])
        until(lambda: told.news == [DOCKED, UNDOCKED])


def test_a_dock_that_does_not_answer_any_more_is_left_though_the_connection_stands(unit: Worn, tmp_path: Path) -> None:
    socket_path = tmp_path / "cable.sock"
    with running_cable(unit.installation.folder.path, socket_path) as cable, watching(unit, socket_path) as told:
        until(lambda: told.news == [DOCKED])
        cable.process.send_signal(signal.SIGSTOP)
        until(lambda: told.news == [DOCKED, UNDOCKED])
        cable.process.send_signal(signal.SIGCONT)
        until(lambda: told.news == [DOCKED, UNDOCKED, DOCKED])


def test_a_dock_that_answers_nothing_while_an_upload_gets_on_is_not_left(unit: Worn, tmp_path: Path) -> None:
    socket_path = tmp_path / "cable.sock"
    looks = [0]

    def progress() -> int:
        looks[0] += 1
        return looks[0]

    with (
        running_cable(unit.installation.folder.path, socket_path) as cable,
        watching(unit, socket_path, progress) as told,
    ):
        until(lambda: told.news == [DOCKED])
        cable.process.send_signal(signal.SIGSTOP)
        before = looks[0]
        until(lambda: looks[0] >= before + 8)  # two for each question
        assert told.news == [DOCKED]
        cable.process.send_signal(signal.SIGCONT)


def test_a_connection_that_the_dock_ends_is_opened_again_and_the_unit_stays_docked(
    dock: RunningDock, tmp_path: Path
) -> None:
    socket_path = tmp_path / "cable.sock"
    with cable_to(dock.port) as line:
        unit = Worn.open(enrol(tmp_path / "unit", dock.pki, f"https://localhost:{line.port}"))
        with running_cable(unit.installation.folder.path, socket_path), watching(unit, socket_path) as told:
            until(lambda: told.news == [DOCKED])
            handshake_and_question = line.up
            line.drop()
            until(lambda: line.up > 2 * handshake_and_question + 100)  # it has called again, and asked again after that
            assert told.news == [DOCKED]


def test_one_question_without_an_answer_does_not_undock(tmp_path: Path) -> None:
    pki = Pki()
    laptop = Laptop(speak_tls(pki.dock("dock-1"), tmp_path, answers=1))
    try:
        unit = Worn.open(enrol(tmp_path / "unit", pki, f"https://localhost:{laptop.port}"))
        socket_path = tmp_path / "cable.sock"
        with running_cable(unit.installation.folder.path, socket_path), watching(unit, socket_path) as told:
            until(lambda: laptop.calls >= 3)
            assert told.news == [DOCKED]
    finally:
        laptop.close()


def test_an_answer_that_leads_to_no_place_at_all_undocks_the_unit_and_the_watch_goes_on(tmp_path: Path) -> None:
    pki = Pki()
    nowhere = b"HTTP/1.1 302 Found\r\nLocation: //xn--\r\nContent-Length: 0\r\n\r\n"
    left = iter((OK, nowhere, nowhere))
    laptop = Laptop(speak_tls(pki.dock("dock-1"), tmp_path, say=lambda: next(left, OK)))
    try:
        unit = Worn.open(enrol(tmp_path / "unit", pki, f"https://localhost:{laptop.port}"))
        socket_path = tmp_path / "cable.sock"
        with running_cable(unit.installation.folder.path, socket_path), watching(unit, socket_path, beat=0.1) as told:
            until(lambda: told.news[:3] == [DOCKED, UNDOCKED, DOCKED])
        assert "leads to no place" in told.foreign[0]
    finally:
        laptop.close()


def test_a_watch_that_ends_by_a_mistake_of_ours_leaves_no_unit_docked(
    unit: Worn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: died.set())
    socket_path = tmp_path / "cable.sock"
    with (
        running_cable(unit.installation.folder.path, socket_path),
        watching(unit, socket_path, progress=lambda: 1 // 0, beat=0.1) as told,
    ):
        assert died.wait(30)
        assert told.news == [DOCKED, UNDOCKED]


def test_a_clip_is_handed_over_through_the_cable_while_the_dock_is_watched(
    dock: RunningDock, unit: Worn, tmp_path: Path
) -> None:
    socket_path = tmp_path / "cable.sock"
    clips = [unit.clip(40_000_000), unit.clip()]
    with running_cable(unit.installation.folder.path, socket_path), watching(unit, socket_path) as told:
        until(lambda: told.news == [DOCKED])
        steps = Steps()
        Offload(unit.installation, cable=socket_path).run(steps, threading.Event())
        assert told.news == [DOCKED]
    assert steps.deleted == [clip.clip_id for clip in clips]
    assert all(dock.is_stored(clip) for clip in clips)
    assert unit.waiting() == []


class Laptop:
    """A computer at the cable that is no dock: it counts who calls, and answers as it was told to."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.calls = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                self._answer(connection)
            self.calls += 1


OK = b"HTTP/1.1 204 No Content\r\nTus-Version: 1.0.0\r\nContent-Length: 0\r\n\r\n"


def speak_tls(
    identity: Identity, folder: Path, answers: int = 1000, say: Callable[[], bytes] = lambda: OK
) -> Callable[[socket.socket], None]:
    """Answer so many questions as a dock with this certificate would, and hang up at the next."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity.write(folder / "laptop.key", folder / "laptop.crt")
    context.load_cert_chain(folder / "laptop.crt", folder / "laptop.key")

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            for _ in range(answers):
                if tls.recv(4096):
                    tls.sendall(say())
            tls.recv(4096)

    return answer


def speak_plainly(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(OK)


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ("a dock of another authority", "another authority issued it"),
        ("a dock of another name", "it is for another host"),
        ("a unit of this authority", "unsuitable certificate purpose"),
        ("nobody who knows TLS", ""),
    ],
)
def test_a_computer_that_is_no_dock_of_ours_never_docks_the_unit(tmp_path: Path, who: str, says: str) -> None:
    pki = Pki()
    answers: dict[str, Callable[[], Callable[[socket.socket], None]]] = {
        "a dock of another authority": lambda: speak_tls(Pki().dock("dock-1"), tmp_path),
        "a dock of another name": lambda: speak_tls(pki.dock("dock-1", ("another.example",)), tmp_path),
        "a unit of this authority": lambda: speak_tls(pki.unit("unit-2"), tmp_path),
        "nobody who knows TLS": lambda: speak_plainly,
    }
    laptop = Laptop(answers[who]())
    try:
        unit = Worn.open(enrol(tmp_path / "unit", pki, f"https://localhost:{laptop.port}"))
        socket_path = tmp_path / "cable.sock"
        with running_cable(unit.installation.folder.path, socket_path), watching(unit, socket_path) as told:
            until(lambda: laptop.calls >= 3)
            assert told.news == []
            assert len(told.foreign) == bool(says)
            assert says in "".join(told.foreign)
    finally:
        laptop.close()
