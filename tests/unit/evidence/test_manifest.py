"""A manifest is read only if every field of it is what the schema says."""

import hashlib
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.manifest import MAX_BYTES, ClipDiffersError, Manifest, check_ciphertext, decode, encode
from evidence.strict import SchemaError
from tests.unit.evidence.samples import DIGEST, MANIFEST, OTHER_DIGEST, spoilt, without

NAMES = Manifest.__struct_fields__
LOCAL_TIME = "2026-03-01T13:00:00+01:00"
NAIVE_TIME = "2026-03-01T12:00:00"

WRONG: dict[str, list[Any]] = {
    "schema": ["mirrorcam/manifest/2", "", None],
    "clip_id": ["", "019344A0-1111-7ABC-8DEF-0123456789AB", "019344a0-1111-4abc-8def-0123456789ab", "../../etc/x"],
    "unit_id": ["", "Unit-1", "unit 1", "-unit", "unit-", "unit/1", "u" * 33, "unit-1\n"],
    "wearer": ["", "w" * 65, "two\nlines", "nul\0", "escape\x1b[2J", "\u202egnirts", "\u2028", None],
    "sequence": [0, -1, 1.5, "2", True, 2**54],
    "previous_manifest_sha256": [DIGEST.upper(), DIGEST[:-1], DIGEST + "0", DIGEST + "\n", "g" * 64],
    "started_at": [LOCAL_TIME, NAIVE_TIME, "yesterday", 1_772_366_400, None],
    "ended_at": [LOCAL_TIME, NAIVE_TIME, ""],
    "clock": [None, {}, {"last_sync": None}, {"last_sync": None, "estimated_error_seconds": None, "source": "gps"}],
    "started_monotonic_seconds": [-0.1, "1", None],
    "boot_id": ["", "5f0c7a52", "5f0c7a52-4b1e-4d0c-9c55-1d1f6b8f0a01\n"],
    "pre_record_seconds": [-1, 86_401, "30", None],
    "frames_written": [-1, 1.5, "2690"],
    "frames_lost": [-1, 1.5, "none"],
    "has_audio": [0, "no", None],
    "mute_spans": [None, {}, [{}], [{"start_seconds": -1, "end_seconds": 0}], [{"start_seconds": 2, "end_seconds": 1}]],
    "markers": [None, [1.5], [{"at_seconds": -1}], [{"at_seconds": 1, "text": "x"}]],
    "complete": [1, "yes", None],
    "ended_by": ["", "somebody", None],
    "policy_id": ["", "p" * 65, "a\tb"],
    "policy_sha256": ["", OTHER_DIGEST[1:], None],
    "recipients": [[], None, "age1abc", ["AGE-SECRET-KEY-1"], ["age1abc\n"], ["age1abc"] * 17],
    "ciphertext_bytes": [-1, 2.0, "many", None],
    "ciphertext_sha256": ["", DIGEST.upper(), DIGEST + "\n", None],
    "software": ["", "s" * 65, "a\x85b", None],
}


def test_what_is_written_is_read_again() -> None:
    assert decode(encode(MANIFEST)) == MANIFEST


def test_the_bytes_are_indented_utf8_with_a_final_newline_and_the_fields_in_order() -> None:
    content = encode(msgspec.structs.replace(MANIFEST, wearer="Trägerin"))
    assert content.endswith(b"}\n")
    assert '"wearer": "Trägerin"'.encode() in content
    assert re.findall(r'^  "(\w+)":', content.decode(), re.MULTILINE) == list(NAMES)


def test_every_field_has_wrong_values_to_be_tried_with() -> None:
    assert set(WRONG) == set(NAMES)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_with_the_name_of_its_field(name: str, value: Any) -> None:
    with pytest.raises(SchemaError) as refusal:
        decode(spoilt(MANIFEST, **{name: value}))
    assert name in str(refusal.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_field_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(SchemaError, match=name):
        decode(without(MANIFEST, name))


def test_an_unknown_field_is_refused_with_its_name() -> None:
    with pytest.raises(SchemaError, match="gps_position"):
        decode(spoilt(MANIFEST, gps_position="0,0"))


def test_a_doubled_field_is_refused_with_its_name() -> None:
    doubled = encode(MANIFEST).replace(b'"unit_id"', b'"unit_id": "unit-02",\n  "unit_id"')
    with pytest.raises(SchemaError, match="'unit_id' is there twice"):
        decode(doubled)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(SchemaError):
        decode(encode(MANIFEST).replace(b"29.8", number.encode()))


def test_a_time_of_another_zone_is_refused_inside_another_field_too() -> None:
    clock = {"last_sync": LOCAL_TIME, "estimated_error_seconds": None}
    with pytest.raises(SchemaError, match=r"clock\.last_sync is not in UTC"):
        decode(spoilt(MANIFEST, clock=clock))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe",
        b"{} {}",
        b'{"wearer": "\\ud800"}',
        b"[" * 200_000,
        b"9" * 10_000,
    ],
)
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(SchemaError):
        decode(content)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(SchemaError):
        decode(encode(MANIFEST).replace(b"wearer-7", b"wearer\\ud800x"))


def test_what_is_larger_than_any_manifest_is_refused_unread() -> None:
    with pytest.raises(SchemaError, match="larger than"):
        decode(encode(MANIFEST) + b" " * MAX_BYTES)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sequence": 1}, "previous_manifest_sha256"),
        ({"previous_manifest_sha256": None}, "previous_manifest_sha256"),
        ({"ended_by": "power-lost"}, "complete"),
        ({"complete": False}, "complete"),
        ({"ended_at": None}, "ended_at"),
        ({"frames_written": None}, "frames_written"),
        ({"frames_lost": None}, "frames_lost"),
    ],
)
def test_fields_that_do_not_agree_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        decode(spoilt(MANIFEST, **changes))


def test_the_first_clip_of_a_unit_has_no_predecessor() -> None:
    first = msgspec.structs.replace(MANIFEST, sequence=1, previous_manifest_sha256=None)
    assert decode(encode(first)) == first


def test_a_clip_cut_by_power_loss_may_leave_its_end_unknown() -> None:
    cut = msgspec.structs.replace(
        MANIFEST, complete=False, ended_by="power-lost", ended_at=None, frames_written=None, frames_lost=None
    )
    assert decode(encode(cut)) == cut


def test_a_manifest_that_would_be_refused_is_not_written() -> None:
    with pytest.raises(SchemaError, match="complete"):
        encode(msgspec.structs.replace(MANIFEST, complete=False))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_sentence_or_read(content: bytes) -> None:
    with pytest.raises(SchemaError):
        decode(content)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(name=st.sampled_from(NAMES), value=ANY_JSON)
def test_any_value_in_any_field_is_refused_or_kept(name: str, value: Any) -> None:
    try:
        manifest = decode(spoilt(MANIFEST, **{name: value}))
    except SchemaError:
        return
    assert decode(encode(manifest)) == manifest


@given(st.text(min_size=1).filter(lambda name: name not in NAMES))
def test_any_unknown_field_is_refused_in_one_printable_sentence(name: str) -> None:
    with pytest.raises(SchemaError) as refusal:
        decode(spoilt(MANIFEST, **{name: 1}))
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 400


def test_a_sealed_file_of_another_size_is_refused() -> None:
    with pytest.raises(ClipDiffersError, match="it has 5 bytes"):
        check_ciphertext(MANIFEST, size=5, sha256=DIGEST)


def test_a_sealed_file_with_another_digest_is_refused() -> None:
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ClipDiffersError, match=other):
        check_ciphertext(MANIFEST, size=MANIFEST.ciphertext_bytes, sha256=other)


def test_the_very_sealed_file_is_accepted() -> None:
    check_ciphertext(MANIFEST, size=MANIFEST.ciphertext_bytes, sha256=DIGEST)
