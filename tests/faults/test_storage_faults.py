"""Storage that is full, fails or is gone: a clear sentence, what is durable kept and stated, and other clips whole."""

import contextlib
import errno
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.recorder import Recorder, StorageFailedError
from appliance.spool import Spool, SpooledClip, StorageFullError
from appliance.writing.disk import Disk
from appliance.writing.thread import SENTENCES
from evidence.chain import Link, check_follows, link_of
from evidence.manifest import EndedBy, check_ciphertext
from tests.faults.disks import FailingDisk, FullDisk
from tests.faults.leading import lead, wait_until
from tests.faults.sealed import opened, played_seconds
from tests.recording import PATIENCE, Hand, Unit, close_left, decoded, pictures

FLOOR = 1 << 20


def record(recorder: Recorder, seconds: float = 2, bits_per_second: int = 800_000) -> str:
    clip_id = recorder.begin(wearer="w")
    after_the_touch = max(time.monotonic(), 2 * Hand().seconds)  # by the system's clock, and by a hand
    for packet in pictures(seconds, start_us=round(after_the_touch * 1_000_000), bits_per_second=bits_per_second):
        recorder.push(packet)
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    return clip_id


def checked(unit: Unit, spool: Spool) -> list[SpooledClip]:
    """Return the waiting clips, after a check that each is what its manifest says, and that their chain holds."""
    clips = list(spool.waiting())
    newest: Link | None = None
    for clip in clips:
        content = clip.manifest_file.read_bytes()
        check_follows(clip.manifest, newest)
        newest = link_of(clip.manifest, content)
        sealed = clip.sealed_file.read_bytes()
        check_ciphertext(clip.manifest, size=len(sealed), sha256=hashlib.sha256(sealed).hexdigest())
        assert unit.signer
        assert clip.signature_file.read_bytes() == unit.signer.sign(content)
        if clip.manifest.complete:
            assert len(decoded(unit.open(clip))) == clip.manifest.frames_written
    return clips


def broken_off(
    tmp_path: Path, disk: Disk, spoil: Callable[[], object], sentence: str, hand: Hand | None = None
) -> tuple[Unit, Spool, Recorder]:
    """Record a good clip, spoil the disk in the middle of a second one, and wait until the wearer is told."""
    unit = Unit(tmp_path)
    spool = unit.spool(disk, floor_bytes=FLOOR)
    spool.recover()
    hand = hand or Hand()
    recorder = unit.recorder(spool, hand=hand, pre_record_seconds=0)
    record(recorder)
    packets = pictures(8, start_us=round(hand.seconds * 1_000_000))
    recorder.begin(wearer="w")
    lead(recorder, hand, packets[:60])
    spoil()
    lead(recorder, hand, packets[60:])
    assert recorder.status().failure == sentence
    assert recorder.wait_closed(PATIENCE)
    assert not recorder.status().writing
    with contextlib.suppress(OSError):
        close_left(spool)
    return unit, spool, recorder


FAILURES: list[tuple[int, str, EndedBy]] = [
    (errno.ENOSPC, "write", "storage-full"),
    (errno.EDQUOT, "write", "storage-full"),
    (errno.ENOSPC, "sync", "storage-full"),
    (errno.EIO, "write", "storage-failed"),
    (errno.EIO, "sync", "storage-failed"),
    (errno.EROFS, "write", "storage-failed"),
    (errno.ENODEV, "sync", "storage-failed"),
    (errno.EIO, "space", "storage-failed"),
]


@pytest.mark.parametrize(("error", "method", "ended_by"), FAILURES)
def test_a_disk_that_fails_while_recording_ends_the_clip_and_keeps_what_is_durable(
    error: int, method: str, ended_by: EndedBy, tmp_path: Path
) -> None:
    disk = FailingDisk()
    unit, spool, recorder = broken_off(
        tmp_path, disk, lambda: disk.fail(error, method, times=1), sentence=SENTENCES[ended_by]
    )
    whole, cut = checked(unit, spool)
    assert whole.manifest.complete
    assert (cut.manifest.complete, cut.manifest.ended_by) == (False, ended_by)
    assert cut.manifest.ended_at is not None
    assert played_seconds(opened(unit, cut)) > 1.0
    record(recorder)
    assert recorder.status().failure is None
    assert [clip.sequence for clip in checked(unit, spool)] == [1, 2, 3]
    recorder.shut_down(PATIENCE)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_where_the_disk_refuses_everything_the_next_start_closes_the_clip(error: int, tmp_path: Path) -> None:
    disk, hand = FailingDisk(), Hand()
    everything = ("create", "write", "sync", "settle", "write_durably", "rename", "remove", "sync_folder")
    sentence = SENTENCES["storage-full" if error == errno.ENOSPC else "storage-failed"]
    unit, spool, recorder = broken_off(tmp_path, disk, lambda: disk.fail(error, *everything), sentence, hand)
    assert len(checked(unit, spool)) == 1
    recorder.begin(wearer="w")
    for packet in pictures(1, start_us=round(hand.seconds * 1_000_000)):
        recorder.push(packet)
    wait_until(lambda: recorder.status().failure == sentence)
    recorder.shut_down(PATIENCE)
    disk.heal()
    again = unit.spool()
    assert [recovered.what for recovered in again.recover()] == ["Its end is missing; everything before it is kept."]
    close_left(again)
    _, cut = checked(unit, again)
    assert not cut.manifest.complete
    assert played_seconds(opened(unit, cut)) > 1.0


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("method", ["sync", "write_durably", "rename", "remove", "sync_folder"])
def test_a_clip_whose_closing_fails_anywhere_is_closed_before_the_next_one(
    method: str, after: int, tmp_path: Path
) -> None:
    disk, unit = FailingDisk(), Unit(tmp_path)
    spool = unit.spool(disk)
    recorder = unit.recorder(spool, pre_record_seconds=0)
    first = recorder.begin(wearer="w")
    for packet in pictures(2, start_us=round(time.monotonic() * 1_000_000)):
        recorder.push(packet)
    wait_until(lambda: recorder.status().frames_written > 30)
    disk.fail(errno.EIO, method, after=after, times=1)
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    disk.heal()
    second = record(recorder)
    close_left(spool)
    clips = checked(unit, spool)
    assert [clip.clip_id for clip in clips] == [first, second]
    assert played_seconds(opened(unit, clips[0])) > 1.0
    recorder.shut_down(PATIENCE)


@pytest.mark.parametrize("ended_by", ["longest-clip", "wearer"])
@pytest.mark.parametrize("method", ["sync", "write_durably", "rename"])
def test_a_clip_that_is_recorded_well_goes_on_where_the_one_before_could_not_be_closed(
    method: str, ended_by: EndedBy, tmp_path: Path
) -> None:
    disk, unit, hand = FailingDisk(), Unit(tmp_path), Hand()
    spool = unit.spool(disk)
    recorder = unit.recorder(spool, hand=hand, pre_record_seconds=0)
    packets = pictures(6, start_us=round(hand.seconds * 1_000_000))
    first = recorder.begin(wearer="w")
    lead(recorder, hand, packets[:60])
    disk.fail(errno.EIO, method, times=1)
    recorder.end(ended_by)
    second = recorder.begin(wearer="w")
    lead(recorder, hand, packets[60:120])
    status = recorder.status()
    assert (status.failure, status.clip_id, status.writing) == (None, second, True)
    lead(recorder, hand, packets[120:])
    recorder.end("wearer")
    assert recorder.shut_down(PATIENCE)
    close_left(spool)
    clips = checked(unit, spool)
    assert [clip.clip_id for clip in clips] == [first, second]
    assert (clips[1].manifest.complete, clips[1].manifest.frames_written) == (True, 120)


def test_a_disk_that_fills_up_stops_loudly_before_the_clip_can_no_longer_be_closed(tmp_path: Path) -> None:
    disk = FullDisk(room=FLOOR + 3_000_000)
    unit = Unit(tmp_path)
    spool = unit.spool(disk, floor_bytes=FLOOR)
    hand = Hand()
    recorder = unit.recorder(spool, hand=hand, pre_record_seconds=0)
    first = record(recorder)
    recorder.begin(wearer="w")
    lead(recorder, hand, pictures(60, start_us=round(hand.seconds * 1_000_000)))
    wait_until(lambda: recorder.status().failure == SENTENCES["storage-full"])
    assert recorder.wait_closed(PATIENCE)
    assert disk.room > 0
    with pytest.raises(StorageFullError, match="put this unit on the dock"):
        recorder.begin(wearer="w")
    whole, full = checked(unit, spool)
    assert whole.clip_id == first
    assert (full.manifest.complete, full.manifest.ended_by) == (True, "storage-full")
    recorder.shut_down(PATIENCE)


def test_a_disk_that_is_full_at_the_touch_refuses_and_leaves_nothing_behind(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    spool = unit.spool(FullDisk(room=FLOOR), floor_bytes=FLOOR)
    recorder = unit.recorder(spool)
    with pytest.raises(StorageFullError, match="put this unit on the dock"):
        recorder.begin(wearer="w")
    assert recorder.status().clip_id is None
    assert list((tmp_path / "data").iterdir()) == []
    recorder.shut_down(PATIENCE)


def test_a_disk_without_room_for_the_first_byte_leaves_no_clip_and_no_number_behind(tmp_path: Path) -> None:
    disk = FailingDisk()
    unit = Unit(tmp_path)
    spool = unit.spool(disk)
    recorder = unit.recorder(spool)
    disk.fail(errno.ENOSPC, "write", times=1)
    record(recorder)
    assert recorder.status().failure == SENTENCES["storage-full"]
    assert list((tmp_path / "data").iterdir()) == []
    record(recorder)
    assert [clip.sequence for clip in checked(unit, spool)] == [1]
    recorder.shut_down(PATIENCE)


@pytest.mark.parametrize("method", ["create", "write_durably"])
def test_a_clip_whose_files_cannot_be_made_says_so_and_leaves_nothing_behind(method: str, tmp_path: Path) -> None:
    disk = FailingDisk()
    unit = Unit(tmp_path)
    recorder = unit.recorder(unit.spool(disk))
    disk.fail(errno.EIO, method, times=1)
    record(recorder)
    assert recorder.status().failure == SENTENCES["storage-failed"]
    assert list((tmp_path / "data").iterdir()) == []
    recorder.shut_down(PATIENCE)


def test_a_folder_that_vanishes_while_recording_ends_the_clip_with_a_sentence(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    recorder = unit.recorder(unit.spool(), pre_record_seconds=0)
    recorder.begin(wearer="w")
    packets = pictures(30, start_us=round(time.monotonic() * 1_000_000))
    for packet in packets[:60]:
        recorder.push(packet)
    wait_until(lambda: recorder.status().ciphertext_bytes)
    shutil.rmtree(tmp_path / "data")
    for packet in packets[60:]:
        recorder.push(packet)
    wait_until(lambda: recorder.status().failure == SENTENCES["storage-failed"])
    with pytest.raises(StorageFailedError, match="change this unit"):
        recorder.begin(wearer="w")
    assert recorder.shut_down(PATIENCE)
