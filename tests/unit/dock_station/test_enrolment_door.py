"""The enrolment door over real TLS: there only while IT has it open, small, slow to be asked, and telling nothing."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from dock_station.enrolment import door, opening
from dock_station.enrolment.opening import opened_on_demand
from dock_station.serving.listeners import listen_at_the_bays, listening
from evidence.docking import UPLOADS_PATH
from evidence.enrolment import REQUEST_PATH, REQUESTS_PATH, EnrolmentRefusal
from tests.dock import Answer, Visitor, until
from tests.newcomers import Hall, Newcomer, hall


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Hall]:
    with hall(tmp_path) as here:
        yield here


def stranger(here: Hall, port: int) -> Visitor:
    """Return somebody without a certificate."""
    return Visitor(port, ssl.create_default_context(cadata=here.pki.pem.decode()))


@contextmanager
def door_of(here: Hall) -> Iterator[Visitor]:
    with here.files.opened(), listening("enrolment", opening._server(here.dock)) as listener:
        visitor = stranger(here, listener.port)
        yield visitor
        visitor.hang_up()


def refusal(answer: Answer) -> tuple[int, str]:
    sentence = answer.refusal.message
    assert sentence.endswith(".")
    assert "Traceback" not in sentence
    return answer.status, answer.refusal.code


def body(unit: Newcomer) -> bytes:
    return msgspec.json.encode(unit.request())


def test_a_request_is_begun_made_and_waits(here: Hall) -> None:
    with door_of(here) as visitor:
        begun = visitor.ask("POST", REQUESTS_PATH, b"")
        assert begun.status == 201
        said = json.loads(begun.content)
        assert set(said) == {"request_id", "commitment"}, "nothing is given away"
        path = REQUEST_PATH.format(request_id=said["request_id"])
        assert visitor.ask("GET", path).status == 200
        unit = Newcomer(nonce=b"n" * 32)
        assert set(json.loads(visitor.ask("PUT", path, body(unit)).content)) == {"nonce"}
        assert set(json.loads(visitor.ask("GET", path).content)) == {"time", "issued", "newest"}
        changed = visitor.ask("PUT", path, body(Newcomer(nonce=b"n" * 32)))
        assert refusal(changed) == (409, EnrolmentRefusal.CHANGED)


def test_what_is_no_request_is_refused_in_one_sentence(here: Hall) -> None:
    with door_of(here) as visitor, capture_logs():
        begun = json.loads(visitor.ask("POST", REQUESTS_PATH, b"").content)
        path = REQUEST_PATH.format(request_id=begun["request_id"])
        for content in (b"", b"{}", b"[]", b"\xff", b'{"csr": "", "nonce": "AAAA"}', b"9" * 5000):
            assert refusal(visitor.ask("PUT", path, content)) == (422, EnrolmentRefusal.REQUEST), content[:20]
        assert refusal(visitor.ask("GET", f"{REQUESTS_PATH}/{'0' * 32}")) == (404, EnrolmentRefusal.UNKNOWN)
        assert refusal(visitor.ask("GET", f"{REQUESTS_PATH}/x%00y")) == (404, EnrolmentRefusal.UNKNOWN)
        for method, elsewhere in (("GET", "/"), ("GET", UPLOADS_PATH), ("DELETE", path)):
            assert visitor.ask(method, elsewhere).refusal.code == EnrolmentRefusal.REQUEST
        assert visitor.ask("PUT", path, b"x" * (door.MAX_BODY + 1)).status == 413


def test_more_requests_a_minute_than_units_need_are_refused(here: Hall) -> None:
    now = [0.0]
    client = door.create_app(here.dock, monotonic=lambda: now[0], find_bay=lambda _: "1-1.2").test_client()
    with here.files.opened(), capture_logs() as logs:
        statuses = [client.post(REQUESTS_PATH).status_code for _ in range(door.BEGUN_A_MINUTE + 1)]
        assert statuses[0] == 201
        assert statuses[-2:] == [503, 429], "full first, then too often"
        now[0] = 61.0
        assert client.post(REQUESTS_PATH).status_code == 503
    assert {each["code"] for each in logs} == {"full", "too-often"}


def test_a_dock_that_fails_says_so_and_tells_nothing_of_its_inside(here: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    client = door.create_app(here.dock).test_client()
    with here.files.opened(), capture_logs():
        here.dock.folder.tls_certificate_file.write_text("not one")
        answer = client.post(REQUESTS_PATH)
        assert (answer.status_code, answer.get_json()["code"]) == (503, "dock")
        monkeypatch.setattr("dock_station.enrolment.desk.secrets.token_hex", None)
        answer = client.post(REQUESTS_PATH)
        assert (answer.status_code, answer.get_json()["code"]) == (500, "dock")
        assert "NoneType" not in answer.text


def test_the_bays_still_want_a_certificate(here: Hall) -> None:
    with listening("bays", listen_at_the_bays(here.dock)) as listener, capture_logs():
        visitor = stranger(here, listener.port)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            visitor.ask("POST", REQUESTS_PATH, b"")


def test_nothing_listens_before_it_is_opened_and_nothing_after(here: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LOOK_SECONDS", 0.02)
    looks: list[None] = []

    def of(logs: list[Any], event: str) -> list[Any]:
        return [each for each in logs if each["event"] == event]

    with capture_logs() as logs, opened_on_demand(here.dock, lambda: lambda: looks.append(None)):
        until(lambda: len(looks) > 2)
        assert logs == []
        with here.files.opened():
            until(lambda: bool(of(logs, "listening")))
            seen = len(looks)
            until(lambda: len(looks) > seen)
            (port,) = [each["port"] for each in of(logs, "listening")]
            visitor = stranger(here, port)
            assert visitor.ask("POST", REQUESTS_PATH, b"").status == 201
            visitor.hang_up()
        until(lambda: bool(of(logs, "stopped")))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with here.files.opened():
            until(lambda: len(of(logs, "listening")) == 2)


def test_a_port_that_somebody_else_has_is_said_and_the_dock_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LOOK_SECONDS", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with hall(tmp_path) as here:
            settings = here.dock.folder.settings_file
            settings.write_text(settings.read_text().replace("enrolment_port = 0", f"enrolment_port = {port}"))
            taken = type(here.dock).open(here.dock.folder)
            with here.files.opened(), capture_logs() as logs, opened_on_demand(taken, lambda: lambda: None):
                until(lambda: any(each["event"] == "enrolment_not_open" and each["port"] == port for each in logs))
            taken.close()
