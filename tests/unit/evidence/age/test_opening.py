"""Opening from end to end: each changed or missing byte is named, and never becomes plaintext."""

import io
import os
from collections.abc import Callable

import pytest

from evidence.age import (
    CHUNK_SIZE,
    SEALED_CHUNK_SIZE,
    AgeError,
    HybridIdentity,
    Identity,
    X25519Identity,
    open_bytes,
    open_stream,
    seal_bytes,
)
from evidence.age.errors import (
    ChunkCorruptedError,
    DataAfterEndError,
    FinalChunkEmptyError,
    HeaderCutError,
    NonceCutError,
    NotAgeFileError,
    PayloadCutError,
)
from evidence.age.header import read_header
from evidence.age.stream import PAYLOAD_NONCE_SIZE, chunk_nonce, payload_cipher

SealPieces = Callable[[list[bytes]], bytes]


def payload_start(sealed: bytes | bytearray) -> int:
    return read_header(io.BytesIO(sealed)).size + PAYLOAD_NONCE_SIZE


@pytest.mark.parametrize("kind", [X25519Identity, HybridIdentity])
@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_every_byte_of_a_small_file_that_changes_is_a_named_error_and_no_plaintext(
    kind: type[X25519Identity | HybridIdentity], bit: int
) -> None:
    identity: Identity = kind.generate()
    recipient = identity.recipient  # type: ignore[attr-defined]
    sealed = bytearray(seal_bytes(b"a face in the crowd", [recipient]))
    for place in range(len(sealed)):
        sealed[place] ^= bit
        released = io.BytesIO()
        with pytest.raises(AgeError) as caught:
            open_stream(io.BytesIO(sealed), [identity], released.write)
        assert type(caught.value) is not AgeError
        assert released.getvalue() == b""
        sealed[place] ^= bit
    assert open_bytes(sealed, [identity]) == b"a face in the crowd"


def test_every_length_a_small_file_is_cut_to_is_a_named_error(identity: X25519Identity) -> None:
    sealed = seal_bytes(b"a face in the crowd", [identity.recipient])
    header_size = payload_start(sealed) - PAYLOAD_NONCE_SIZE
    for length in range(len(sealed)):
        with pytest.raises(AgeError) as caught:
            open_bytes(sealed[:length], [identity])
        if length == 0:
            assert type(caught.value) is NotAgeFileError
        elif length < header_size:
            assert type(caught.value) is HeaderCutError
        elif length < header_size + PAYLOAD_NONCE_SIZE:
            assert type(caught.value) is NonceCutError
        else:
            assert type(caught.value) is PayloadCutError


@pytest.mark.parametrize("chunk", [0, 1])
def test_a_changed_chunk_is_named_by_number_after_those_before_it_were_given(
    chunk: int, three_chunks: bytes, seal_pieces: SealPieces, identity: X25519Identity
) -> None:
    sealed = bytearray(seal_pieces([three_chunks]))
    sealed[payload_start(sealed) + chunk * SEALED_CHUNK_SIZE + 1234] ^= 4
    released = io.BytesIO()
    with pytest.raises(ChunkCorruptedError, match=f"Chunk {chunk} ") as caught:
        open_stream(io.BytesIO(sealed), [identity], released.write)
    assert caught.value.chunk == chunk
    assert released.getvalue() == three_chunks[: chunk * CHUNK_SIZE]


def test_chunks_that_change_places_are_noticed(
    three_chunks: bytes, seal_pieces: SealPieces, identity: X25519Identity
) -> None:
    sealed = seal_pieces([three_chunks])
    start = payload_start(sealed)
    first, second = sealed[start : start + SEALED_CHUNK_SIZE], sealed[start + SEALED_CHUNK_SIZE :][:SEALED_CHUNK_SIZE]
    swapped = sealed[:start] + second + first + sealed[start + 2 * SEALED_CHUNK_SIZE :]
    left_out = sealed[:start] + sealed[start + SEALED_CHUNK_SIZE :]
    for broken in (swapped, left_out):
        with pytest.raises(ChunkCorruptedError, match="Chunk 0 "):
            open_bytes(broken, [identity])


def test_the_payload_of_another_file_does_not_open_under_this_header(identity: X25519Identity) -> None:
    one, other = (seal_bytes(bytes(CHUNK_SIZE), [identity.recipient]) for _ in range(2))
    spliced = one[: payload_start(one)] + other[payload_start(other) :]
    with pytest.raises(ChunkCorruptedError, match="Chunk 0 "):
        open_bytes(spliced, [identity])


@pytest.mark.parametrize("added", [1, 16, 17, SEALED_CHUNK_SIZE, 3 * SEALED_CHUNK_SIZE])
def test_bytes_added_after_a_whole_final_chunk_are_named(added: int, identity: X25519Identity) -> None:
    data = os.urandom(2 * CHUNK_SIZE)
    sealed = seal_bytes(data, [identity.recipient]) + bytes(added)
    released = io.BytesIO()
    with pytest.raises(DataAfterEndError) as caught:
        open_stream(io.BytesIO(sealed), [identity], released.write)
    assert caught.value.chunk == 1
    assert released.getvalue() == data


def test_a_file_cut_between_chunks_gives_them_and_says_that_the_end_is_missing(
    three_chunks: bytes, seal_pieces: SealPieces, identity: X25519Identity
) -> None:
    sealed = seal_pieces([three_chunks])
    for chunks in range(3):
        released = io.BytesIO()
        cut = sealed[: payload_start(sealed) + chunks * SEALED_CHUNK_SIZE]
        with pytest.raises(PayloadCutError, match=f"cut before chunk {chunks}") as caught:
            open_stream(io.BytesIO(cut), [identity], released.write)
        assert (caught.value.chunk, caught.value.leftover) == (chunks, 0)
        assert released.getvalue() == three_chunks[: chunks * CHUNK_SIZE]


def test_a_final_chunk_that_is_empty_after_data_is_refused(identity: X25519Identity) -> None:
    sealed = seal_bytes(bytes(CHUNK_SIZE), [identity.recipient])
    header = read_header(io.BytesIO(sealed))
    nonce = sealed[header.size : header.size + PAYLOAD_NONCE_SIZE]
    cipher = payload_cipher(header.unwrap([identity]), nonce)
    first = cipher.encrypt(chunk_nonce(0, final=False), bytes(CHUNK_SIZE), None)
    empty = cipher.encrypt(chunk_nonce(1, final=True), b"", None)
    with pytest.raises(FinalChunkEmptyError, match="Chunk 1 "):
        open_bytes(header.raw + nonce + first + empty, [identity])


def test_open_stream_gives_the_size_of_the_plaintext(identity: X25519Identity) -> None:
    for size in (0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE):
        sealed = io.BytesIO(seal_bytes(bytes(size), [identity.recipient]))
        assert open_stream(sealed, [identity], io.BytesIO().write) == size


def test_every_error_is_one_sentence_that_says_what_to_do(identity: X25519Identity) -> None:
    sealed = seal_bytes(b"locked", [identity.recipient])
    for length in range(len(sealed)):
        with pytest.raises(AgeError) as caught:
            open_bytes(sealed[:length], [identity])
        sentence = str(caught.value)
        assert sentence.endswith(".")
        assert ": " in sentence
        assert "\n" not in sentence
