"""Clips that are still to be read back and closed: they keep nobody waiting, and the chain holds whatever happens."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.left_clips import Unclosed
from appliance.recovered import Recovered, Remains
from appliance.spool import Ending, Spool
from appliance.writing.clip_files import GrowingFile
from appliance.writing.disk import Disk
from tests.faults.disks import FailingDisk, LoggingDisk, Medium
from tests.recording import Hand, Unit, close_left
from tests.unit.appliance.spooling import ENDING, check_chain, names, spooled, start


class UnreadableDisk(Disk):
    """The real disk, but for one clip's sealed file: there is a sector that the medium does not give back."""

    def __init__(self, clip_id: str) -> None:
        self._clip_id = clip_id

    def pieces(self, path: Path) -> Iterator[bytes]:
        if path.name.startswith(self._clip_id):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pieces(path)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def begun(spool: Spool, number: int = 0, content: bytes = b"cut here") -> GrowingFile:
    growing = spool.open_clip(start(number))
    growing.write(content)
    growing.sync()
    return growing


def cut(unit: Unit, number: int = 0) -> str:
    """Leave what a power cut leaves of a clip, and return its id."""
    spool = unit.spool()
    spool.recover()
    growing = begun(spool, number)
    growing.close()
    return growing.files.clip_id


def end(spool: Spool, growing: GrowingFile) -> None:
    spool.close_clip(growing, ENDING)


def waiting(spool: Spool) -> list[tuple[str, int, bool]]:
    return [(clip.clip_id, clip.sequence, clip.manifest.complete) for clip in spool.waiting()]


def test_recovery_reads_no_sealed_file_and_a_clip_can_be_recorded_before_the_cut_one_is_read_back(unit: Unit) -> None:
    first = cut(unit)
    disk = FailingDisk()
    disk.fail(errno.EIO, "pieces", "settle")
    spool = unit.spool(disk)
    assert [each.remains for each in spool.recover()] == [Remains.CUT]
    growing = begun(spool, 1)
    end(spool, growing)
    assert (waiting(spool), len(spool.left())) == ([], 2)
    disk.heal()
    close_left(spool)
    assert waiting(spool) == [(first, 1, False), (growing.files.clip_id, 2, True)]
    check_chain(unit, spool.waiting())


def test_the_clip_that_grows_is_not_closed_with_those_that_are_left(unit: Unit) -> None:
    first = cut(unit)
    spool = unit.spool()
    spool.recover()
    growing = begun(spool, 1)
    close_left(spool)
    assert waiting(spool) == [(first, 1, False)]
    growing.write(b"and goes on")
    end(spool, growing)
    assert waiting(spool)[1:] == [(growing.files.clip_id, 2, True)]
    check_chain(unit, spool.waiting())


def test_clips_are_closed_in_the_order_in_which_they_were_opened_whatever_the_clock_said(unit: Unit) -> None:
    ids = [cut(unit, number) for number in (5, 3, 4)]
    spool = unit.spool()
    spool.recover()
    close_left(spool)
    assert [clip_id for clip_id, _, _ in waiting(spool)] == ids
    check_chain(unit, spool.waiting())


def test_a_clip_that_ended_behind_a_cut_one_is_whole_after_the_next_power_cut_as_well(unit: Unit) -> None:
    first = cut(unit)
    spool = unit.spool()
    spool.recover()
    growing = begun(spool, 1)
    end(spool, growing)
    again = unit.spool()
    assert [each.remains for each in again.recover()] == [Remains.CUT, Remains.WHOLE]
    close_left(again)
    assert waiting(again) == [(first, 1, False), (growing.files.clip_id, 2, True)]
    check_chain(unit, again.waiting())


def test_a_power_cut_at_any_step_of_closing_one_clip_behind_another_harms_nothing(tmp_path: Path) -> None:
    first = Unit(tmp_path / "first")
    first.folder.mkdir()
    whole = spooled(first.spool()).clip_id
    cut(first, 5)
    left = shutil.copytree(first.folder / "data", tmp_path / "left")
    disk = LoggingDisk(Hand().monotonic)
    spool = first.spool(disk)
    spool.recover()
    behind = begun(spool, 3)
    end(spool, behind)
    running = begun(spool, 4)
    close_left(spool)
    spool.close_cut_clip(running, Ending("storage-failed", ENDING.ended_at, 20, 0))
    close_left(spool)
    assert len(waiting(spool)) == 4
    drafts = [
        at for at, step in enumerate(disk.steps) if (step.what, step.name) == ("replace", behind.files.draft.name)
    ]
    for count in range(len(disk.steps) + 1):
        unit = Unit(tmp_path / str(count), first.identity, first.pki, first.signer)
        Medium(left).take(disk.steps[:count]).cut(unit.folder / "data")
        again = unit.spool()
        again.recover()
        close_left(again)
        clips = waiting(again)
        assert clips[0] == (whole, 1, True)
        assert len(clips) >= 2
        assert ((behind.files.clip_id, 3, True) in clips) == (count > drafts[1])
        spooled(again, 9)
        check_chain(unit, again.waiting())


def test_a_clip_that_ended_well_stays_whole_where_one_before_it_cannot_be_closed(unit: Unit) -> None:
    disk = FailingDisk()
    spool = unit.spool(disk)
    first = begun(spool)
    disk.fail(errno.EIO, "rename")
    with pytest.raises(OSError, match="Input/output"):
        end(spool, first)
    with pytest.raises(OSError, match="Input/output"):
        spool.close_cut_clip(first, Ending("storage-failed", ENDING.ended_at, 20, 0))
    second = begun(spool, 1)
    end(spool, second)
    with pytest.raises(OSError, match="Input/output"):
        spool.close_next()
    assert (spool.is_closing, spool.unclosed()) == (False, Unclosed(closing=2, kept=0))
    disk.heal()
    spool.try_again()  # as an offload does
    assert spool.is_closing
    close_left(spool)
    assert waiting(spool) == [(first.files.clip_id, 1, True), (second.files.clip_id, 2, True)]
    check_chain(unit, spool.waiting())


def test_a_clip_that_the_medium_does_not_give_back_is_put_aside_for_it_and_its_place_goes_to_the_next(
    unit: Unit,
) -> None:
    lost, kept = cut(unit, 0), cut(unit, 1)
    disk = UnreadableDisk(lost)
    spool = unit.spool(disk)
    spool.recover()
    what = (
        "The storage does not give it back (Input/output error); what was recorded is kept: have IT look at this unit."
    )
    assert spool.close_next() == Recovered(lost, Remains.DAMAGED, what)
    close_left(spool)
    assert waiting(spool) == [(kept, 1, False)]
    assert (unit.folder / "data" / f"{lost}.mp4.age.part").read_bytes() == b"cut here"
    assert f"{lost}.draft.unreadable" in names(unit)
    again = unit.spool(disk)
    (told,) = again.recover()
    assert (told.clip_id, told.remains) == (lost, Remains.DAMAGED)
    assert (again.is_closing, again.left()) == (False, ())
    assert again.unclosed() == Unclosed(closing=0, kept=1)
    spooled(again, 2)
    check_chain(unit, again.waiting())


def test_a_failed_write_that_is_told_of_once_more_puts_nothing_aside(unit: Unit) -> None:
    first = cut(unit)
    disk = FailingDisk()
    spool = unit.spool(disk)
    spool.recover()
    disk.fail(errno.EIO, "settle", times=1)
    close_left(spool)
    assert waiting(spool) == [(first, 1, False)]


@pytest.mark.parametrize("method", ["write_durably", "rename", "sync_folder", "remove"])
def test_where_the_storage_takes_no_closing_the_unit_starts_and_it_is_closed_later(unit: Unit, method: str) -> None:
    first = cut(unit)
    disk = FailingDisk()
    spool = unit.spool(disk)
    disk.fail(errno.ENOSPC, method)
    assert [each.remains for each in spool.recover()] == [Remains.CUT]
    with pytest.raises(OSError, match="No space left"):
        spool.close_next()
    assert not spool.is_closing
    disk.heal()
    again = unit.spool(disk)
    again.recover()
    close_left(again)
    assert waiting(again) == [(first, 1, False)]
    check_chain(unit, again.waiting())


def test_what_is_known_of_a_clip_and_cannot_be_read_keeps_no_other_from_being_recorded(unit: Unit) -> None:
    first = cut(unit)
    draft = unit.folder / "data" / f"{first}.draft"
    draft.unlink()
    draft.mkdir()  # who reads it gets an OSError
    spool = unit.spool()
    (told,) = spool.recover()
    assert told.remains is Remains.DAMAGED
    assert spooled(spool, 1).sequence == 1
    assert spool.left() == ()


def test_a_clip_of_which_the_medium_has_nothing_is_forgotten_when_it_is_read_back(unit: Unit) -> None:
    disk = FailingDisk()
    spool = unit.spool(disk)
    empty = spool.open_clip(start())
    disk.fail(errno.EIO, "remove", times=1)
    with pytest.raises(OSError, match="Input/output"):
        spool.close_cut_clip(empty, ENDING)
    close_left(spool)
    assert names(unit) == set()
