"""The spool: from a clip's first byte to its closing, also after a crash, all clips in one chain."""

import os
from pathlib import Path

import msgspec
import pytest

from appliance.recovered import BrokenOff, Recovered, Remains
from appliance.spool import Ending, Spool, StorageFullError
from appliance.spool_notes import SpoolDamagedError
from appliance.writing.disk import Disk, Space
from evidence.manifest import Manifest
from tests.recording import BOOT_ID, Unit, close_left
from tests.unit.appliance.spooling import ENDING, MEGABYTE, check_chain, names, spooled, start


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


@pytest.fixture
def spool(unit: Unit) -> Spool:
    return unit.spool()


def test_a_growing_clip_has_a_draft_that_tells_of_a_power_loss_and_is_not_shown_as_waiting(
    unit: Unit, spool: Spool
) -> None:
    clip = start()
    growing = spool.open_clip(clip)
    growing.write(b"sealed")
    growing.sync()
    assert names(unit) == {f"{clip.clip_id}.mp4.age.part", f"{clip.clip_id}.draft"}
    draft = msgspec.json.decode(growing.files.draft.read_bytes(), type=Manifest)
    assert (draft.complete, draft.ended_by, draft.sequence) == (False, "power-lost", 1)
    assert spool.waiting() == ()
    growing.close()


def test_a_closed_clip_is_three_files_and_states_what_it_holds(unit: Unit, spool: Spool) -> None:
    clip = spooled(spool, content=b"sealed" * 1000)
    clip_id = clip.clip_id
    assert names(unit) == {
        f"{clip_id}.mp4.age",
        f"{clip_id}.json",
        f"{clip_id}.json.sig",
        "spool.json",
        "spool.twin.json",
    }
    assert clip.sealed_file.read_bytes() == b"sealed" * 1000
    manifest = clip.manifest
    assert (manifest.complete, manifest.ended_by, manifest.ended_at) == (True, "wearer", ENDING.ended_at)
    assert (manifest.frames_written, manifest.frames_lost) == (900, 0)
    check_chain(unit, (clip,))


def test_nobody_else_may_read_what_is_in_the_spool(unit: Unit, spool: Spool) -> None:
    spooled(spool)
    data = unit.folder / "data"
    assert data.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in data.iterdir()} == {0o600}


def test_clips_are_numbered_and_chained_also_after_a_restart(unit: Unit, spool: Spool) -> None:
    for number in range(3):
        spooled(spool, number)
    again = unit.spool()
    assert again.recover() == ()
    spooled(again, 3)
    assert [clip.sequence for clip in again.waiting()] == [1, 2, 3, 4]
    check_chain(unit, again.waiting())


def test_clips_are_shown_in_the_order_of_their_sequence_whatever_the_clock_said(unit: Unit, spool: Spool) -> None:
    for number in (5, 3, 4):
        spooled(spool, number)
    assert [clip.sequence for clip in spool.waiting()] == [1, 2, 3]
    check_chain(unit, spool.waiting())


def test_a_clip_that_exists_is_never_overwritten(unit: Unit, spool: Spool) -> None:
    clip = start()
    growing = spool.open_clip(clip)
    growing.write(b"first")
    growing.sync()
    with pytest.raises(FileExistsError):
        Disk().create(growing.files.growing)
    growing.close()


# After a crash


def test_a_clip_without_its_end_is_kept_to_the_byte_and_stated_as_cut(unit: Unit, spool: Spool) -> None:
    whole = spooled(spool)
    growing = spool.open_clip(start(1))
    growing.write(b"cut here")
    growing.sync()
    growing.close()
    again = unit.spool()
    (recovered,) = again.recover()
    assert (recovered.clip_id, recovered.remains) == (growing.draft.clip_id, Remains.CUT)
    assert recovered.what == "Its end is missing; everything before it is kept."
    assert again.waiting() == (whole,)
    assert len(again.left()) == 1
    assert again.close_next() == Recovered(recovered.clip_id, Remains.CUT, recovered.what)
    assert again.close_next() is None
    first, cut = again.waiting()
    assert first == whole
    assert cut.sealed_file.read_bytes() == b"cut here"
    assert (cut.manifest.complete, cut.manifest.ended_by) == (False, "power-lost")
    assert (cut.manifest.ended_at, cut.manifest.frames_written) == (None, None)
    check_chain(unit, again.waiting())
    assert again.recover() == ()


@pytest.mark.parametrize("content", [b"cut here", b""])
def test_a_clip_that_nobody_ended_tells_in_which_boot_and_when_it_broke_off_whatever_the_clock_says_now(
    unit: Unit, spool: Spool, content: bytes
) -> None:
    growing = spool.open_clip(start())
    growing.write(content)
    growing.sync()
    growing.close()
    os.utime(growing.files.draft, (5_000, 5_000))
    os.utime(growing.files.growing, (5_042, 5_042))
    (recovered,) = unit.spool().recover()
    assert recovered.broken_off == BrokenOff(BOOT_ID, start().started_monotonic_seconds + 42)


def test_a_clip_that_was_ended_did_not_break_off(unit: Unit, spool: Spool) -> None:
    refused = spool.open_clip(start())
    refused.write(b"recorded")
    refused.sync()
    ended = msgspec.structs.replace(refused.draft, ended_by="storage-failed")
    refused.files.draft.write_bytes(msgspec.json.encode(ended))
    (recovered,) = unit.spool().recover()
    assert (recovered.remains, recovered.broken_off) == (Remains.CUT, None)
    refused.close()


def test_a_clip_of_which_nothing_was_recorded_leaves_no_number_behind(unit: Unit, spool: Spool) -> None:
    growing = spool.open_clip(start())
    growing.close()
    again = unit.spool()
    (recovered,) = again.recover()
    assert recovered.what == "Power was lost before anything of it was recorded."
    assert names(unit) == set()
    assert spooled(again, 1).sequence == 1


def test_an_empty_file_without_a_draft_is_cleared_away_but_one_that_holds_anything_is_not(
    unit: Unit, spool: Spool
) -> None:
    data = unit.folder / "data"
    empty, full = start(1).clip_id, start(2).clip_id
    (data / f"{empty}.mp4.age.part").touch()
    (data / f"{full}.mp4.age.part").write_bytes(b"who knows")
    spool.recover()
    assert names(unit) == {f"{full}.mp4.age.part"}


def test_what_is_no_clip_of_ours_is_left_alone(unit: Unit, spool: Spool) -> None:
    data = unit.folder / "data"
    for name in ("notes.txt", "other.mp4.age", "other.draft", "x.receipt", "x.mp4.age.part", "x.json"):
        (data / name).write_bytes(b"mine")
    assert spool.recover() == ()
    assert spool.waiting() == ()
    assert len(names(unit)) == 6


def test_a_damaged_draft_loses_nothing_of_what_was_recorded_and_stops_no_other_clip(unit: Unit, spool: Spool) -> None:
    growing = spool.open_clip(start())
    growing.write(b"recorded")
    growing.sync()
    growing.close()
    growing.files.draft.write_bytes(b"\0" * 100)
    again = unit.spool()
    (recovered,) = again.recover()
    assert "what was recorded is kept" in recovered.what
    assert growing.files.growing.read_bytes() == b"recorded"
    spooled(again, 1)
    check_chain(unit, again.waiting())


def test_a_damaged_manifest_is_told_of_and_its_clip_is_kept(unit: Unit, spool: Spool) -> None:
    clip = spooled(spool)
    clip.manifest_file.write_bytes(clip.manifest_file.read_bytes()[:-40])
    again = unit.spool()
    (recovered,) = again.recover()
    assert "have IT look at it" in recovered.what
    assert again.waiting() == ()
    assert clip.sealed_file.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"schema": "mirrorcam/spool/9"}'])
def test_two_damaged_notes_of_the_chain_are_refused_with_a_sentence(unit: Unit, spool: Spool, content: bytes) -> None:
    spooled(spool)
    for name in ("spool.json", "spool.twin.json"):
        (unit.folder / "data" / name).write_bytes(content)
    with pytest.raises(SpoolDamagedError, match=r"spool\.json is damaged .* have IT look"):
        unit.spool()


@pytest.mark.parametrize("damaged", ["spool.json", "spool.twin.json"])
@pytest.mark.parametrize("content", [b"", b"{}", None])
def test_the_chain_goes_on_by_one_note_where_the_other_is_damaged_or_gone(
    unit: Unit, spool: Spool, damaged: str, content: bytes | None
) -> None:
    spooled(spool)
    note = unit.folder / "data" / damaged
    note.unlink() if content is None else note.write_bytes(content)
    again = unit.spool()
    again.recover()
    spooled(again)
    check_chain(unit, again.waiting())
    assert [clip.sequence for clip in again.waiting()] == [1, 2]
    assert note.read_bytes() == (unit.folder / "data" / "spool.json").read_bytes()


def test_a_clip_is_closed_behind_one_that_is_still_to_be_read_back(unit: Unit, spool: Spool) -> None:
    growing = spool.open_clip(start())
    growing.write(b"recorded")
    growing.sync()
    growing.close()
    second = spool.open_clip(start(1))
    second.write(b"second")
    spool.close_clip(second, ENDING)
    assert spool.waiting() == ()
    close_left(spool)
    assert [clip.clip_id for clip in spool.waiting()] == [growing.files.clip_id, second.files.clip_id]
    check_chain(unit, spool.waiting())


def test_a_cut_clip_states_how_it_ended_and_what_the_medium_holds(unit: Unit, spool: Spool) -> None:
    growing = spool.open_clip(start())
    growing.write(b"recorded")
    growing.sync()
    growing.write(b"this never got there")
    spool.close_cut_clip(growing, Ending("storage-failed", ENDING.ended_at, 20, 0))
    close_left(spool)
    (clip,) = spool.waiting()
    assert clip.sealed_file.read_bytes() == b"recorded"
    manifest = clip.manifest
    assert (manifest.complete, manifest.ended_by, manifest.ended_at) == (False, "storage-failed", ENDING.ended_at)
    assert manifest.frames_written is None
    check_chain(unit, (clip,))


# Room


class Room(Disk):
    def __init__(self, free: int) -> None:
        self.free = free

    def space(self, folder: Path) -> Space:
        return Space(self.free, 64 * MEGABYTE)


def test_what_closing_needs_is_kept_free(unit: Unit) -> None:
    disk = Room(3 * MEGABYTE)
    spool = unit.spool(disk, floor_bytes=MEGABYTE)
    assert spool.free_bytes() == 2 * MEGABYTE
    assert spool.total_bytes() == 64 * MEGABYTE
    spool.require_room()
    disk.free = MEGABYTE
    assert spool.free_bytes() == 0
    with pytest.raises(StorageFullError, match="1 MB free"):
        spool.require_room()
    with pytest.raises(StorageFullError):
        spool.open_clip(start())
    assert names(unit) == set()


def test_the_reserve_begins_when_its_minutes_are_left(unit: Unit) -> None:
    disk = Room(MEGABYTE + 30 * 60 * 1_000_000)
    spool = unit.spool(disk, floor_bytes=MEGABYTE)
    assert spool.minutes_left(8_000_000) == pytest.approx(30)
    assert not spool.is_on_reserve(8_000_000)
    disk.free -= 1_000_000
    assert spool.is_on_reserve(8_000_000)
