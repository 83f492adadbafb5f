"""A unit greets the dock: it learns the time, its wearer and the policy, and a rewritten custody log comes to light."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from dock_station.catalogue import units
from dock_station.clock import utc_now
from dock_station.decisions import vouch_for_clock
from evidence.certificates import Role
from evidence.docking import GREETING_PATH, Greeting, RefusalCode, SeenHead, Welcome
from evidence.policy import open_signed
from evidence.receipt import CustodyHead
from evidence.signature import Signed
from evidence.strict import read_json
from tests.dock import Answer, RunningDock, Visitor, running_dock


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


def greeting(unit_id: str = "unit-1", *, sent_at: datetime | None = None, seen: tuple[SeenHead, ...] = ()) -> Greeting:
    return Greeting(
        unit_id=unit_id,
        software="mirrorcam test",
        sent_at=sent_at or datetime.now(UTC),
        clips_waiting=3,
        storage_free_bytes=10**9,
        storage_total_bytes=10**10,
        battery_percent=80,
        temperature_celsius=41.5,
        seen_heads=seen,
    )


def greet(unit: Visitor, content: Greeting | bytes) -> Answer:
    return unit.ask("POST", GREETING_PATH, content if isinstance(content, bytes) else msgspec.json.encode(content))


def welcome_of(dock: RunningDock, answer: Answer) -> Welcome:
    signed = answer.signed
    signed.verify(dock.pki.authority(), Role.DOCK_SIGNER, utc_now(), "welcome")
    return read_json(signed.content, Welcome, "welcome")


def test_a_unit_is_told_the_time_and_the_policy_signed_by_the_dock(dock: RunningDock) -> None:
    _, unit = dock.unit()
    welcome = welcome_of(dock, greet(unit, greeting()))
    assert (welcome.dock_id, welcome.unit_id) == ("dock-1", "unit-1")
    assert abs(welcome.time - datetime.now(UTC)) < timedelta(seconds=30)
    assert welcome.wearer is None
    document = Signed(
        content=welcome.policy, signature=welcome.policy_signature, certificate=welcome.policy_certificate
    )
    assert open_signed(document, dock.pki.authority(), utc_now()).policy.policy_id == "test"


def test_a_unit_is_told_that_the_dock_doubts_its_clock_until_a_person_vouches_for_it(dock: RunningDock) -> None:
    _, unit = dock.unit()
    assert welcome_of(dock, greet(unit, greeting())).time_is_trusted
    with dock.dock.catalogue.writing() as connection:
        dock.dock.custody.distrust_clock(connection, "as this test says")
    assert not welcome_of(dock, greet(unit, greeting())).time_is_trusted
    vouch_for_clock(dock.dock, actor="person:a-example", reason="compared with another clock")
    assert welcome_of(dock, greet(unit, greeting())).time_is_trusted


def test_a_clock_that_jumped_back_while_nobody_looked_is_doubted_before_a_unit_learns_it(tmp_path: Path) -> None:
    late = [timedelta()]
    with running_dock(tmp_path, clock=lambda: utc_now() - late[0]) as dock:
        camera, unit = dock.unit()
        dock.receipt(unit.bring(camera.clip()))
        late[0] = timedelta(hours=3)
        assert not welcome_of(dock, greet(unit, greeting())).time_is_trusted
        assert any("cannot be believed" in sentence for sentence in dock.alarms())


def test_what_a_unit_says_of_itself_is_noted(dock: RunningDock) -> None:
    _, unit = dock.unit()
    greet(unit, greeting(sent_at=datetime.now(UTC) - timedelta(days=3)))
    with dock.dock.catalogue.reading() as connection:
        known = units.find(connection, "unit-1")
    assert known
    assert (known.software, known.battery_percent, known.temperature_celsius) == ("mirrorcam test", 80, 41.5)
    assert (known.clips_waiting, known.storage_free_bytes) == (3, 10**9)
    assert known.clock_offset_seconds == pytest.approx(-3 * 86_400, abs=30)


def test_a_greeting_of_another_unit_is_refused(dock: RunningDock) -> None:
    _, unit = dock.unit()
    assert "unit-2" in greet(unit, greeting("unit-2")).refuses(403, RefusalCode.FOREIGN)
    with dock.dock.catalogue.reading() as connection:
        assert units.everyone(connection) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("battery_percent", 101), ("clips_waiting", -1), ("unit_id", "Two Words"), ("sent_at", "now"), ("more", 1)],
)
def test_a_greeting_with_a_bad_field_is_refused_by_the_fields_name(
    dock: RunningDock, field: str, value: object
) -> None:
    _, unit = dock.unit()
    content = {**msgspec.to_builtins(greeting()), field: value}
    assert field in greet(unit, msgspec.json.encode(content)).refuses(422, RefusalCode.SCHEMA)


def test_a_greeting_that_is_too_long_is_refused(dock: RunningDock) -> None:
    _, unit = dock.unit()
    greet(unit, b" " * (65 << 10)).refuses(413, RefusalCode.TOO_LONG)


def test_a_head_that_the_dock_handed_out_raises_no_alarm(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    head = dock.receipt(unit.bring(camera.clip())).custody
    unit.bring(camera.clip())
    welcome_of(dock, greet(unit, greeting(seen=(SeenHead(dock_id="dock-1", head=head),))))
    assert dock.alarms() == []


@pytest.mark.parametrize("entries", [1, 40])
def test_a_head_that_the_log_does_not_have_raises_an_alarm_once_and_the_unit_is_served(
    dock: RunningDock, entries: int
) -> None:
    camera, unit = dock.unit()
    unit.bring(camera.clip())
    seen = SeenHead(dock_id="dock-1", head=CustodyHead(entries=entries, sha256="1e" * 32))
    for _ in range(2):
        welcome_of(dock, greet(unit, greeting(seen=(seen,))))
    (alarm,) = dock.alarms()
    assert f"entry {entries}" in alarm
    assert dock.log()[1:] == [("custody-head-disagrees", "dock:dock-1")]
    dock.receipt(unit.bring(camera.clip()))


def test_a_head_of_another_dock_says_nothing_about_this_one(dock: RunningDock) -> None:
    _, unit = dock.unit()
    seen = SeenHead(dock_id="dock-2", head=CustodyHead(entries=7, sha256="1e" * 32))
    welcome_of(dock, greet(unit, greeting(seen=(seen,))))
    assert dock.alarms() == []


def test_a_broken_policy_is_the_docks_fault_and_not_the_units(dock: RunningDock) -> None:
    _, unit = dock.unit()
    dock.dock.folder.policy_file.write_text("retention_days = 0\n")
    assert "policy" in greet(unit, greeting()).refuses(503, RefusalCode.DOCK)
    dock.dock.folder.policy_file.unlink()
    assert "policy" in greet(unit, greeting()).refuses(503, RefusalCode.DOCK)
