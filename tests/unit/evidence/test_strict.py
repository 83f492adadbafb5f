"""What does not fit a schema is refused with the field's name, in JSON and in TOML alike."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.strict import SchemaError, Utc, in_utc, read_json, read_toml, write_json


class Door(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A small document with a number, a time and a list."""

    width: Annotated[float, msgspec.Meta(ge=0.5, le=10)] = 1.0
    opened: tuple[Utc, ...] = ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("width = 1\nwidth = 2", "overwrite"),
        ("height = 1", "height"),
        ("width = '1'", "width"),
        ("width = nan", "width"),
        ("width = inf", "width"),
        ("opened = [2026-01-01T00:00:00+01:00]", r"opened\[0\] is not in UTC"),
        ("opened = [2026-01-01T00:00:00]", "opened"),
        ("width 1", "not TOML"),
    ],
)
def test_toml_that_does_not_fit_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        read_toml(text.encode(), Door, "door")


def test_toml_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(SchemaError, match="not TOML"):
        read_toml(b"width = 1 # \xff", Door, "door")


def test_what_nests_deeper_than_any_reader_goes_is_refused() -> None:
    with pytest.raises(SchemaError):
        read_toml(b"width = " + b"[" * 100_000, Door, "door")
    with pytest.raises(SchemaError):
        read_json(b'{"width": ' + b"[" * 100_000, Door, "door")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for read in (read_json, read_toml):
        try:
            assert isinstance(read(content, Door, "door"), Door)
        except SchemaError:
            continue


def test_times_in_utc_are_read() -> None:
    door = read_json(b'{"opened": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00"]}', Door, "door")
    assert door.opened == (datetime(2026, 1, 1, tzinfo=UTC),) * 2
    assert read_json(write_json(door), Door, "door") == door


def test_a_moment_is_turned_to_utc_and_cut_to_milliseconds() -> None:
    moment = datetime(2026, 3, 1, 13, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=1)))
    assert in_utc(moment).isoformat() == "2026-03-01T12:00:00.123000+00:00"
