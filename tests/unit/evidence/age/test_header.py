"""The header: strict, bounded, and enough by itself to find the file key."""

import io
import re

import pytest

from evidence.age import (
    MAX_HEADER_SIZE,
    FileKey,
    Header,
    HybridIdentity,
    Stanza,
    X25519Identity,
    read_header,
    seal_bytes,
)
from evidence.age.errors import (
    HeaderCutError,
    HeaderError,
    HeaderLineError,
    HeaderMacError,
    HeaderTooLongError,
    NotAgeFileError,
    StanzaError,
    UnsupportedVersionError,
)

VERSION = b"age-encryption.org/v1\n"
STANZA = b"-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\n" + b"A" * 43 + b"\n"
MAC = b"--- " + b"A" * 43 + b"\n"


def test_another_process_finds_the_file_key_from_the_header_alone() -> None:
    identity = HybridIdentity.generate()
    header = read_header(io.BytesIO(seal_bytes(b"locked", [identity.recipient])))
    over_the_wire = bytes(header.raw)
    file_key = Header.parse(over_the_wire).unwrap([identity])
    assert FileKey(file_key.raw) == header.unwrap([identity])


def test_a_file_key_does_not_show() -> None:
    key = FileKey(b"sixteen letters!")
    assert "sixteen" not in f"{key} {key!r}"
    with pytest.raises(ValueError, match="16 bytes"):
        FileKey(b"short")


def test_reading_a_header_leaves_the_file_right_behind_it(identity: X25519Identity) -> None:
    sealed = seal_bytes(b"locked", [identity.recipient])
    file = io.BytesIO(sealed)
    header = read_header(file)
    assert file.tell() == header.size == len(header.raw)
    assert sealed.startswith(header.raw)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", NotAgeFileError),
        (b"\x00\x00\x00\x20ftypisom", NotAgeFileError),
        (b"age-encryption.org/v1 \n" + STANZA + MAC, NotAgeFileError),
        (b"age-encryption.org/\n", NotAgeFileError),
        (b"age-encryption.org/v2\n" + STANZA + MAC, UnsupportedVersionError),
        (b"age-encryption.org/v1", HeaderCutError),
        (VERSION, HeaderCutError),
        (VERSION + STANZA, HeaderCutError),
        (VERSION + b"-> a\n" + b"A" * 64 + b"\n", HeaderCutError),
        (VERSION + STANZA + MAC[:-1], HeaderCutError),
        (VERSION + MAC, HeaderLineError),
        (VERSION + b"-> \n" + MAC, HeaderLineError),
        (VERSION + b"->X25519\n\n" + MAC, HeaderLineError),
        (VERSION + b"-> a  b\n\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\xc3\xa4\n\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\n" + b"A" * 64 + b"\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\n" + b"A" * 65 + b"\n\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\n" + b"A" * 68 + b"\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\nAB\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\nAA==\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\nA A\n" + MAC, HeaderLineError),
        (VERSION + b"-> a\n\n\n" + MAC, HeaderLineError),
        (VERSION + STANZA + b"--- " + b"A" * 42 + b"\n", HeaderLineError),
        (VERSION + STANZA + b"----" + b"A" * 43 + b"\n", HeaderLineError),
        (VERSION + STANZA + b"---\n", HeaderLineError),
    ],
)
def test_a_header_that_breaks_the_grammar_is_refused_the_same_by_both_readers(
    raw: bytes, error: type[HeaderError]
) -> None:
    with pytest.raises(error):
        Header.parse(raw)
    with pytest.raises(error):
        read_header(io.BytesIO(raw))


def test_bytes_after_the_header_are_not_part_of_it() -> None:
    with pytest.raises(HeaderLineError, match=r"Line 5 .* the header ended before it"):
        Header.parse(VERSION + STANZA + MAC + b"more\n")
    assert read_header(io.BytesIO(VERSION + STANZA + MAC + b"more\n")).raw == VERSION + STANZA + MAC


@pytest.mark.parametrize("endless", [STANZA * 2000, b"-> " + b"a" * 200_000, b"-> a\n" + (b"A" * 64 + b"\n") * 4000])
def test_a_header_without_end_is_refused_after_a_bounded_read(endless: bytes) -> None:
    file = io.BytesIO(VERSION + endless)
    with pytest.raises(HeaderTooLongError, match=str(MAX_HEADER_SIZE)):
        read_header(file)
    assert file.tell() <= MAX_HEADER_SIZE
    with pytest.raises(HeaderTooLongError):
        Header.parse(VERSION + endless)


def test_more_recipients_than_a_header_holds_are_refused_when_sealing() -> None:
    recipient = HybridIdentity.generate().recipient
    with pytest.raises(HeaderTooLongError):
        seal_bytes(b"locked", [recipient] * 43)


def test_a_file_without_line_ends_is_no_age_file_and_is_not_read_whole() -> None:
    file = io.BytesIO(b"x" * 10_000_000)
    with pytest.raises(NotAgeFileError):
        read_header(file)
    assert file.tell() <= MAX_HEADER_SIZE


def test_a_stanza_taken_out_or_added_is_noticed() -> None:
    mine, theirs = X25519Identity.generate(), X25519Identity.generate()
    header = read_header(io.BytesIO(seal_bytes(b"locked", [mine.recipient, theirs.recipient])))
    without = header.raw.replace(header.stanzas[1].encoded(), b"")
    added = header.raw.replace(b"---", header.stanzas[0].encoded() + b"---")
    swapped = VERSION + b"".join(each.encoded() for each in reversed(header.stanzas)) + header.raw[-48:]
    for raw in (without, added, swapped):
        with pytest.raises(HeaderMacError):
            Header.parse(raw).unwrap([mine])


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 96, 1120])
def test_a_stanza_of_any_size_ends_with_a_short_line(size: int) -> None:
    stanza = Stanza("grease", ("with", "arguments"), bytes(size))
    raw = VERSION + stanza.encoded() + MAC
    assert Header.parse(raw).stanzas == (stanza,)
    assert re.search(rb"\n[A-Za-z0-9+/]{0,63}\n$", stanza.encoded())


@pytest.mark.parametrize(
    ("stanza", "rule"),
    [
        (Stanza("X25519", (), bytes(32)), "0 arguments"),
        (Stanza("X25519", ("AAAA", "AAAA"), bytes(32)), "2 arguments"),
        (Stanza("X25519", ("AAAA",), bytes(32)), "3 bytes instead of 32"),
        (Stanza("X25519", ("=",), bytes(32)), "not base64"),
        (Stanza("X25519", ("A" * 42 + "E",), bytes(31)), "body holds 31 bytes"),
        (Stanza("X25519", ("A" * 43,), bytes(32)), "no secret"),
    ],
)
def test_a_malformed_stanza_of_a_known_kind_is_named(stanza: Stanza, rule: str) -> None:
    header = Header.parse(VERSION + stanza.encoded() + MAC)
    with pytest.raises(StanzaError, match=rule):
        header.unwrap([X25519Identity.generate()])
