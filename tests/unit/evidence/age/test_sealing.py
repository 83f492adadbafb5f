"""Sealing as it streams: what goes out when, what is held, and what a failing disk leaves."""

import io
import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.age import (
    CHUNK_SIZE,
    SEALED_CHUNK_SIZE,
    SealingWriter,
    X25519Identity,
    open_bytes,
    open_stream,
    seal_bytes,
)
from evidence.age.stream import PAYLOAD_NONCE_SIZE

IDENTITY = X25519Identity.generate()
EDGES = [0, 1, 65535, 65536, 65537, 131071, 131072, 131073, 200_000]


class Sink:
    """Keeps what it gets, and how it got it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.content = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sizes.append(len(data))
        self.content += data

    @property
    def payload_size(self) -> int:
        return sum(self.sizes[1:])


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("piece", [1000, 20_000, 65535, 65536, 65537, 131072, 1_000_000])
def test_pieces_of_any_size_open_to_what_was_written(
    size: int, piece: int, seal_pieces: Callable[[list[bytes]], bytes], identity: X25519Identity
) -> None:
    data = os.urandom(size)
    sealed = seal_pieces([data[start : start + piece] for start in range(0, size, piece)])
    assert open_bytes(sealed, [identity]) == data


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 150_000) | st.sampled_from(EDGES), max_size=6))
def test_any_sequence_of_pieces_opens_to_their_sum(sizes: list[int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    sink = Sink()
    writer = SealingWriter(sink.write, [IDENTITY.recipient])
    for piece in pieces:
        writer.write(piece)
    writer.close()
    assert open_bytes(sink.content, [IDENTITY]) == b"".join(pieces)
    assert writer.bytes_written == len(sink.content)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_taken_and_may_change_afterwards(
    kind: Callable[[bytearray], bytes | bytearray | memoryview],
) -> None:
    buffer = bytearray(os.urandom(CHUNK_SIZE))
    expected = b""
    sink = Sink()
    writer = SealingWriter(sink.write, [IDENTITY.recipient])
    for _ in range(3):
        writer.write(kind(buffer))
        expected += buffer
        buffer[:] = os.urandom(CHUNK_SIZE)
    writer.close()
    assert open_bytes(sink.content, [IDENTITY]) == expected


def test_the_header_goes_out_at_once_and_then_only_whole_chunks_until_the_last() -> None:
    sink = Sink()
    writer = SealingWriter(sink.write, [IDENTITY.recipient])
    assert sink.sizes == [writer.header_size + PAYLOAD_NONCE_SIZE]
    writer.write(bytes(200_000))
    assert sink.sizes[1:] == [SEALED_CHUNK_SIZE] * 3
    writer.close()
    assert sink.sizes[4:] == [200_000 - 3 * CHUNK_SIZE + 16]


@pytest.mark.parametrize("piece", [999, 65536, 100_000])
def test_no_more_than_one_chunk_is_ever_held(piece: int) -> None:
    sink = Sink()
    writer = SealingWriter(sink.write, [IDENTITY.recipient])
    written = 0
    for _ in range(300_000 // piece):
        writer.write(bytes(piece))
        written += piece
        out = sink.payload_size // SEALED_CHUNK_SIZE * CHUNK_SIZE
        assert written - out <= CHUNK_SIZE


def test_writing_nothing_sends_nothing() -> None:
    sink = Sink()
    writer = SealingWriter(sink.write, [IDENTITY.recipient])
    writer.write(bytes(CHUNK_SIZE))
    writer.write(b"")
    assert sink.payload_size == 0


def test_closing_twice_is_harmless_and_writing_after_it_is_an_error() -> None:
    sink = Sink()
    writer = SealingWriter(sink.write, [IDENTITY.recipient])
    writer.close()
    size = len(sink.content)
    writer.close()
    assert len(sink.content) == size
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")


def test_nothing_goes_out_after_the_disk_failed_so_the_file_stays_cut_short() -> None:
    sink = Sink()

    def full_disk(data: bytes | bytearray | memoryview) -> None:
        if len(sink.sizes) == 3:
            raise OSError(28, "No space left on device")
        sink.write(data)

    writer = SealingWriter(full_disk, [IDENTITY.recipient])
    with pytest.raises(OSError, match="No space left"):
        writer.write(bytes(500_000))
    writer.close()
    assert sink.sizes[1:] == [SEALED_CHUNK_SIZE] * 2
    assert writer.bytes_written == len(sink.content)
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")


def test_a_file_that_takes_only_part_of_a_write_is_offered_the_rest() -> None:
    sink = Sink()

    def unbuffered(data: bytes | bytearray | memoryview) -> int:
        sink.write(data[:30_000])
        return min(len(data), 30_000)

    writer = SealingWriter(unbuffered, [IDENTITY.recipient])
    writer.write(bytes(150_000))
    writer.close()
    assert open_bytes(sink.content, [IDENTITY]) == bytes(150_000)
    assert writer.bytes_written == len(sink.content)
    opened = Sink()

    def unbuffered_too(data: bytes | bytearray | memoryview) -> int:
        opened.write(data[:999])
        return min(len(data), 999)

    open_stream(io.BytesIO(sink.content), [IDENTITY], unbuffered_too)
    assert opened.content == bytes(150_000)


def test_the_same_plaintext_never_seals_the_same() -> None:
    first, second = (seal_bytes(bytes(100), [IDENTITY.recipient]) for _ in range(2))
    assert first != second
    assert first[-50:] != second[-50:]


def test_plaintext_does_not_stay_in_the_writer_after_closing() -> None:
    writer = SealingWriter(io.BytesIO().write, [IDENTITY.recipient])
    writer.write(b"a face in the crowd")
    assert any(b"a face" in value for value in vars(writer).values() if isinstance(value, bytearray))
    writer.close()
    assert not any(b"a face" in value for value in vars(writer).values() if isinstance(value, bytearray))
