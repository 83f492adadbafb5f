"""What the dock does all day, on SQLite and on PostgreSQL: holds, deletion, doubts about the clock, gaps, people."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy.exc import StatementError

from dock_station import custody, decisions
from dock_station.catalogue import alarms, chains, clips, deletions, holds, schema, units, uploads
from dock_station.catalogue.clips import Wanted
from dock_station.catalogue.database import Catalogue
from dock_station.clock import ClockWatch, utc_now
from dock_station.doctor import findings
from dock_station.people import LoginTakenError, People, SignInError
from dock_station.retention.worker import RetentionWorker, Run
from dock_station.rights import Role
from evidence.docking import RefusalCode
from tests.dock import NO_RESERVE, RunningDock, running_dock
from tests.postgresql import PostgreSql, postgresql

ACTOR = "person:a-example"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty catalogue is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.sqlite3'}"
    server: PostgreSql = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def passed() -> list[timedelta]:
    """How far the dock's clock is ahead of the real one; a test moves it."""
    return [timedelta()]


@pytest.fixture
def dock(url: str, tmp_path: Path, passed: list[timedelta]) -> Iterator[RunningDock]:
    settings = f'{NO_RESERVE}\ncatalogue_url = "{url}"'
    with running_dock(tmp_path, settings=settings, clock=lambda: utc_now() + passed[0]) as dock:
        yield dock


def retention(dock: RunningDock) -> Run:
    return RetentionWorker(dock.dock, ClockWatch()).run()


def test_a_moment_comes_back_as_it_went_in_whatever_its_zone(url: str) -> None:
    catalogue = Catalogue(url)
    schema.migrate(catalogue)
    moment = datetime(2026, 3, 29, 1, 59, 59, 123_456, tzinfo=UTC)
    with catalogue.writing() as connection:
        units.seen(connection, "unit-1", moment.astimezone(timezone(timedelta(hours=5, minutes=30))))
    with catalogue.reading() as connection:
        known = units.find(connection, "unit-1")
    assert known
    assert known.first_seen_at == moment
    assert known.first_seen_at.tzinfo == UTC
    with pytest.raises(StatementError, match="without its time zone"), catalogue.writing() as connection:
        units.seen(connection, "unit-2", moment.replace(tzinfo=None))
    catalogue.close()


def test_clips_are_listed_and_a_hold_keeps_one_when_the_others_go(dock: RunningDock, passed: list[timedelta]) -> None:
    camera, unit = dock.unit()
    first, second, held = brought = [camera.clip() for _ in range(3)]
    for clip in brought:
        assert dock.receipt(unit.bring(clip)).clip_id == clip.clip_id
    decisions.hold(dock.dock, held.clip_id, actor=ACTOR, case_number="C-1", reason="test", review_on=date(2030, 1, 1))
    day = timedelta(days=1)
    with dock.dock.catalogue.reading() as connection:
        found = clips.listed(connection, Wanted(unit_id="unit-1", held=False), limit=10)
        assert {each.clip.clip_id for each in found} == {first.clip_id, second.clip_id}
        since = Wanted(wearer="wearer-7", started_since=utc_now() - day, started_before=utc_now() + day, held=True)
        assert [(each.clip.clip_id, each.held) for each in clips.listed(connection, since, limit=10)] == [
            (held.clip_id, True)
        ]
        assert clips.count(connection, Wanted(deleted=None)) == 3
        assert clips.kept_bytes(connection) == sum(len(clip.sealed) for clip in brought)
        assert [hold.clip_id for hold in holds.in_force(connection)] == [held.clip_id]
    assert retention(dock).deleted == ()
    passed[0] = timedelta(days=100)
    assert retention(dock).stopped, "the clock has jumped"
    decisions.vouch_for_clock(dock.dock, actor=ACTOR, reason="compared")
    assert set(retention(dock).deleted) == {first.clip_id, second.clip_id}
    with dock.dock.catalogue.reading() as connection:
        assert deletions.unfinished(connection) == []
        gone = deletions.find(connection, first.clip_id)
        assert gone
        assert gone.deleted_at
        custody.check(connection, dock.pki.authority(), "dock-1")


def test_clips_that_came_while_the_clock_was_in_doubt_are_kept_from_its_end_on(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    before, meanwhile = camera.clip(), camera.clip()
    unit.bring(before)
    with dock.dock.catalogue.writing() as connection:
        dock.dock.custody.distrust_clock(connection, "as this test says")
    unit.bring(meanwhile)
    received = {clip.clip_id: dock.stored(clip.clip_id) for clip in (before, meanwhile)}
    decisions.vouch_for_clock(dock.dock, actor=ACTOR, reason="compared")
    for clip, is_later in ((before, False), (meanwhile, True)):
        was, now = received[clip.clip_id], dock.stored(clip.clip_id)
        assert was
        assert now
        assert (now.due_at > was.due_at) is is_later
        assert now.due_at - now.retained_from == was.due_at - was.retained_from


def test_a_gap_an_alarm_and_an_upload_under_way(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    unit.bring(camera.clip())
    camera.clip()
    after = camera.clip()
    unit.bring(after).refuses(409, RefusalCode.GAP)
    assert decisions.accept_gap(dock.dock, "unit-1", actor=ACTOR, reason="lost") == 2
    assert dock.receipt(unit.seal(after))
    begun = camera.clip()
    unit.append(unit.begin(begun), 0, begun.sealed[:1000])
    decisions.issue(dock.dock, "unit-1", "wearer-9", actor=ACTOR)
    with dock.dock.catalogue.writing() as connection:
        raised = [
            alarms.raise_alarm(
                connection, kind=alarms.DELETION_FAILED, subject="clip:x", sentence="A test.", at=utc_now()
            )
            for _ in range(2)
        ]
    assert raised == [True, False]
    with dock.dock.catalogue.reading() as connection:
        newest = chains.newest(connection, "unit-1")
        assert newest
        assert newest.sequence == 3
        assert chains.open_gap(connection, "unit-1") is None
        assert uploads.bytes_still_to_come(connection) == len(begun.sealed) - 1000
        known = units.find(connection, "unit-1")
        assert known
        assert known.wearer == "wearer-9"
        alarm = alarms.find_open(connection, alarms.DELETION_FAILED, "clip:x")
    assert alarm
    decisions.clear_alarm(dock.dock, alarm.alarm_id, actor=ACTOR, reason="seen to")
    assert "A test." not in dock.alarms()


def test_people_sign_in_and_nobody_takes_another_s_name(dock: RunningDock) -> None:
    people = People(dock.dock, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    people.add("a-example", Role.OFFICER, "a password of words", "shell:test", wearer="wearer-1")
    with pytest.raises(LoginTakenError):
        people.add("wearer-1", Role.OFFICER, "a password of words", "shell:test")
    with pytest.raises(SignInError):
        people.sign_in("a-example", "another password", "192.0.2.1")
    assert people.sign_in("a-example", "a password of words", "192.0.2.1").failed_attempts == 1
    people.disable("a-example", "shell:test")
    with pytest.raises(SignInError):
        people.sign_in("a-example", "a password of words", "192.0.2.1")


def test_the_doctor_finds_a_lost_file_and_nothing_else_in_the_catalogue(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    clip = camera.clip()
    unit.bring(clip)
    assert [sentence for sentence in findings(dock.dock.folder, utc_now) if "Clip" in sentence] == []
    stored = dock.stored(clip.clip_id)
    assert stored
    dock.dock.vault.sealed_file(stored.vault_key).unlink()
    (sentence,) = [sentence for sentence in findings(dock.dock.folder, utc_now) if "Clip" in sentence]
    assert clip.clip_id in sentence
