"""The dock hands its bundle on, from where a unit had come, and keeps and shows what became of it."""

import hashlib
import http.client
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from dock_station.catalogue import units, updates
from dock_station.catalogue.updates import Told
from dock_station.serving.http import Server
from dock_station.updates import handing_over
from dock_station.updates.handing_over import MOST_AT_ONCE
from dock_station.updates.outcomes import MOST_A_DAY
from dock_station.updates.standing import read_updates
from evidence.docking import (
    BUNDLE_PATH,
    OUTCOME_PATH,
    UPDATE_PATH,
    Outcome,
    RefusalCode,
    UpdateOffer,
    UpdateOutcome,
)
from evidence.release import Release
from evidence.strict import read_json
from tests.bundles import DEBIAN, NEWER, RELEASE
from tests.dock import PATIENCE, Answer, RunningDock, Visitor, running_dock, until
from tests.unit.dock_station.test_reception import greet, greeting

SIZE = 1_000_003


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


def publish(dock: RunningDock, content: bytes, release: str = NEWER) -> UpdateOffer:
    """Put a bundle in place as IT's command does; what is in it is nothing to the dock."""
    files = dock.dock.folder.updates
    sha256 = hashlib.sha256(content).hexdigest()
    files.prepare()
    files.bundle(sha256).write_bytes(content)
    offer = UpdateOffer(release=release, compatible=DEBIAN, bytes=len(content), sha256=sha256)
    files.write_offer(offer)
    return offer


@pytest.fixture
def content() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def offer(dock: RunningDock, content: bytes) -> UpdateOffer:
    return publish(dock, content)


def fetch(unit: Visitor, offer: UpdateOffer, range_header: str | None = None) -> Answer:
    return unit.ask("GET", BUNDLE_PATH.format(sha256=offer.sha256), headers={"Range": range_header})


def tell(unit: Visitor, outcome: Outcome, reason: str = "The camera gave no picture.", release: str = NEWER) -> Answer:
    said = UpdateOutcome(release=release, outcome=outcome, reason=reason)
    return unit.ask("POST", OUTCOME_PATH, msgspec.json.encode(said))


def told_of(dock: RunningDock) -> list[Told]:
    with dock.dock.catalogue.reading() as connection:
        return updates.everyone(connection)


def test_where_nothing_is_offered_a_unit_is_told_so(dock: RunningDock) -> None:
    answer = dock.unit()[1].ask("GET", UPDATE_PATH)
    assert (answer.status, answer.content) == (204, b"")


def test_a_unit_learns_what_is_offered(dock: RunningDock, offer: UpdateOffer) -> None:
    answer = dock.unit()[1].ask("GET", UPDATE_PATH)
    assert answer.status == 200
    assert read_json(answer.content, UpdateOffer, "offer") == offer


def test_a_client_without_a_certificate_gets_nothing(dock: RunningDock, offer: UpdateOffer) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        fetch(dock.visitor(None), offer)


def test_a_bundle_comes_whole(dock: RunningDock, offer: UpdateOffer, content: bytes) -> None:
    _, unit = dock.unit()
    with capture_logs() as logs:
        answer = fetch(unit, offer)
        assert answer.status == 200
        assert answer.content == content
        until(lambda: any(entry["event"] == "bundle_handed_over" for entry in logs))
    (entry,) = [entry for entry in logs if entry["event"] == "bundle_handed_over"]
    assert (entry["unit_id"], entry["release"]) == ("unit-1", NEWER)


def test_each_piece_that_goes_out_is_a_sign_of_life(
    dock: RunningDock, offer: UpdateOffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs: list[int] = []
    monkeypatch.setattr(Server, "note_work", lambda _server: signs.append(1))
    fetch(dock.unit()[1], offer)
    assert len(signs) >= SIZE // handing_over.PIECE


@pytest.mark.parametrize("start", [0, 1, 65_536, SIZE - 1])
def test_it_goes_on_from_where_a_unit_had_come(
    dock: RunningDock, offer: UpdateOffer, content: bytes, start: int
) -> None:
    answer = fetch(dock.unit()[1], offer, f"bytes={start}-")
    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {start}-{SIZE - 1}/{SIZE}"
    assert answer.content == content[start:]


def test_behind_the_end_there_is_nothing(dock: RunningDock, offer: UpdateOffer) -> None:
    _, unit = dock.unit()
    assert "1000003 bytes" in fetch(unit, offer, f"bytes={SIZE}-").refuses(416, RefusalCode.OFFSET)
    assert fetch(unit, offer).status == 200


@pytest.mark.parametrize(
    "header", ["bytes=-5", "bytes=0-9", "bytes=1-,5-", "lines=1-", "bytes=x-", "bytes=" + "9" * 99]
)
def test_another_range_is_answered_by_the_whole(
    dock: RunningDock, offer: UpdateOffer, content: bytes, header: str
) -> None:
    answer = fetch(dock.unit()[1], offer, header)
    assert (answer.status, answer.content) == (200, content)


def test_a_cable_that_is_pulled_in_the_middle_frees_the_place(
    dock: RunningDock, offer: UpdateOffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = publish(dock, os.urandom(64 << 20))
    for _ in range(MOST_AT_ONCE + 1):
        _, unit = dock.unit()
        with unit.raw() as line:
            line.sendall(f"GET {BUNDLE_PATH.format(sha256=large.sha256)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert line.recv(1000).startswith(b"HTTP/1.1 200 ")
    until(lambda: fetch(dock.unit()[1], large, "bytes=67000000-").status == 206)


def test_however_many_units_fetch_clips_come_in_all_the_while(dock: RunningDock) -> None:
    large = publish(dock, os.urandom(64 << 20))
    request = f"GET {BUNDLE_PATH.format(sha256=large.sha256)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    pulled, waiting = threading.Event(), threading.Barrier(MOST_AT_ONCE + 1, timeout=PATIENCE)

    def fetch_and_stall(unit: Visitor) -> None:
        with unit.raw() as line:
            line.sendall(request)
            line.recv(1000)
            waiting.wait()
            pulled.wait()

    stalled = [
        threading.Thread(target=fetch_and_stall, args=(dock.unit(f"unit-{number}")[1],))
        for number in range(MOST_AT_ONCE)
    ]
    for thread in stalled:
        thread.start()
    try:
        waiting.wait()
        camera, unit = dock.unit("unit-20")
        assert "try again in a minute" in fetch(unit, large).refuses(503, RefusalCode.BUSY)
        clip = camera.clip()
        dock.receipt(unit.bring(clip))
        assert dock.is_stored(clip)
    finally:
        pulled.set()
        for thread in stalled:
            thread.join()


def test_to_ask_for_its_head_alone_takes_no_place(dock: RunningDock, offer: UpdateOffer) -> None:
    _, unit = dock.unit()
    for _ in range(MOST_AT_ONCE + 2):
        answer = unit.ask("HEAD", BUNDLE_PATH.format(sha256=offer.sha256))
        assert (answer.status, answer.headers["content-length"]) == (200, str(SIZE))


def test_a_bundle_that_is_replaced_meanwhile_is_read_to_its_end(
    dock: RunningDock, offer: UpdateOffer, content: bytes
) -> None:
    handed = handing_over.Counter(dock.dock.folder.updates).hand_over("unit-1", offer.sha256, None)
    first = next(handed)
    publish(dock, b"another")
    dock.dock.folder.updates.bundle(offer.sha256).unlink()
    assert first + b"".join(handed) == content
    handed.close()
    handed.close()


@pytest.mark.parametrize("name", ["0" * 64, "offer.json", "..%2fdock.key", "x", "outcome"])
def test_nothing_but_the_bundle_that_is_offered_is_given_out(dock: RunningDock, offer: UpdateOffer, name: str) -> None:
    (dock.dock.folder.updates.bundle("0" * 64)).write_bytes(b"an older one")
    dock.unit()[1].ask("GET", BUNDLE_PATH.format(sha256=name)).refuses(404, RefusalCode.UNKNOWN)


def break_size(dock: RunningDock, offer: UpdateOffer) -> None:
    dock.dock.folder.updates.bundle(offer.sha256).write_bytes(b"short")


def break_file(dock: RunningDock, offer: UpdateOffer) -> None:
    dock.dock.folder.updates.bundle(offer.sha256).unlink()


@pytest.mark.parametrize("breaking", [break_size, break_file])
def test_a_bundle_that_is_not_as_it_was_put_there_is_the_docks_fault(
    dock: RunningDock, offer: UpdateOffer, breaking: object
) -> None:
    assert callable(breaking)
    breaking(dock, offer)
    assert "bundle withdraw" in fetch(dock.unit()[1], offer).refuses(503, RefusalCode.DOCK)


@pytest.mark.parametrize("content_of_it", [b"", b"{}", b"\xff", b'{"schema": "mirrorcam/update-offer/2"}'])
def test_an_offer_that_cannot_be_read_is_the_docks_fault_and_clips_come_in(
    dock: RunningDock, offer: UpdateOffer, content_of_it: bytes
) -> None:
    dock.dock.folder.updates.offer_file.write_bytes(content_of_it)
    camera, unit = dock.unit()
    assert "bundle withdraw" in unit.ask("GET", UPDATE_PATH).refuses(503, RefusalCode.DOCK)
    dock.receipt(unit.bring(camera.clip()))


def test_what_a_unit_tells_is_kept_and_stands_in_the_custody_log(dock: RunningDock) -> None:
    _, unit = dock.unit()
    for _ in range(2):
        answer = tell(unit, Outcome.ROLLED_BACK)
        assert (answer.status, answer.content) == (204, b"")
    (told,) = told_of(dock)
    assert (told.unit_id, told.release, told.outcome) == ("unit-1", NEWER, "rolled-back")
    assert told.reason == "The camera gave no picture."
    assert dock.log() == [("update-rolled-back", "unit:unit-1")]


def test_a_unit_that_tells_something_else_without_end_does_not_fill_the_custody_log(dock: RunningDock) -> None:
    _, unit = dock.unit()
    for number in range(MOST_A_DAY + 5):
        assert tell(unit, Outcome.REFUSED, f"It is refused for the {number}th time.").status == 204
    assert len(dock.log()) == MOST_A_DAY
    (told,) = told_of(dock)
    assert told.reason == f"It is refused for the {MOST_A_DAY + 4}th time."
    _, other = dock.unit("unit-2")
    tell(other, Outcome.CONFIRMED)
    assert dock.log()[-1] == ("update-confirmed", "unit:unit-2")


def test_the_newest_word_of_each_unit_is_kept(dock: RunningDock) -> None:
    _, first = dock.unit("unit-1")
    _, second = dock.unit("unit-2")
    tell(first, Outcome.REFUSED, "It is older than what runs.", RELEASE)
    tell(first, Outcome.CONFIRMED, "Camera, screen and dock were reached.")
    tell(second, Outcome.ROLLED_BACK)
    assert [(told.unit_id, told.outcome) for told in told_of(dock)] == [
        ("unit-1", "confirmed"),
        ("unit-2", "rolled-back"),
    ]
    assert [action for action, _ in dock.log()] == ["update-refused", "update-confirmed", "update-rolled-back"]


@pytest.mark.parametrize(
    ("field", "value"), [("reason", "x" * 301), ("reason", "a\nb"), ("outcome", "fine"), ("release", "1"), ("more", 1)]
)
def test_a_word_that_does_not_fit_is_refused_by_its_fields_name(dock: RunningDock, field: str, value: object) -> None:
    said = UpdateOutcome(release=NEWER, outcome=Outcome.CONFIRMED, reason="It runs.")
    content = msgspec.json.encode(msgspec.to_builtins(said) | {field: value})
    refusal = dock.unit()[1].ask("POST", OUTCOME_PATH, content).refuses(422, RefusalCode.SCHEMA)
    assert field in refusal
    assert told_of(dock) == []


def test_a_word_that_is_too_long_is_refused(dock: RunningDock) -> None:
    dock.unit()[1].ask("POST", OUTCOME_PATH, b" " * (9 << 10)).refuses(413, RefusalCode.TOO_LONG)


@pytest.mark.parametrize(
    ("runs", "told", "waits"),
    [
        ("mirrorcam 0.1.0", None, True),
        (Release.parse(RELEASE).software, None, True),
        (Release.parse(NEWER).software, None, False),
        (Release.parse("0.3.0+20261120T000000Z").software, None, False),
        (Release.parse(RELEASE).software, Outcome.ROLLED_BACK, False),
        (Release.parse(RELEASE).software, Outcome.REFUSED, False),
        (Release.parse(RELEASE).software, Outcome.CONFIRMED, True),  # its card was written anew since
    ],
)
def test_an_offer_waits_for_units_that_run_an_older_release_and_have_not_given_it_up(
    dock: RunningDock, offer: UpdateOffer, runs: str, told: Outcome | None, *, waits: bool
) -> None:
    _, unit = dock.unit()
    greet(unit, msgspec.structs.replace(greeting(), software=runs))
    if told:
        tell(unit, told)
    with dock.dock.catalogue.reading() as connection:
        (known,) = units.everyone(connection)
        standing = read_updates(connection, dock.dock.folder.updates).of(known)
    assert (standing.waiting is not None) is waits
