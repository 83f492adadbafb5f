"""Releases are compared by numbers, then by moment; nothing else is a release, and a root says which one it is."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.docking import Outcome, UpdateOffer, UpdateOutcome
from evidence.identifiers import NAME_PATTERN
from evidence.release import Installed, NotAReleaseError, Release, ReleaseFileError, release_in
from evidence.strict import SchemaError, read_json

NUMBERS = st.tuples(*(st.integers(0, 9999),) * 3)
MOMENTS = st.integers(0, 250_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
RELEASES = st.builds(Release, NUMBERS, MOMENTS)
OFFER = UpdateOffer(release="0.1.0+20261120T000000Z", compatible="mirrorcam-debian", bytes=7, sha256="0" * 64)


@given(RELEASES)
def test_a_release_is_read_as_it_was_written(release: Release) -> None:
    assert Release.parse(str(release)) == release


@given(RELEASES)
def test_a_releases_name_fits_a_certificate(release: Release) -> None:
    assert re.fullmatch(NAME_PATTERN, release.name)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.9.0+20261120T000000Z", "0.10.0+20261120T000000Z"),
        ("0.1.9+20261231T000000Z", "0.2.0+20260101T000000Z"),
        ("0.1.0+20261120T000000Z", "0.1.0+20261120T000001Z"),
        ("9.9999.9999+20261120T000000Z", "10.0.0+20261120T000000Z"),
    ],
)
def test_releases_compare_by_numbers_then_by_moment(older: str, newer: str) -> None:
    assert Release.parse(older) < Release.parse(newer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.1.0",
        "0.1+20261120T000000Z",
        "0.1.0.0+20261120T000000Z",
        "0.1.0rc1+20261120T000000Z",
        "00.1.0+20261120T000000Z",
        "0.1.00000+20261120T000000Z",
        "0.1.0+20261120",
        "0.1.0+20261120T000000",
        "0.1.0+20260230T000000Z",
        "0.1.0+20261120T250000Z",
        "0.1.0+20261120T000000Z\n",
        " 0.1.0+20261120T000000Z",
        "0.1.٣+20261120T000000Z",
        "-1.1.0+20261120T000000Z",
        "\x1b[2J0.1.0",
    ],
)
def test_what_is_no_release_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(NotAReleaseError, match="is no release: it is written as in") as refused:
        Release.parse(text)
    assert str(refused.value).isprintable()


def test_a_version_that_is_not_three_numbers_makes_no_release() -> None:
    with pytest.raises(NotAReleaseError):
        Release.made("0.2.0.dev1", datetime(2026, 11, 20, tzinfo=UTC))


@given(RELEASES)
def test_a_unit_names_its_release_in_its_software(release: Release) -> None:
    assert release_in(release.software) == release


@pytest.mark.parametrize("software", [None, "", "mirrorcam 0.1.0", "mirrorcam test", "0.1.0+20261120T000000Z"])
def test_software_without_a_release_names_none(software: str | None) -> None:
    assert release_in(software) is None


def test_a_root_says_its_release_and_what_fits_it_in_two_lines(tmp_path: Path) -> None:
    installed = Installed(Release.parse("0.1.0+20261120T000000Z"), "mirrorcam-debian")
    file = tmp_path / "mirrorcam-release"
    file.write_text(installed.text())
    assert file.read_text() == "release=0.1.0+20261120T000000Z\ncompatible=mirrorcam-debian\n"
    assert Installed.read(file) == installed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"release=0.1.0+20261120T000000Z\n",
        b"compatible=mirrorcam-debian\nrelease=0.1.0+20261120T000000Z\n",
        b"release=0.1.0\ncompatible=mirrorcam-debian\n",
        b"release=0.1.0+20261120T000000Z\ncompatible=other\n",
        b"release=0.1.0+20261120T000000Z\ncompatible=mirrorcam-debian\nmore\n",
        b"\xff\xfe",
    ],
)
def test_a_root_that_does_not_say_which_it_is_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mirrorcam-release"
    file.write_bytes(content)
    with pytest.raises(ReleaseFileError, match="does not name a release"):
        Installed.read(file)


def test_a_root_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseFileError, match=r"does not name a release \(No such file"):
        Installed.read(tmp_path / "mirrorcam-release")


@pytest.mark.parametrize(
    "change",
    [
        {"release": "0.1.0"},
        {"release": "0.1.0+20260230T000000Z"},
        {"compatible": "other"},
        {"bytes": 0},
        {"bytes": (8 << 30) + 1},
        {"sha256": "0" * 63},
        {"more": 1},
    ],
)
def test_an_offer_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    content = msgspec.json.encode(msgspec.to_builtins(OFFER) | change)
    with pytest.raises(SchemaError):
        read_json(content, UpdateOffer, "offer")


@pytest.mark.parametrize("reason", ["", "x" * 301, "two\nlines", "\u202eturned"])
def test_an_outcomes_reason_is_one_sentence(reason: str) -> None:
    outcome = UpdateOutcome(release=OFFER.release, outcome=Outcome.REFUSED, reason="It is older.")
    content = msgspec.json.encode(msgspec.to_builtins(outcome) | {"reason": reason})
    with pytest.raises(SchemaError):
        read_json(content, UpdateOutcome, "outcome")


def test_an_outcome_is_read_as_it_was_written() -> None:
    outcome = UpdateOutcome(release=OFFER.release, outcome=Outcome.ROLLED_BACK, reason="The camera gave no picture.")
    assert read_json(msgspec.json.encode(outcome), UpdateOutcome, "outcome") == outcome
