"""A disk that stands still, and a camera that gives what no clip can hold: the camera's thread waits for neither."""

import threading
import time
from pathlib import Path

import pytest

from appliance.camera import Kind, Packet
from appliance.recorder import Recorder, StorageSlowError
from appliance.writing.thread import SENTENCES
from tests.faults.disks import StallingDisk
from tests.faults.leading import keep, lead, wait_until
from tests.recording import PATIENCE, Hand, Unit, decoded, pictures

STALL_SECONDS = 2
TEN_SECONDS = 300


class Stage:
    """A recorder on a disk that can be stopped."""

    def __init__(self, folder: Path, *, max_waiting_bytes: int = 1 << 30, pre_record_seconds: int = 0) -> None:
        self.hand, self.disk, self.unit = Hand(), StallingDisk(), Unit(folder)
        self.spool = self.unit.spool(self.disk)
        self.recorder: Recorder = self.unit.recorder(
            self.spool, hand=self.hand, max_waiting_bytes=max_waiting_bytes, pre_record_seconds=pre_record_seconds
        )
        self.packets = pictures(60, start_us=round(self.hand.seconds * 1_000_000))
        self.sizes = [len(packet.data) for packet in self.packets]

    def play(self, packets: list[Packet], seconds: float) -> None:
        """Push packets, spread over so many real seconds."""
        for packet in packets:
            keep(self.recorder, self.hand, [packet])
            time.sleep(seconds / len(packets))

    def times(self) -> list[float]:
        """Return when each picture of the one clip is shown."""
        (clip,) = self.spool.waiting()
        return decoded(self.unit.open(clip))


def test_a_disk_that_stalls_for_two_seconds_costs_no_packet_and_delays_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.begin(wearer="w")
    lead(stage.recorder, stage.hand, stage.packets[:60])
    stage.disk.stall()
    camera = threading.Thread(target=stage.play, args=(stage.packets[60:TEN_SECONDS], STALL_SECONDS), daemon=True)
    camera.start()
    camera.join(PATIENCE)
    assert not camera.is_alive(), "the camera's thread waits for the disk"
    assert stage.disk.waits.is_set()
    stage.disk.go_on()
    stage.recorder.end("wearer")
    assert stage.recorder.wait_closed(PATIENCE)
    (clip,) = stage.spool.waiting()
    assert (clip.manifest.frames_written, clip.manifest.frames_lost) == (TEN_SECONDS, 0)
    times = stage.times()
    expected = [(packet.time_us - stage.packets[0].time_us) / 1_000_000 for packet in stage.packets[:TEN_SECONDS]]
    assert times == pytest.approx(expected, abs=0.001)
    stage.recorder.shut_down(PATIENCE)


def test_while_nothing_becomes_durable_the_recorder_does_not_claim_to_write(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.begin(wearer="w")
    lead(stage.recorder, stage.hand, stage.packets[:60])
    assert stage.recorder.status().writing
    stage.disk.stall()
    keep(stage.recorder, stage.hand, stage.packets[60:150])
    wait_until(stage.disk.waits.is_set)
    assert not stage.recorder.status().writing
    stage.disk.go_on()
    wait_until(lambda: stage.recorder.status().writing)
    assert stage.recorder.shut_down(PATIENCE)


def test_what_no_memory_can_hold_ends_the_clip_and_all_before_it_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path, max_waiting_bytes=500_000)
    stage.recorder.begin(wearer="w")
    lead(stage.recorder, stage.hand, stage.packets[:60])
    stage.disk.stall()
    keep(stage.recorder, stage.hand, stage.packets[60:])
    assert stage.recorder.status().failure == SENTENCES["storage-slow"]
    assert not any(any(packet.data) for packet in stage.packets[-30:]), "what came too late is still in memory"
    with pytest.raises(StorageSlowError, match="wait a moment"):
        stage.recorder.begin(wearer="w")
    stage.disk.go_on()
    assert stage.recorder.wait_closed(PATIENCE)
    (clip,) = stage.spool.waiting()
    manifest = clip.manifest
    assert (manifest.complete, manifest.ended_by, manifest.frames_lost) == (True, "storage-slow", 1)
    assert manifest.frames_written is not None
    held = stage.sizes[60 : manifest.frames_written]
    assert sum(held) > 400_000
    assert len(stage.times()) == manifest.frames_written
    stage.recorder.begin(wearer="w")
    assert stage.recorder.status().failure is None
    assert stage.recorder.shut_down(PATIENCE)


def test_a_stalled_disk_is_allowed_for_beside_all_that_the_ring_gave(tmp_path: Path) -> None:
    stage = Stage(tmp_path, max_waiting_bytes=500_000, pre_record_seconds=30)
    stage.disk.stall()
    keep(stage.recorder, stage.hand, stage.packets[:600])
    assert sum(stage.sizes[:600]) > 1_000_000
    stage.recorder.begin(wearer="w")
    keep(stage.recorder, stage.hand, stage.packets[600:700])
    assert stage.recorder.status().failure is None
    stage.disk.go_on()
    stage.recorder.end("wearer")
    assert stage.recorder.wait_closed(PATIENCE)
    assert len(stage.times()) == 700
    assert stage.recorder.shut_down(PATIENCE)


def test_a_recorder_on_a_disk_that_never_comes_back_says_that_it_could_not_finish(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.begin(wearer="w")
    stage.disk.stall()
    keep(stage.recorder, stage.hand, stage.packets[:60])
    wait_until(stage.disk.waits.is_set)
    assert not stage.recorder.shut_down(0.1)
    stage.disk.go_on()
    assert stage.recorder.shut_down(PATIENCE)
    assert len(stage.times()) == 60


def test_a_camera_without_parameter_sets_is_told_of_and_leaves_no_file(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.begin(wearer="w")
    keep(stage.recorder, stage.hand, [Packet(Kind.VIDEO, bytearray(b"\0\0\1\x65" + b"x" * 99), True, 0, 33_333, 0)])
    stage.recorder.end("wearer")
    assert stage.recorder.wait_closed(PATIENCE)
    assert stage.recorder.status().failure == SENTENCES["camera-failed"]
    notes = {"spool.json", "spool.twin.json"}
    assert not [path for path in (tmp_path / "data").iterdir() if path.name not in notes]
    assert stage.recorder.shut_down(PATIENCE)


def test_lost_frames_are_counted_from_the_sensors_numbers(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.begin(wearer="w")
    keep(stage.recorder, stage.hand, stage.packets[:100] + stage.packets[107:150])
    stage.recorder.end("wearer")
    assert stage.recorder.wait_closed(PATIENCE)
    (clip,) = stage.spool.waiting()
    assert (clip.manifest.frames_written, clip.manifest.frames_lost) == (143, 7)
    assert stage.recorder.shut_down(PATIENCE)
