"""Only a receipt for just this clip and just these bytes lets a unit delete its copy."""

from typing import Any

import msgspec
import pytest

from evidence.receipt import Receipt, ReceiptDiffersError, check_speaks_of, decode, encode
from evidence.strict import SchemaError
from tests.unit.evidence.samples import DIGEST, MANIFEST, OTHER_CLIP_ID, OTHER_DIGEST, RECEIPT, spoilt, without

WRONG: dict[str, list[Any]] = {
    "schema": ["mirrorcam/receipt/2"],
    "dock_id": ["", "Town Hall", "dock\n", None],
    "unit_id": ["", "UNIT", None],
    "clip_id": ["", "1", OTHER_CLIP_ID.upper()],
    "manifest_sha256": ["", DIGEST.upper(), None],
    "ciphertext_bytes": [-1, "9", None],
    "ciphertext_sha256": [DIGEST[1:], None],
    "stored_at": ["2026-03-01T19:00:00+01:00", "2026-03-01T18:00:00", None],
    "custody": [None, {}, {"entries": 0, "sha256": DIGEST}, {"entries": 1, "sha256": DIGEST, "name": "x"}],
}

OTHER_VALUES: dict[str, Any] = {
    "unit_id": "unit-02",
    "clip_id": OTHER_CLIP_ID,
    "manifest_sha256": DIGEST,
    "ciphertext_bytes": 1,
    "ciphertext_sha256": OTHER_DIGEST,
}


def test_what_is_written_is_read_again() -> None:
    assert decode(encode(RECEIPT)) == RECEIPT


def test_every_field_has_wrong_values_to_be_tried_with() -> None:
    assert set(WRONG) == set(Receipt.__struct_fields__)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_with_the_name_of_its_field(name: str, value: Any) -> None:
    with pytest.raises(SchemaError, match=name):
        decode(spoilt(RECEIPT, **{name: value}))


@pytest.mark.parametrize("name", WRONG)
def test_a_missing_field_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(SchemaError, match=name):
        decode(without(RECEIPT, name))


def test_an_unknown_field_is_refused_with_its_name() -> None:
    with pytest.raises(SchemaError, match="valid_until"):
        decode(spoilt(RECEIPT, valid_until="2030-01-01T00:00:00Z"))


def test_a_receipt_for_this_very_clip_is_accepted() -> None:
    check_speaks_of(RECEIPT, MANIFEST, OTHER_DIGEST)


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_receipt_with_anything_else_than_the_clip_is_refused_with_what_differs(name: str) -> None:
    other = msgspec.structs.replace(RECEIPT, **{name: OTHER_VALUES[name]})
    with pytest.raises(ReceiptDiffersError, match=name):
        check_speaks_of(other, MANIFEST, OTHER_DIGEST)
