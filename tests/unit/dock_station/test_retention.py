"""Retention's decisions, over all the ages, policies and clocks that hypothesis can think of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dock_station.catalogue.clips import Clip
from dock_station.clock import TOLERANCE, ClockReading, ClockWatch, disagreement, jump
from dock_station.retention.rules import due_at, due_now, retained_from
from evidence.policy import Policy
from tests.pki import SOME_RECIPIENT

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)

CLIP = Clip(
    clip_id="019344a0-1111-7abc-8def-0123456789ab", unit_id="unit-1", sequence=1, wearer="wearer-7", started_at=START,
    ended_at=None, duration_seconds=None, pre_record_seconds=30, clock_error_seconds=0.5, complete=False,
    ended_by="power-lost", has_audio=False, frames_lost=None, ciphertext_bytes=4096, ciphertext_sha256="0" * 64,
    manifest_sha256="1" * 64, certificate_sha256="2" * 64, policy_id="test", vault_key="clips/x", received_at=START,
    retained_from=START, due_at=START, deleted_at=None,
)  # fmt: skip


def policy(days: int, low: int, high: int) -> Policy:
    return msgspec.convert(
        {
            "policy_id": "test",
            "recipients": [SOME_RECIPIENT],
            "retention_days": days,
            "retention_min_days": low,
            "retention_max_days": high,
        },
        Policy,
    )


def policies() -> st.SearchStrategy[Policy]:
    days = st.lists(st.integers(1, 3650), min_size=3, max_size=3).map(sorted)
    return days.map(lambda three: policy(three[1], three[0], three[2]))


def moments() -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime(2000, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


spans = st.timedeltas(-20 * 365 * DAY, 20 * 365 * DAY)


def stored_clips() -> st.SearchStrategy[Clip]:
    return st.builds(
        lambda number, start, promised, deleted: replace(
            CLIP,
            clip_id=f"{number:08x}-1111-7abc-8def-0123456789ab",
            retained_from=start,
            due_at=start + promised,
            deleted_at=start if deleted else None,
        ),
        st.integers(0, 50),
        moments(),
        spans,
        st.booleans(),
    )


@given(stored=st.lists(stored_clips(), max_size=8), data=st.data(), rules=policies(), now=moments())
def test_no_clip_is_due_before_the_minimum_none_that_is_held_and_each_at_the_maximum(
    stored: list[Clip], data: st.DataObject, rules: Policy, now: datetime
) -> None:
    ids = st.sampled_from([clip.clip_id for clip in stored] or ["none"])
    held = frozenset(data.draw(st.lists(ids, max_size=4)))
    due = due_now(stored, held, rules, now)
    chosen = [each.clip for each in due]
    for clip in stored:
        age = now - clip.retained_from
        if clip in chosen:
            assert clip.deleted_at is None
            assert clip.clip_id not in held
            assert age >= timedelta(days=rules.retention_min_days)
            assert now >= clip.due_at or age >= timedelta(days=rules.retention_max_days)
        elif clip.deleted_at is None and clip.clip_id not in held:
            assert age < timedelta(days=rules.retention_max_days)
            assert now < clip.due_at or age < timedelta(days=rules.retention_min_days)
    assert [each.due_at for each in due] == sorted(each.due_at for each in due)


@given(clip=stored_clips(), rules=policies(), now=moments(), later=st.timedeltas(timedelta(0), 10 * 365 * DAY))
def test_what_is_due_once_stays_due(clip: Clip, rules: Policy, now: datetime, later: timedelta) -> None:
    if due_now([clip], frozenset(), rules, now):
        assert due_now([clip], frozenset(), rules, now + later)


@given(
    recorded=moments(),
    clock_wrong_by=st.timedeltas(-4000 * DAY, 4000 * DAY),
    error_is_known=st.booleans(),
    travelled=st.timedeltas(timedelta(0), 30 * DAY),
    rules=policies(),
)
def test_no_clip_goes_early_because_the_clock_of_its_unit_was_wrong(
    *, recorded: datetime, clock_wrong_by: timedelta, error_is_known: bool, travelled: timedelta, rules: Policy
) -> None:
    start = retained_from(
        started_at=recorded + clock_wrong_by,
        clock_error_seconds=abs(clock_wrong_by).total_seconds() if error_is_known else None,
        received_at=recorded + travelled,
        previous_started_at=None,
    )
    assert recorded - timedelta(milliseconds=1) <= start <= recorded + travelled
    assert due_at(start, rules) == start + timedelta(days=rules.retention_days)


def test_a_clip_older_than_the_one_before_it_is_kept_from_its_arrival_on() -> None:
    start = retained_from(
        started_at=START - 365 * DAY, clock_error_seconds=0.1, received_at=START, previous_started_at=START - DAY
    )
    assert start == START


@pytest.mark.parametrize("error", [1e300, 1e18])
def test_an_absurd_clock_error_is_no_reason_to_keep_a_clip_for_ever(error: float) -> None:
    start = retained_from(
        started_at=START, clock_error_seconds=error, received_at=START + DAY, previous_started_at=None
    )
    assert start == START + DAY


# The clock


@given(moments(), st.timedeltas(timedelta(0), 300 * DAY), spans)
def test_a_jump_is_told_if_and_only_if_it_is_beyond_the_tolerance(
    wall: datetime, passed: timedelta, jumped: timedelta
) -> None:
    before = ClockReading(wall, 1000.0)
    told = jump(before, ClockReading(wall + passed + jumped, 1000.0 + passed.total_seconds()))
    if abs(jumped) > TOLERANCE + timedelta(milliseconds=1):
        assert told
        assert ("forward" if jumped > timedelta(0) else "back") in told
    elif abs(jumped) < TOLERANCE - timedelta(milliseconds=1):
        assert told is None


def test_a_watch_tells_of_a_jump_until_it_was_noted() -> None:
    clocks = [ClockReading(START, 0.0)]
    watch = ClockWatch(lambda: clocks[-1])
    clocks.append(ClockReading(START + DAY, 60.0))
    assert watch.jumped() == watch.jumped() == "it jumped forward by 23 hours after 2026-03-01 12:00 UTC"
    watch.note()
    assert watch.jumped() is None


@pytest.mark.parametrize(
    ("difference", "doubt"),
    [
        (timedelta(0), None),
        (timedelta(minutes=-2), None),
        (timedelta(days=2), None),
        (timedelta(minutes=-3), "3 minutes behind"),
        (timedelta(days=2, minutes=1), "2 days ahead"),
        (timedelta(hours=-5), "5 hours behind"),
    ],
)
def test_the_clock_is_held_against_the_custody_log(difference: timedelta, doubt: str | None) -> None:
    told = disagreement(START, START + difference)
    assert (told is None) if doubt is None else (told is not None and doubt in told)
