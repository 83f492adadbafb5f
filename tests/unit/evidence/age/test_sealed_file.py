"""Random access: any range, from files that are whole, cut, growing or damaged."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence.age import (
    CHUNK_SIZE,
    SEALED_CHUNK_SIZE,
    AgeError,
    FileKey,
    Header,
    SealedFile,
    SealingWriter,
    X25519Identity,
    read_header,
    sealed_file,
)
from evidence.age.errors import (
    ChunkCorruptedError,
    DataAfterEndError,
    FinalChunkEmptyError,
    NonceCutError,
    PayloadCutError,
)
from evidence.age.stream import PAYLOAD_NONCE_SIZE, chunk_nonce, payload_cipher

SealPieces = Callable[[list[bytes]], bytes]
OpenSealed = Callable[[bytes], SealedFile]


@pytest.fixture
def four_chunks(three_chunks: bytes) -> bytes:
    return three_chunks[: 2 * CHUNK_SIZE] + three_chunks


@pytest.fixture
def sealed(three_chunks: bytes, seal_pieces: SealPieces) -> bytes:
    return seal_pieces([three_chunks])


def start_of_chunks(sealed: bytes) -> int:
    return Header.parse(sealed[: sealed.index(b"\n", sealed.index(b"---")) + 1]).size + PAYLOAD_NONCE_SIZE


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 140_000), length=st.integers(0, 140_000))
def test_any_range_reads_as_it_was_written(
    offset: int, length: int, three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    file = open_sealed(sealed)
    assert file.complete
    assert file.size == len(three_chunks)
    assert file.read_at(offset, length) == three_chunks[offset : offset + length]


def test_ranges_in_any_order_read_from_one_opened_file(
    three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    file = open_sealed(sealed)
    for offset in [0, 131_072, 65_530, 65_530, 3, 131_000, 131_171, 131_172, 0]:
        for length in [1, 10, 65_536, 70_000, 200_000]:
            assert file.read_at(offset, length) == three_chunks[offset : offset + length]


def test_reading_into_a_buffer_fills_only_what_there_is(
    three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    file = open_sealed(sealed)
    buffer = bytearray(b"\xff" * 200)
    assert file.read_into(len(three_chunks) - 150, memoryview(buffer)) == 150
    assert buffer == three_chunks[-150:] + b"\xff" * 50
    assert file.read_into(len(three_chunks), memoryview(buffer)) == 0
    with pytest.raises(ValueError, match="not negative"):
        file.read_into(-1, memoryview(buffer))


def test_only_the_chunks_asked_for_are_read_from_the_disk(
    three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    broken = bytearray(sealed)
    broken[start_of_chunks(sealed) + SEALED_CHUNK_SIZE] ^= 1
    file = open_sealed(bytes(broken))
    assert file.read_at(0, CHUNK_SIZE) == three_chunks[:CHUNK_SIZE]
    assert file.read_at(2 * CHUNK_SIZE, 100) == three_chunks[2 * CHUNK_SIZE :]


def test_a_file_cut_at_any_byte_opens_up_to_its_last_whole_chunk_and_says_so(
    three_chunks: bytes, sealed: bytes, identity: X25519Identity, tmp_path: Path
) -> None:
    start = start_of_chunks(sealed)
    edges = [start + chunk * SEALED_CHUNK_SIZE + step for chunk in range(3) for step in range(-40, 40)]
    lengths = {*range(start - PAYLOAD_NONCE_SIZE, len(sealed), 997), *edges, *range(len(sealed) - 130, len(sealed))}
    path = tmp_path / "cut.age"
    for length in sorted(length for length in lengths if start - PAYLOAD_NONCE_SIZE <= length < len(sealed)):
        path.write_bytes(sealed[:length])
        with path.open("rb") as opened:
            header = read_header(opened)
            file = SealedFile(opened, header, header.unwrap([identity]))
            chunks, leftover = divmod(max(0, length - start), SEALED_CHUNK_SIZE)
            assert file.size == chunks * CHUNK_SIZE
            assert not file.complete
            assert file.read_at(0, 200_000) == three_chunks[: file.size]
            if length < start:
                assert isinstance(file.damage, NonceCutError)
            else:
                assert isinstance(file.damage, PayloadCutError)
                assert (file.damage.chunk, file.damage.leftover) == (chunks, leftover)


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_file_cut_exactly_between_chunks_is_told_from_one_that_ends_there(
    chunks: int, three_chunks: bytes, sealed: bytes, seal_pieces: SealPieces, open_sealed: OpenSealed
) -> None:
    cut = sealed[: start_of_chunks(sealed) + chunks * SEALED_CHUNK_SIZE]
    ended = seal_pieces([three_chunks[: chunks * CHUNK_SIZE]])
    assert len(cut) == len(ended)
    assert not open_sealed(cut).complete
    whole = open_sealed(ended)
    assert whole.complete
    assert whole.size == chunks * CHUNK_SIZE
    assert whole.read_at(0, whole.size) == three_chunks[: whole.size]


def test_an_empty_file_is_complete(seal_pieces: SealPieces, open_sealed: OpenSealed) -> None:
    file = open_sealed(seal_pieces([]))
    assert file.complete
    assert file.size == 0
    assert file.read_at(0, 10) == b""


def test_a_changed_byte_anywhere_never_becomes_plaintext(
    three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    start = start_of_chunks(sealed)
    places = {*range(start, len(sealed), 1499), *range(start + 2 * SEALED_CHUNK_SIZE, len(sealed))}
    for place in sorted(places):
        broken = bytearray(sealed)
        broken[place] ^= 0x10
        file = open_sealed(bytes(broken))
        chunk = (place - start) // SEALED_CHUNK_SIZE
        for index in range(3):
            if index == chunk < 2:
                with pytest.raises(ChunkCorruptedError) as caught:
                    file.read_at(index * CHUNK_SIZE, CHUNK_SIZE)
                assert caught.value.chunk == index
            elif index == chunk:
                assert not file.complete
                assert file.read_at(index * CHUNK_SIZE, CHUNK_SIZE) == b""
            else:
                expected = three_chunks[index * CHUNK_SIZE : (index + 1) * CHUNK_SIZE]
                assert file.read_at(index * CHUNK_SIZE, CHUNK_SIZE) == expected


def test_a_failed_read_leaves_no_unauthenticated_byte_in_the_buffer(sealed: bytes, open_sealed: OpenSealed) -> None:
    broken = bytearray(sealed)
    broken[start_of_chunks(sealed) + SEALED_CHUNK_SIZE - 1] ^= 1
    file = open_sealed(bytes(broken))
    for size in (CHUNK_SIZE, 1000):
        buffer = bytearray(size)
        with pytest.raises(ChunkCorruptedError):
            file.read_into(0, memoryview(buffer))
        assert buffer == bytes(size)


def test_a_chunk_that_failed_once_fails_again(sealed: bytes, open_sealed: OpenSealed) -> None:
    broken = bytearray(sealed)
    broken[start_of_chunks(sealed)] ^= 1
    file = open_sealed(bytes(broken))
    for _ in range(3):
        with pytest.raises(ChunkCorruptedError):
            file.read_at(10, 10)


def test_a_failed_read_does_not_spoil_the_chunk_read_before_it(
    three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    broken = bytearray(sealed)
    broken[start_of_chunks(sealed) + SEALED_CHUNK_SIZE] ^= 1
    file = open_sealed(bytes(broken))
    assert file.read_at(10, 10) == three_chunks[10:20]
    with pytest.raises(ChunkCorruptedError):
        file.read_at(CHUNK_SIZE + 10, 10)
    assert file.read_at(20, 10) == three_chunks[20:30]


@pytest.mark.parametrize("garbage", [SEALED_CHUNK_SIZE, SEALED_CHUNK_SIZE + 5, 5 * SEALED_CHUNK_SIZE])
def test_a_tail_that_a_power_cut_left_as_zeros_does_not_hide_what_precedes_it(
    garbage: int, three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    cut = sealed[: start_of_chunks(sealed) + 2 * SEALED_CHUNK_SIZE]
    file = open_sealed(cut + bytes(garbage))
    assert file.size == 2 * CHUNK_SIZE
    assert file.read_at(0, file.size) == three_chunks[: file.size]
    assert isinstance(file.damage, ChunkCorruptedError)
    assert file.damage.chunk == 2


@pytest.mark.parametrize("hole", [0, 1])
@pytest.mark.parametrize("whole_again", [SEALED_CHUNK_SIZE, SEALED_CHUNK_SIZE + 7])
def test_a_hole_that_a_power_cut_left_before_whole_chunks_ends_what_can_be_read(
    hole: int, whole_again: int, four_chunks: bytes, seal_pieces: SealPieces, open_sealed: OpenSealed
) -> None:
    sealed = seal_pieces([four_chunks])
    at = start_of_chunks(sealed) + hole * SEALED_CHUNK_SIZE
    end = at + SEALED_CHUNK_SIZE
    file = open_sealed(sealed[:at] + bytes(SEALED_CHUNK_SIZE) + sealed[end : end + whole_again])
    assert file.read_at(0, 1 << 20) == four_chunks[: hole * CHUNK_SIZE]
    assert file.size == hole * CHUNK_SIZE
    assert isinstance(file.damage, ChunkCorruptedError)
    assert file.damage.chunk == hole


def test_a_file_of_nothing_but_broken_chunks_is_not_searched_for_ever(
    sealed: bytes, open_sealed: OpenSealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_file, "MAX_BROKEN_CHUNKS", 3)
    start = start_of_chunks(sealed)
    assert open_sealed(sealed[:start] + bytes(3 * SEALED_CHUNK_SIZE)).size == 0
    with pytest.raises(ChunkCorruptedError):
        open_sealed(sealed[:start] + bytes(4 * SEALED_CHUNK_SIZE))


@pytest.mark.parametrize("added", [1, 16, 100, SEALED_CHUNK_SIZE])
def test_bytes_added_after_the_end_make_a_file_incomplete(
    added: int, three_chunks: bytes, seal_pieces: SealPieces, open_sealed: OpenSealed
) -> None:
    file = open_sealed(seal_pieces([three_chunks[:CHUNK_SIZE]]) + bytes(added))
    assert isinstance(file.damage, DataAfterEndError)
    assert file.read_at(0, 200_000) == three_chunks[:CHUNK_SIZE]


def test_an_empty_final_chunk_after_data_makes_a_file_incomplete(
    sealed: bytes, three_chunks: bytes, open_sealed: OpenSealed, identity: X25519Identity
) -> None:
    start = start_of_chunks(sealed)
    header = Header.parse(sealed[: start - PAYLOAD_NONCE_SIZE])
    cipher = payload_cipher(header.unwrap([identity]), sealed[start - PAYLOAD_NONCE_SIZE : start])
    empty = cipher.encrypt(chunk_nonce(2, final=True), b"", None)
    file = open_sealed(sealed[: start + 2 * SEALED_CHUNK_SIZE] + empty)
    assert isinstance(file.damage, FinalChunkEmptyError)
    assert file.read_at(0, 200_000) == three_chunks[: 2 * CHUNK_SIZE]


def test_a_final_chunk_in_the_middle_is_not_read_as_one_of_many(
    sealed: bytes, open_sealed: OpenSealed, identity: X25519Identity
) -> None:
    start = start_of_chunks(sealed)
    header = Header.parse(sealed[: start - PAYLOAD_NONCE_SIZE])
    cipher = payload_cipher(header.unwrap([identity]), sealed[start - PAYLOAD_NONCE_SIZE : start])
    early_end = cipher.encrypt(chunk_nonce(0, final=True), bytes(CHUNK_SIZE), None)
    file = open_sealed(sealed[:start] + early_end + sealed[start + SEALED_CHUNK_SIZE :])
    with pytest.raises(ChunkCorruptedError, match="Chunk 0 "):
        file.read_at(0, 10)


def test_the_wrong_file_key_opens_nothing(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sealed.age"
    path.write_bytes(sealed)
    with path.open("rb") as opened:
        file = SealedFile(opened, read_header(opened), FileKey.generate())
        assert (file.size, file.complete) == (0, False)


def test_a_file_cut_while_it_is_open_is_named_and_not_waited_for(
    sealed: bytes, identity: X25519Identity, tmp_path: Path
) -> None:
    path = tmp_path / "sealed.age"
    path.write_bytes(sealed)
    with path.open("rb") as opened:
        header = read_header(opened)
        file = SealedFile(opened, header, header.unwrap([identity]))
        os.truncate(path, start_of_chunks(sealed) + SEALED_CHUNK_SIZE + 10)
        with pytest.raises(PayloadCutError) as caught:
            file.read_at(CHUNK_SIZE, 10)
        assert (caught.value.chunk, caught.value.leftover) == (1, 10)


def test_a_file_that_still_grows_opens_up_to_what_was_written_so_far(identity: X25519Identity, tmp_path: Path) -> None:
    path = tmp_path / "growing.age.part"
    data = os.urandom(300_000)
    with path.open("wb", buffering=0) as growing:
        writer = SealingWriter(growing.write, [identity.recipient])
        for start in range(0, len(data), 50_000):
            writer.write(data[start : start + 50_000])
            with path.open("rb") as opened:
                header = read_header(opened)
                file = SealedFile(opened, header, header.unwrap([identity]))
                assert not file.complete
                assert file.size == max(0, (path.stat().st_size - header.size - 16) // SEALED_CHUNK_SIZE) * CHUNK_SIZE
                assert file.read_at(0, 400_000) == data[: file.size]
        writer.close()
    with path.open("rb") as opened:
        header = read_header(opened)
        assert SealedFile(opened, header, header.unwrap([identity])).complete


def test_threads_that_read_at_once_get_what_they_asked_for(
    three_chunks: bytes, sealed: bytes, open_sealed: OpenSealed
) -> None:
    file = open_sealed(sealed)
    together = threading.Barrier(4)

    def read_all(seed: int) -> None:
        together.wait(timeout=10)
        for step in range(200):
            offset = (step * 7919 + seed * 104_729) % len(three_chunks)
            assert file.read_at(offset, 3000) == three_chunks[offset : offset + 3000]

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(read_all, seed) for seed in range(4)]:
            done.result(timeout=60)


def test_the_position_of_the_file_is_neither_used_nor_moved(
    three_chunks: bytes, sealed: bytes, identity: X25519Identity, tmp_path: Path
) -> None:
    path = tmp_path / "sealed.age"
    path.write_bytes(sealed)
    with path.open("rb") as opened:
        header = read_header(opened)
        opened.seek(7)
        file = SealedFile(opened, header, header.unwrap([identity]))
        assert file.read_at(0, 10) == three_chunks[:10]
        assert opened.tell() == 7


def test_every_damage_is_a_sentence(sealed: bytes, open_sealed: OpenSealed) -> None:
    damage = open_sealed(sealed[:-1]).damage
    assert isinstance(damage, AgeError)
    assert str(damage) == (
        "The end of the sealed data is missing, because the file was cut inside chunk 2, or its last 115 bytes "
        "were changed: fetch a fresh copy of the file from where it was made."
    )
