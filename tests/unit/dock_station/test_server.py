"""The bays' listener against clients that send too much, too little, or something else: it answers, and it goes on."""

import contextlib
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from dock_station.dock import Dock
from dock_station.serving import http
from dock_station.serving.listeners import BAYS_THREADS, listen_at_the_bays, listen_for_people, listening
from dock_station.serving.tls import TlsFilesError
from evidence.docking import UPLOADS_PATH, RefusalCode
from tests.dock import PATIENCE, RunningDock, Visitor, patch_head, running, running_dock, set_up, until
from tests.pki import Pki


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def unit(dock: RunningDock) -> Visitor:
    return dock.unit()[1]


def say(unit: Visitor, words: bytes) -> bytes:
    """Send bytes as they are, and return all that the dock answers until it hangs up."""
    with unit.raw() as line:
        line.sendall(words)
        answer = b""
        with contextlib.suppress(BrokenPipeError):  # how a newer OpenSSL tells a reader that the dock has hung up
            while piece := line.recv(65_536):
                answer += piece
        return answer


def status_of(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found, answer
    return int(found[1])


def head(extra: str = "") -> bytes:
    return f"HEAD {UPLOADS_PATH}/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{extra}\r\n".encode()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET / HTTP/x\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded before any header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\rX-Other: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"\x16\x03\x01\x00\xff" * 20 + b"\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_with_a_status(unit: Visitor, words: bytes, status: int) -> None:
    assert status_of(say(unit, words)) == status
    unit.head(f"{UPLOADS_PATH}/x")


def test_headers_without_end_are_refused_at_their_limit(unit: Visitor) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(100))
    assert status_of(say(unit, b"HEAD / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")) == 413


def test_one_header_without_end_is_refused_at_its_limit(unit: Visitor) -> None:
    assert status_of(say(unit, b"HEAD / HTTP/1.1\r\nX-Long: " + b"a" * (200 << 10) + b"\r\n\r\n")) == 413


def test_a_path_without_end_is_refused_at_its_limit(unit: Visitor) -> None:
    assert status_of(say(unit, b"HEAD /" + b"a" * (200 << 10) + b" HTTP/1.1\r\n\r\n")) == 414


def test_who_is_still_sending_when_he_is_refused_can_send_on_and_hears_it(unit: Visitor) -> None:
    with unit.raw() as line:
        line.sendall(b"HEAD /" + b"a" * (200 << 10))
        assert select.select([line], [], [], PATIENCE)[0]
        for _ in range(50):
            line.sendall(b"a" * 10_000)
        assert status_of(line.recv(65_536)) == 414
    unit.head(f"{UPLOADS_PATH}/x")


def test_a_header_with_an_underscore_stands_for_no_other(unit: Visitor) -> None:
    assert status_of(say(unit, head("Tus_Resumable: 1.0.0\r\n"))) == 412
    assert status_of(say(unit, head("Tus-Resumable: 1.0.0\r\n"))) == 404


def test_a_client_that_sends_its_headers_too_slowly_is_let_go(unit: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEADER_SECONDS", 0.3)
    with unit.raw() as line:
        line.sendall(b"HEAD / HTTP/1.1\r\nHost:")
        assert status_of(line.recv(65_536)) == 408
    unit.head(f"{UPLOADS_PATH}/x")


def test_headers_that_trickle_in_byte_by_byte_do_not_start_the_time_anew(
    unit: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEADER_SECONDS", 0.5)
    ended = threading.Event()
    with unit.raw() as line:

        def trickle() -> None:
            while not ended.wait(0.05):
                try:
                    line.sendall(b"a")
                except OSError:
                    return

        line.sendall(b"HEAD / HTTP/1.1\r\nX-Slow: ")
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert status_of(line.recv(65_536)) == 408
        finally:
            ended.set()
            thread.join()


def test_a_body_that_stops_coming_is_given_up_and_what_came_is_kept(
    dock: RunningDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SILENCE_SECONDS", 2.0)
    camera, unit = dock.unit("unit-2")
    clip = camera.clip()
    location = unit.begin(clip)
    with unit.raw() as line:
        line.sendall(patch_head(location, len(clip.sealed)) + clip.sealed[:100_000])
        until(lambda: dock.uploads()[0].offset_bytes == 100_000)
        assert status_of(line.recv(65_536)) == 400
    assert unit.append(location, 100_000, clip.sealed[100_000:]).status == 204
    dock.receipt(unit.seal(clip))


def test_a_refusal_reaches_a_client_that_is_still_sending(dock: RunningDock) -> None:
    camera, unit = dock.unit("unit-2")
    clip = camera.clip()
    location = unit.begin(clip)
    unit.append(location, len(clip.sealed), bytes(8 << 20)).refuses(409, RefusalCode.OFFSET)


def test_more_clients_than_workers_that_say_nothing_keep_no_unit_out(
    dock: RunningDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HANDSHAKE_SECONDS", 10 * PATIENCE)
    camera, unit = dock.unit("unit-2")
    silent = [socket.create_connection(("localhost", dock.port)) for _ in range(2 * BAYS_THREADS)]
    try:
        clip = camera.clip()
        dock.receipt(unit.bring(clip))
    finally:
        for line in silent:
            line.close()


def test_a_client_that_starts_tls_and_stops_is_let_go(dock: RunningDock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HANDSHAKE_SECONDS", 0.3)
    with capture_logs() as logged, socket.create_connection(("localhost", dock.port), timeout=PATIENCE) as line:
        line.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert line.recv(1) == b""
        until(lambda: any(entry["event"] == "tls_failed" for entry in logged))


def test_a_client_without_tls_is_refused_by_tls(dock: RunningDock) -> None:
    with socket.create_connection(("localhost", dock.port), timeout=PATIENCE) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while piece := line.recv(1000):
            answer += piece
        assert b"HTTP" not in answer


def test_a_connection_that_is_reset_leaves_no_traceback(dock: RunningDock) -> None:
    camera, unit = dock.unit("unit-2")
    clip = camera.clip()
    location = unit.begin(clip)
    with capture_logs() as logged:
        with unit.raw() as line:
            line.sendall(patch_head(location, len(clip.sealed)))
            line.sendall(clip.sealed[:50_000])
            until(lambda: dock.vault_files() != [])
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: any(entry["event"] == "request_refused" for entry in logged))
        unit.head(location)
    assert not [entry for entry in logged if entry.get("exc_info")]


def test_many_requests_come_on_one_connection(dock: RunningDock) -> None:
    camera, unit = dock.unit("unit-2")
    clip = camera.clip()
    location = unit.begin(clip)
    line = unit.connection
    for _ in range(50):
        assert unit.head(location).offset == 0
    assert unit.connection is line


def test_no_tls_session_is_taken_up_again(dock: RunningDock, unit: Visitor) -> None:
    with unit.raw() as line:
        line.sendall(head())
        line.recv(65_536)
        session = line.session
    assert session is None or not session.has_ticket


def test_a_dock_without_its_tls_files_says_what_to_do(tmp_path: Path) -> None:
    folder = set_up(tmp_path / "dock", Pki())
    folder.tls_key_file.unlink()
    dock = Dock.open(folder)
    try:
        with pytest.raises(TlsFilesError, match="mirrorcam-provision dock create"):
            listen_at_the_bays(dock)
    finally:
        dock.close()


def test_the_listener_ends_while_a_client_is_in_the_middle_and_what_came_is_kept(tmp_path: Path) -> None:
    pki = Pki()
    folder = set_up(tmp_path / "dock", pki)
    with contextlib.ExitStack() as still_open:
        with running(folder, pki) as first:
            camera, unit = first.unit()
            clip = camera.clip()
            location = unit.begin(clip)
            line = still_open.enter_context(unit.raw())
            line.sendall(patch_head(location, len(clip.sealed)) + clip.sealed[:100_000])
            until(lambda: first.vault_files() != [])
        with running(folder, pki) as second:
            unit = second.visitor(camera.identity)
            offset = unit.head(location).offset
            assert 0 < offset <= 100_000
            unit.append(location, offset, clip.sealed[offset:])
            second.receipt(unit.seal(clip))
            assert second.is_stored(clip)


def test_more_connections_than_a_listener_keeps_are_refused_at_once_and_it_goes_on(
    dock: RunningDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 8)
    silent = [socket.create_connection(("localhost", dock.port), timeout=PATIENCE) for _ in range(9)]
    try:
        assert silent[-1].recv(1) == b""
        assert select.select(silent[:-1], [], [], 0)[0] == []
    finally:
        for line in silent:
            line.close()
    camera, unit = dock.unit("unit-2")
    until(lambda: has_room(unit))
    dock.receipt(unit.bring(camera.clip()))


def has_room(unit: Visitor) -> bool:
    try:
        return unit.head(f"{UPLOADS_PATH}/x").status == 404
    except OSError:
        return False


def test_a_form_that_trickles_in_byte_by_byte_keeps_no_worker(
    dock: RunningDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FORM_SECONDS", 0.5)

    def reading(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.input"].read(1000)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    with listening("pages", listen_for_people(dock.dock, reading)) as pages:
        visitor = Visitor(pages.port, dock.context(None))
        ended = threading.Event()
        with visitor.raw() as line:

            def trickle() -> None:
                while not ended.wait(0.05):
                    try:
                        line.sendall(b"a")
                    except OSError:
                        return

            line.sendall(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            thread = threading.Thread(target=trickle)
            thread.start()
            try:
                assert status_of(line.recv(65_536)) == 408
            finally:
                ended.set()
                thread.join()
