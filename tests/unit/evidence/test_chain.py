"""The chain of a unit's manifests shows a clip that is missing, doubled or changed."""

import msgspec
import pytest

from evidence.chain import BrokenChainError, ChainError, GapError, Link, ReplayedError, check_follows, link_of
from evidence.manifest import Manifest, decode, encode
from tests.unit.evidence.samples import DIGEST, MANIFEST, OTHER_CLIP_ID, OTHER_DIGEST


def numbered(sequence: int, previous: str | None) -> Manifest:
    return msgspec.structs.replace(MANIFEST, sequence=sequence, previous_manifest_sha256=previous)


def test_a_chain_of_clips_is_followed_from_the_first_on() -> None:
    newest = None
    for sequence in range(1, 6):
        content = encode(numbered(sequence, newest.manifest_sha256 if newest else None))
        manifest = decode(content)
        check_follows(manifest, newest)
        newest = link_of(manifest, content)
    assert newest == Link(5, link_of(manifest, content).manifest_sha256)


def test_a_link_is_the_digest_of_the_bytes_as_they_are_stored() -> None:
    content = encode(MANIFEST)
    assert link_of(MANIFEST, content) != link_of(MANIFEST, content + b"\n")


def test_a_clip_that_is_missing_before_the_first_shows() -> None:
    with pytest.raises(GapError) as gap:
        check_follows(numbered(3, DIGEST), None)
    assert gap.value.expected == 1


def test_a_clip_that_is_missing_in_between_shows() -> None:
    with pytest.raises(GapError, match="but 8 comes next"):
        check_follows(numbered(9, DIGEST), Link(7, DIGEST))


@pytest.mark.parametrize("sequence", [7, 6, 1])
def test_a_sequence_number_that_was_used_before_shows(sequence: int) -> None:
    with pytest.raises(ReplayedError):
        check_follows(numbered(sequence, DIGEST if sequence > 1 else None), Link(7, DIGEST))


def test_a_predecessor_that_was_changed_shows() -> None:
    with pytest.raises(BrokenChainError):
        check_follows(numbered(8, OTHER_DIGEST), Link(7, DIGEST))


def test_the_sentence_names_clip_and_unit() -> None:
    with pytest.raises(ChainError) as error:
        check_follows(msgspec.structs.replace(numbered(9, DIGEST), clip_id=OTHER_CLIP_ID), Link(7, DIGEST))
    assert OTHER_CLIP_ID in str(error.value)
    assert "unit-01" in str(error.value)
