"""The closer works beside a recorder: neither waits for the other, and it stops when it is told to."""

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.closer import Closer
from appliance.recovered import Recovered, Remains
from appliance.spool import Ending, Spool
from appliance.writing.disk import Disk
from tests.faults.disks import FailingDisk, StallingDisk
from tests.faults.leading import wait_until
from tests.recording import PATIENCE, Unit, pictures
from tests.unit.appliance.spooling import ENDING, check_chain, start


class Endless(Disk):
    """The real disk, of which a test says that a sealed file never ends."""

    def __init__(self) -> None:
        self.is_read = threading.Event()

    def pieces(self, path: Path) -> Iterator[bytes]:
        while True:
            self.is_read.set()
            yield b"more"


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def left(unit: Unit, disk: Disk) -> Spool:
    """Return a spool as the next start finds it after a power cut in its first clip."""
    growing = unit.spool().open_clip(start())
    growing.write(b"cut here")
    growing.sync()
    growing.close()
    spool = unit.spool(disk)
    spool.recover()
    return spool


def test_a_clip_is_recorded_to_its_end_while_another_is_read_back(unit: Unit) -> None:
    disk = StallingDisk()
    disk.stall_reading()
    spool = left(unit, disk)
    told: list[Recovered] = []
    with Closer(spool, report=told.append, complain=pytest.fail):
        assert disk.waits.wait(PATIENCE)
        recorder = unit.recorder(spool, pre_record_seconds=0)
        clip_id = recorder.begin(wearer="w")
        for packet in pictures(2, start_us=round(time.monotonic() * 1_000_000)):
            recorder.push(packet)
        recorder.end("wearer")
        assert recorder.shut_down(PATIENCE)
        assert (recorder.status().failure, spool.waiting(), spool.is_closing) == (None, (), True)
        disk.go_on()
        wait_until(lambda: not spool.is_closing)
    first, second = spool.waiting()
    assert (first.manifest.complete, second.manifest.complete) == (False, True)
    assert [each.remains for each in told] == [Remains.CUT, Remains.WHOLE]
    assert second.clip_id == clip_id
    check_chain(unit, (first, second))


def test_a_clip_that_the_storage_broke_off_is_closed_without_a_restart(unit: Unit) -> None:
    disk = FailingDisk()
    spool = unit.spool(disk)
    with Closer(spool, report=lambda _: None, complain=pytest.fail):
        growing = spool.open_clip(start())
        growing.write(b"recorded")
        growing.sync()
        spool.close_cut_clip(growing, Ending("storage-failed", ENDING.ended_at, 20, 0))
        wait_until(spool.waiting)
    (clip,) = spool.waiting()
    assert (clip.manifest.ended_by, clip.manifest.complete) == ("storage-failed", False)


def test_a_storage_that_takes_nothing_is_told_of_once_and_tried_again_with_the_next_clip(unit: Unit) -> None:
    disk = FailingDisk()
    spool = left(unit, disk)
    disk.fail(errno.ENOSPC, "write_durably")
    complaints: list[str] = []
    with Closer(spool, report=lambda _: None, complain=complaints.append):
        wait_until(lambda: complaints)
        assert complaints == ["A clip that was cut cannot be closed yet (No space left on device); it is kept."]
        disk.heal()
        spool.open_clip(start(1)).close()
        wait_until(spool.waiting)
    assert len(complaints) == 1


def test_it_stops_in_the_middle_of_a_clip_and_the_next_start_begins_anew(unit: Unit) -> None:
    disk = Endless()
    spool = left(unit, disk)
    with Closer(spool, report=lambda closed: pytest.fail(closed.what), complain=pytest.fail):
        assert disk.is_read.wait(PATIENCE)
    assert spool.waiting() == ()
    again = unit.spool()
    assert [each.remains for each in again.recover()] == [Remains.CUT]
