"""The growing file of a clip: what it was given reaches the disk whole, in order, in blocks, and is hashed as it is."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.writing.clip_files import BLOCK_BYTES, DRAFT_SUFFIX, SEALED_SUFFIX, ClipFiles, GrowingFile, clips_with
from appliance.writing.disk import Disk
from tests.unit.appliance.spooling import start

CLIP_ID = "019344a0-1111-7abc-8def-0123456789ab"


class SparingDisk(Disk):
    """Takes a part of each write only, as a disk may, and counts."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.writes = 0
        self.syncs = 0

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        self.writes += 1
        return super().write(descriptor, data[: self.at_once])

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        super().sync(descriptor)


def growing(folder: Path, disk: Disk | None = None) -> GrowingFile:
    return GrowingFile(ClipFiles(folder, CLIP_ID), start(), disk or Disk())


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3 * BLOCK_BYTES) | st.sampled_from([1, 65_552, BLOCK_BYTES]), max_size=8),
    at_once=st.sampled_from([1 << 30, 100_003, BLOCK_BYTES // 2]),
    synced=st.sets(st.integers(0, 7)),
)
def test_pieces_of_any_size_reach_the_disk_whole_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], at_once: int, synced: set[int]
) -> None:
    file = growing(tmp_path_factory.mktemp("clip"), SparingDisk(at_once))
    expected = b""
    for number, size in enumerate(sizes):
        piece = bytes([number + 1]) * size
        file.write(piece)
        expected += piece
        assert file.size == len(expected)
        if number in synced:
            file.sync()
            assert file.durable == len(expected)
    file.sync()
    file.close()
    assert file.files.growing.read_bytes() == expected
    assert file.sha256 == hashlib.sha256(expected).hexdigest()


def test_small_pieces_go_to_the_system_in_blocks_and_with_a_sync_at_the_latest(tmp_path: Path) -> None:
    disk = SparingDisk(1 << 30)
    file = growing(tmp_path, disk)
    for _ in range(BLOCK_BYTES // 1024 + 1):
        file.write(bytes(1024))
    assert (disk.writes, disk.syncs, file.durable) == (1, 0, 0)
    file.sync()
    assert (disk.writes, disk.syncs, file.durable) == (2, 1, file.size)
    file.close()


def test_a_buffer_may_be_used_again_as_soon_as_it_was_written(tmp_path: Path) -> None:
    file = growing(tmp_path)
    buffer = bytearray(b"first")
    file.write(buffer)
    buffer[:] = b"later"
    file.sync()
    assert file.files.growing.read_bytes() == b"first"
    file.close()


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    growing(tmp_path).close()
    with pytest.raises(FileExistsError):
        growing(tmp_path)


def test_closing_twice_closes_no_one_elses_file(tmp_path: Path) -> None:
    file = growing(tmp_path)
    file.close()
    other = (tmp_path / "other").open("wb")
    file.close()
    other.write(b"still open")
    other.close()


def test_clips_are_found_by_their_files_oldest_first_and_nothing_else_is(tmp_path: Path) -> None:
    older, newer = "019344a0-0000-7abc-8def-0123456789ab", CLIP_ID
    for name in (newer, older, "x", "019344a0-1111-4abc-8def-0123456789ab", f".{newer}", CLIP_ID.upper()):
        (tmp_path / f"{name}{SEALED_SUFFIX}").touch()
    (tmp_path / f"{newer}{DRAFT_SUFFIX}").touch()
    assert [files.clip_id for files in clips_with(tmp_path, SEALED_SUFFIX)] == [older, newer]
    assert [files.clip_id for files in clips_with(tmp_path, DRAFT_SUFFIX)] == [newer]
