"""Every test vector of the npm package cctv-age gives the result that it expects."""

import hashlib
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from evidence.age import (
    AgeError,
    Header,
    Identity,
    ScryptIdentity,
    SealedFile,
    open_stream,
    parse_identity,
    read_header,
)
from evidence.age.armor import binary
from evidence.age.errors import ArmorError, HeaderError, HeaderMacError, NoIdentityMatchesError, PayloadError

# The package's release 0.2.0.
VECTOR_COUNT = 143
# Vectors whose recipients are of a kind that does not apply to us, each with the reason. Release 0.2.0 has
# none: all its vectors are of the kinds X25519, mlkem768x25519 and scrypt, which we read. A later release that
# brings p256tag or mlkem768p256tag (keys in hardware tokens, whose identities are plugins) adds to this list.
NOT_APPLICABLE: dict[str, str] = {}

KNOWN_KEYS = {"expect", "payload", "file key", "identity", "passphrase", "armored", "compressed", "comment"}
EMPTY_HASH = hashlib.sha256().hexdigest()
RESULTS = {
    "header failure": HeaderError,
    "HMAC failure": HeaderMacError,
    "no match": NoIdentityMatchesError,
    "payload failure": PayloadError,
    "armor failure": ArmorError,
}


@dataclass(frozen=True)
class Vector:
    """One file of the package, as its README describes it."""

    fields: list[tuple[str, str]]
    sealed: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Vector":
        head, _, sealed = data.partition(b"\n\n")
        fields = [(key, value) for key, _, value in (line.partition(": ") for line in head.decode().split("\n"))]
        return cls(fields, zlib.decompress(sealed) if ("compressed", "zlib") in fields else sealed)

    def values(self, key: str) -> list[str]:
        return [value for name, value in self.fields if name == key]

    @property
    def expect(self) -> str:
        return self.values("expect")[0]

    @property
    def payload_hash(self) -> str:
        return (self.values("payload") or [EMPTY_HASH])[0]

    @property
    def is_armored(self) -> bool:
        return self.values("armored") == ["yes"]

    @property
    def identities(self) -> list[Identity]:
        keys: list[Identity] = [parse_identity(text) for text in self.values("identity")]
        return keys + [ScryptIdentity(passphrase) for passphrase in self.values("passphrase")]

    @property
    def applies(self) -> bool:
        identities_are_ours = all(text.startswith("AGE-SECRET-KEY-") for text in self.values("identity"))
        return identities_are_ours and {key for key, _ in self.fields} <= KNOWN_KEYS


@pytest.fixture(scope="module")
def vectors(node: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vector]:
    folder = tmp_path_factory.mktemp("vectors")
    node("vectors.mjs", str(folder))
    return {path.name: Vector.parse(path.read_bytes()) for path in sorted(folder.iterdir())}


def result_of(action: Callable[[], object]) -> str:
    """Name what an action came to in the words of the vectors."""
    try:
        action()
    except AgeError as error:
        return next(result for result, kind in RESULTS.items() if isinstance(error, kind))
    return "success"


def test_the_package_is_the_release_whose_vectors_are_counted_here(vectors: dict[str, Vector]) -> None:
    assert len(vectors) == VECTOR_COUNT
    assert {vector.expect for vector in vectors.values()} == {"success", *RESULTS}


def test_the_vectors_that_do_not_apply_are_those_listed_with_a_reason(vectors: dict[str, Vector]) -> None:
    assert {name for name, vector in vectors.items() if not vector.applies} == set(NOT_APPLICABLE)


def test_every_vector_opened_from_end_to_end_gives_its_result_and_its_plaintext(vectors: dict[str, Vector]) -> None:
    got, expected = {}, {}
    for name, vector in vectors.items():
        released = hashlib.sha256()
        source = io.BytesIO(vector.sealed)
        result = result_of(lambda: open_stream(source, vector.identities, released.update))  # noqa: B023
        got[name] = (result, released.hexdigest())
        expected[name] = (vector.expect, vector.payload_hash)
    assert got == expected


def test_every_header_that_can_be_read_is_written_again_byte_for_byte(vectors: dict[str, Vector]) -> None:
    for name, vector in vectors.items():
        if vector.expect not in ("header failure", "armor failure"):
            header = read_header(binary(io.BytesIO(vector.sealed)))
            again = b"".join(stanza.encoded() for stanza in header.stanzas)
            assert again == header.raw[len(b"age-encryption.org/v1\n") : header.raw.rindex(b"---")], name
            assert Header.parse(header.raw) == header, name


def test_random_access_finds_the_same_vectors_whole_and_the_same_broken(
    vectors: dict[str, Vector], tmp_path: Path
) -> None:
    got, expected = {}, {}
    for name, vector in vectors.items():
        if vector.is_armored or vector.expect not in ("success", "payload failure"):
            continue
        path = tmp_path / name
        path.write_bytes(vector.sealed)
        with path.open("rb") as file:
            header = read_header(file)
            sealed = SealedFile(file, header, header.unwrap(vector.identities))
            plain: list[bytes] = []
            result = result_of(lambda: plain.append(sealed.read_at(0, sealed.size)))  # noqa: B023
        got[name] = sealed.complete and result == "success"
        expected[name] = vector.expect == "success"
        if expected[name]:
            assert hashlib.sha256(plain[0]).hexdigest() == vector.payload_hash, name
    assert got == expected
