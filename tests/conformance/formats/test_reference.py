"""docs/formats.md against the code: every field, range, word, refusal, path and number stands there."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from dock_station import custody
from dock_station.bays import door, tus, uploads
from evidence import docking
from evidence.age import CHUNK_SIZE, MAX_HEADER_SIZE, SEALED_CHUNK_SIZE, HybridIdentity, X25519Identity, seal_bytes
from evidence.age import read_header as read_age_header
from evidence.certificates import Role
from evidence.docking import Greeting, Refusal, RefusalCode, SealRequest, SeenHead, Welcome
from evidence.identifiers import NAME_PATTERN
from evidence.manifest import MAX_BYTES, ClockQuality, EndedBy, Manifest, Marker, Span
from evidence.policy import Policy
from evidence.receipt import CustodyHead, Receipt
from evidence.signature import SIGNATURE_BYTES, Signed

TEXT = (Path(__file__).parents[3] / "docs/formats.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (\d+)\. (?:.*)\n((?:(?!^## ).*\n?)*)", TEXT, re.MULTILINE))
# Each document that has a table of its own, and where that is.
TABLES: dict[type[msgspec.Struct], str] = {Manifest: "6", Receipt: "9", Greeting: "10", Welcome: "10", Policy: "12"}
# Each that is described within the text.
WITHIN: dict[type[msgspec.Struct], str] = {
    ClockQuality: "6",
    Span: "6",
    Marker: "6",
    Signed: "7",
    CustodyHead: "9",
    SeenHead: "10",
    SealRequest: "10",
    Refusal: "10",
}


def table_of(document: type[msgspec.Struct]) -> str:
    """Return the rows of a document's table, which begins with its schema."""
    section = SECTIONS[TABLES[document]]
    start = section.index(f'| `schema` | `"mirrorcam/{document.__name__.lower()}/1"`')
    return section[start:].split("\n\n")[0]


def row(table: str, name: str) -> str:
    """Return the line of a table that is about `name`."""
    found = re.search(rf"^\| `{re.escape(name)}` \|.*$", table, re.MULTILINE)
    assert found, f"there is no row for {name}"
    return found[0]


def limits(schema: Any) -> list[str]:
    """Return the numbers and words that restrict a field."""
    if isinstance(schema, list):
        return [limit for each in schema for limit in limits(each)]
    if not isinstance(schema, dict):
        return []
    found = [f"{schema[key]:g}" if schema[key] < 10**6 else str(schema[key]) for key in RANGES if key in schema]
    found += [word for word in schema.get("enum", []) if isinstance(word, str)]
    return found + [limit for key in ("anyOf", "items") for limit in limits(schema.get(key))]


RANGES = ("minimum", "maximum", "minItems", "maxItems", "maxLength")


@pytest.mark.parametrize("document", TABLES)
def test_every_field_is_there_with_its_range(document: type[msgspec.Struct]) -> None:
    for name, schema in msgspec.json.schema(document)["$defs"][document.__name__]["properties"].items():
        line = row(table_of(document), name)
        stated = line.split("|")[2]
        # Labels and counts have their limits in section 2; the ways to end have a table of their own.
        if name != "ended_by" and not re.search(r"\b(label|count)\b", stated):
            for limit in limits(schema):
                assert re.search(rf"(?<![\w.]){re.escape(limit)}(?![\w.])", stated), f"{name} lacks {limit}: {line}"
        assert ({"type": "null"} in schema.get("anyOf", [])) == ("null" in stated), line


@pytest.mark.parametrize("document", TABLES)
def test_no_field_is_there_that_the_schema_does_not_have(document: type[msgspec.Struct]) -> None:
    assert re.findall(r"^\| `(\w+)` \|", table_of(document), re.MULTILINE) == list(document.__struct_fields__)


@pytest.mark.parametrize("document", WITHIN)
def test_every_field_of_a_smaller_object_is_named(document: type[msgspec.Struct]) -> None:
    for name in document.__struct_fields__:
        assert f"`{name}`" in SECTIONS[WITHIN[document]], name


def test_every_setting_with_a_default_states_it() -> None:
    for field in msgspec.structs.fields(Policy):
        default = row(table_of(Policy), field.name).split("|")[3].strip()
        if field.name != "schema":
            stated = "" if field.default is msgspec.NODEFAULT else str(field.default)
            assert default.strip("`").lower() == stated.lower(), field.name


def test_every_way_to_end_is_there() -> None:
    for word in get_args(EndedBy):
        assert row(SECTIONS["6"], word)


def test_every_refusal_is_there_with_its_status() -> None:
    statuses: dict[RefusalCode, set[str]] = {code: set() for code in RefusalCode}
    for status, code in (*door.REFUSALS.values(), door.NOT_IN_ORDER):
        statuses[code].add(status[:3])
    table = SECTIONS["10"].split("**Refusal**")[1]
    for code, expected in statuses.items():
        stated = set(re.findall(r"\d{3}", row(table, code.value).split("|")[2]))
        assert expected <= stated, code
        # Beyond the table of errors: what Flask itself refuses, and what nobody foresaw.
        assert stated - expected <= {"405", "500"}, code


def test_every_role_is_there() -> None:
    for role in Role:
        assert row(SECTIONS["7"], role.value)


def test_the_protocols_names_are_there() -> None:
    section = SECTIONS["10"]
    for name in (docking.GREETING_PATH, docking.UPLOADS_PATH, docking.SEAL_PATH.format(clip_id="<clip_id>")):
        assert name in section
    for name in (*docking.TUS_EXTENSIONS, *docking.TUS_CHECKSUMS, docking.CLIP_ID_METADATA, tus.PIECE_TYPE):
        assert f"`{name}`" in section
    for number in (door.MAX_GREETING, door.MAX_SEAL_REQUEST, tus.MAX_METADATA, uploads.KEPT_FOR.days):
        assert str(number) in section


def test_the_numbers_are_those_of_the_code() -> None:
    assert str(MAX_BYTES) in SECTIONS["6"]
    assert f"× {SEALED_CHUNK_SIZE}" in SECTIONS["4"]
    assert f"{CHUNK_SIZE} bytes" in SECTIONS["4"]
    assert f"{MAX_HEADER_SIZE} bytes" in SECTIONS["4"]
    assert f"{SIGNATURE_BYTES} raw bytes" in SECTIONS["7"]
    assert NAME_PATTERN.replace("\\Z", "$") in SECTIONS["2"]


def test_a_stanza_has_the_sizes_that_are_stated(tmp_path: Path) -> None:
    for identity, kind, share in (
        (X25519Identity.generate(), "X25519", 32),
        (HybridIdentity.generate(), "mlkem768x25519", 1120),
    ):
        path = tmp_path / kind
        path.write_bytes(seal_bytes(b"", [identity.recipient]))
        with path.open("rb") as file:
            (stanza,) = read_age_header(file).stanzas
        assert stanza.kind == kind
        assert len(stanza.arguments[0]) == (share * 8 + 5) // 6
        assert len(stanza.body) == 32
        if kind == "X25519":
            assert f"{len(stanza.encoded())} bytes in all" in SECTIONS["4"]


def test_the_example_of_a_custody_entry_is_what_the_dock_would_write() -> None:
    content = custody.form(
        number=1,
        at=datetime(2026, 3, 1, 18, 0, 0, 250_000, tzinfo=UTC),
        actor="unit:unit-01",
        action="clip-accepted",
        subject="clip:019344a0-1111-7abc-8def-0123456789ab",
        details=custody.canonical({"sequence": 2, "complete": True}),
        previous_sha256=custody.NOTHING_BEFORE,
    )
    for line in content.decode().splitlines():
        assert line in SECTIONS["11"]
