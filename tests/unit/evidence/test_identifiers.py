"""Clip ids are UUIDs of version 7 by RFC 9562, and names fit wherever they are written."""

import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.identifiers import ClipId, Label, Sha256Hex, UnitId, new_clip_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 250_000_000_000_000_000).map(lambda number: EPOCH + timedelta(microseconds=number))


def fits(text: str, kind: Any) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


@given(MOMENTS)
def test_a_clip_id_has_version_and_variant_of_rfc_9562(moment: datetime) -> None:
    clip_id = uuid.UUID(new_clip_id(moment))
    assert clip_id.version == 7
    assert clip_id.variant == uuid.RFC_4122


@given(MOMENTS)
def test_a_clip_id_begins_with_the_milliseconds_since_1970(moment: datetime) -> None:
    milliseconds = uuid.UUID(new_clip_id(moment)).int >> 80
    assert abs(milliseconds - (moment - EPOCH) / timedelta(milliseconds=1)) <= 1


@given(MOMENTS)
def test_a_clip_id_is_in_the_canonical_form_that_manifests_ask_for(moment: datetime) -> None:
    assert fits(new_clip_id(moment), ClipId)


def test_a_clip_id_can_be_made_on_a_board_whose_clock_never_ran() -> None:
    assert fits(new_clip_id(datetime(1969, 12, 31, tzinfo=UTC)), ClipId)


def test_clip_ids_sort_by_their_time() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    ids = [new_clip_id(start + timedelta(milliseconds=step)) for step in range(1000)]
    assert all(earlier < later for earlier, later in pairwise(ids))


def test_no_two_clip_ids_of_one_moment_are_alike() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    assert len({new_clip_id(moment) for _ in range(1000)}) == 1000


def test_every_bit_but_version_and_variant_is_used() -> None:
    # 74 random bits: each is 0 once and 1 once among 200 ids, or the odds are 74 in 2**199.
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    values = [uuid.UUID(new_clip_id(moment)).int & (1 << 80) - 1 for _ in range(200)]
    changing = 0
    for value in values:
        changing |= value ^ values[0]
    assert changing == (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)


@pytest.mark.parametrize("name", ["a", "7", "unit-01", "a" * 32, "a--b"])
def test_a_name_of_small_letters_digits_and_inner_hyphens_is_taken(name: str) -> None:
    assert fits(name, UnitId)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "ä", "a" * 33, "a\n", "a b", "٣"])
def test_any_other_name_is_refused(name: str) -> None:
    assert not fits(name, UnitId)


@pytest.mark.parametrize("end", ["\n", " ", "\0"])
def test_nothing_may_follow_an_id_or_a_digest(end: str) -> None:
    assert fits("0" * 64, Sha256Hex)
    assert not fits("0" * 64 + end, Sha256Hex)
    assert not fits("019344a0-1111-7abc-8def-0123456789ab" + end, ClipId)


@given(st.text(max_size=70))
def test_a_label_is_one_line_that_moves_no_cursor(text: str) -> None:
    if fits(text, Label):
        assert 1 <= len(text) <= 64
        assert len(text.splitlines()) == 1
        text.encode()
