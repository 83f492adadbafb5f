"""Signs of life: a server that works or is busy gives them, one that hangs gives none, whatever hangs in it."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dock_station.serving.http import BODY, Server
from dock_station.serving.listeners import Listener, listening
from dock_station.serving.liveness import Heart, Together
from dock_station.serving.tls import Contexts, pages_context
from tests.dock import PATIENCE, Visitor, until
from tests.pki import Pki, dock_folder

WORKERS = 2


class Hall:
    """A server of two workers, whose application does what a test says; its heart is turned by hand."""

    def __init__(self, folder: Path) -> None:
        self.pki = Pki()
        self.released = threading.Event()
        self.inside = threading.Semaphore(0)
        self.signs = 0
        self._contexts = Contexts(dock_folder(folder, self.pki), pages_context)
        self.server = self.made(Server)

    def made(self, kind: type[Server]) -> Server:
        return kind(address="127.0.0.1", port=0, app=self._answer, contexts=self._contexts, threads=WORKERS, max_body=0)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.inside.release()
        if environ["PATH_INFO"] == "/hang":
            assert self.released.wait(PATIENCE)
        elif environ["REQUEST_METHOD"] == "PUT":
            buffer = memoryview(bytearray(1))
            while environ[BODY].readinto(buffer):
                pass
        start_response("204 No Content", [])
        return []

    def note(self) -> None:
        self.signs += 1

    @contextmanager
    def heart(self) -> Iterator[Heart]:
        heart = Heart(self.server, self.note)
        try:
            yield heart
        finally:
            heart.close()

    def visitor(self, listener: Listener) -> Visitor:
        return Visitor(listener.port, ssl.create_default_context(cadata=self.pki.pem.decode()))

    def hang_one(self, listener: Listener) -> threading.Thread:
        thread = threading.Thread(target=lambda: self.visitor(listener).ask("GET", "/hang"))
        thread.start()
        assert self.inside.acquire(timeout=PATIENCE)
        return thread

    def beats(self, heart: Heart) -> bool:
        """Turn the heart, and say whether that gave a sign."""
        before = self.signs
        heart.turn()
        return self.signs > before

    def signs_in_two_turns(self, heart: Heart) -> int:
        """Return how many signs come in the second of two turns: what was done before the first is not counted."""
        heart.turn()
        before = self.signs
        heart.turn()
        return self.signs - before


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path / "dock")


def test_a_server_that_serves_gives_signs_of_life_by_itself(hall: Hall) -> None:
    with listening("pages", hall.server, hall.note):
        until(lambda: hall.signs >= 1)


def test_a_beat_is_seen_to_by_a_worker_as_a_client_is(hall: Hall) -> None:
    with listening("pages", hall.server), hall.heart() as heart:
        hall.beats(heart)
        until(lambda: hall.beats(heart))


def test_a_server_whose_every_worker_hangs_gives_none_and_one_free_worker_is_enough(hall: Hall) -> None:
    with listening("pages", hall.server) as listener, hall.heart() as heart, ExitStack() as ending:
        first = hall.hang_one(listener)
        ending.callback(first.join)
        ending.callback(hall.released.set)
        until(lambda: hall.beats(heart))
        second = hall.hang_one(listener)
        ending.callback(second.join)
        ending.callback(hall.released.set)
        assert hall.signs_in_two_turns(heart) == 0


def test_a_server_that_accepts_nobody_any_more_gives_none(hall: Hall) -> None:
    blocked = threading.Event()

    class Deaf(Server):
        def process_conn(self, conn: Any) -> None:
            if not hasattr(conn, "communicate") or conn.remote_addr != "pulse":
                blocked.set()
                hall.released.wait(PATIENCE)
            super().process_conn(conn)

    hall.server = hall.made(Deaf)
    with listening("pages", hall.server) as listener, hall.heart() as heart, ExitStack() as ending:
        client = threading.Thread(target=lambda: hall.visitor(listener).ask("GET", "/"))
        client.start()
        ending.callback(client.join)
        ending.callback(hall.released.set)
        assert blocked.wait(PATIENCE)
        assert hall.signs_in_two_turns(heart) == 0


def test_a_server_whose_every_worker_reads_an_upload_is_alive(hall: Hall) -> None:
    with listening("pages", hall.server) as listener, hall.heart() as heart, ExitStack() as ending:
        cables = []
        for _ in range(WORKERS):
            cable = ending.enter_context(hall.visitor(listener).raw())
            cable.sendall(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
            assert hall.inside.acquire(timeout=PATIENCE)
            cables.append(cable)
        assert hall.signs_in_two_turns(heart) == 0
        before = hall.server.works

        def has_counted() -> bool:
            for cable in cables:  # none is silent for so long that the server would let go of it
                cable.sendall(b"x")
            return hall.server.works > before

        until(has_counted)
        heart.turn()
        assert hall.signs == 2, "one for what came before, one for the byte"


def test_a_sign_is_passed_on_when_all_parts_have_given_theirs() -> None:
    signs: list[str] = []
    together = Together(lambda: signs.append("alive"))
    bays, watch = together.part("bays"), together.part("bay watch")
    bays()
    bays()
    assert signs == []
    watch()
    assert signs == ["alive"]
    watch()
    assert signs == ["alive"], "the bays hang now"
    bays()
    assert signs == ["alive", "alive"]
