"""How pages write sizes, lengths and moments."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from dock_station.pages import forms, shown
from dock_station.pages.speaking import details, offset, party

MOMENT = datetime(2026, 7, 5, 22, 30, 7, tzinfo=UTC)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (62_419_677, "62 MB"),
        (3_600_000_000, "3.6 GB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_sizes_are_decimal_and_short(count: int, text: str) -> None:
    assert shown.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_723, "1:02:03")])
def test_lengths_are_minutes_and_seconds(seconds: float, text: str) -> None:
    assert shown.duration(seconds) == text


@pytest.mark.usefixtures("berlin")
def test_moments_are_local_and_their_title_is_utc() -> None:
    assert shown.moment(MOMENT) == "6 Jul 2026, 00:30"
    assert shown.moment(MOMENT, seconds=True) == "6 Jul 2026, 00:30:07"
    assert shown.moment_utc(MOMENT) == "2026-07-05 22:30:07 UTC"
    assert shown.day(MOMENT) == "6 Jul 2026"
    assert shown.day(date(2026, 7, 5)) == "5 Jul 2026"


@pytest.mark.usefixtures("berlin")
def test_a_day_begins_at_local_midnight_summer_and_winter() -> None:
    assert shown.beginning(date(2026, 7, 6)).astimezone(UTC) == datetime(2026, 7, 5, 22, tzinfo=UTC)
    assert shown.beginning(date(2026, 1, 6)).astimezone(UTC) == datetime(2026, 1, 5, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "right"), (-0.9, "right"), (42.2, "42 s fast"), (-42.2, "42 s slow"), (-7_200, "2:00:00 slow")],
)
def test_a_clock_is_right_fast_or_slow(seconds: float, text: str) -> None:
    assert offset(seconds) == text


def test_the_log_s_names_are_put_in_words() -> None:
    assert party("person:a-example") == "a-example"
    assert party("unit:unit-1") == "Unit unit-1"
    assert party("dock") == "Dock"
    assert details('{"good":true,"case_number":"1/2","last":null}') == "good yes, case number 1/2, last unknown"
    assert details(f'{{"sha256":"{"0123456789abcdef" * 4}"}}') == "sha256 0123456789abcdef…"


@pytest.mark.parametrize("path", ["/clips", "/clips?unit=unit-1&page=2", "/clips/x?at=12"])
def test_a_path_of_this_site_may_be_gone_back_to(path: str) -> None:
    assert forms.own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        None,
        "clips",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\nclips",
        "/\t/evil",
    ],
)
def test_any_other_place_may_not(path: str | None) -> None:
    assert forms.own_path(path) is None


@pytest.mark.parametrize(
    ("zone", "moment", "text"),
    [
        ("Europe/Berlin", datetime(9999, 12, 31, 23, 30, tzinfo=UTC), "31 Dec 9999, 23:30"),
        ("America/New_York", datetime(1, 1, 1, 0, 30, tzinfo=UTC), "1 Jan 1, 00:30"),
    ],
)
def test_a_moment_that_is_none_in_local_time_is_shown_in_utc(
    monkeypatch: pytest.MonkeyPatch, berlin: None, zone: str, moment: datetime, text: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert shown.moment(moment) == text
    assert text.startswith(shown.day(moment))
    assert text.endswith(shown.clock_time(moment))
