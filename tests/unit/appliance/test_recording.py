"""The recording side on a storage that is too slow for a docking, or full: what comes of it, and what is told."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.cameras.file import FileCamera
from appliance.clock import Clock
from appliance.installation import Installation
from appliance.journal import Journal
from appliance.left_clips import Unclosed
from appliance.recording import Recording
from appliance.spool import Spool
from appliance.states import Event, News
from appliance.works import Works
from appliance.writing.disk import Disk
from tests.cameras import film
from tests.dock import until
from tests.faults.disks import FullDisk, StallingDisk
from tests.pki import Pki
from tests.worn import enrol


class Stage:
    """A unit whose camera gives pictures and whose storage is `disk`; its clock is `later` by so many seconds."""

    def __init__(self, folder: Path, disk: Disk, make_room: Callable[[], None] = lambda: None) -> None:
        self.output, self.later = io.StringIO(), 0.0
        opened = Installation.open(enrol(folder / "unit", Pki(), "https://localhost:1").path)
        clock = Clock(
            now=lambda: datetime.now(UTC),
            monotonic=lambda: time.monotonic() + self.later,
            boot_id=opened.facts.boot_id,
            memory=opened.folder.data / "clock.json",
        )
        self.spool = Spool(opened.folder.data, opened.signer, reserve_minutes=30, disk=disk)
        told, footage = list[News](), film(folder / "film.mp4")
        self.recording = Recording(
            replace(opened, spool=self.spool, clock=clock),
            open_camera=lambda policy: FileCamera(footage, opened.settings),
            journal=Journal(self.output),
            tell=told.append,
            make_room=make_room,
        )
        assert self.recording.start_camera() is None
        until(lambda: News(Event.CAMERA_READY) in told)

    def fail_and_go_on(self, *, after: float, times: int) -> int:
        """Let the camera fail so long after a clip's beginning, and begin another; return how often that went on."""
        before = self.output.getvalue().count('"resumed"')
        for _ in range(times):
            self.later += after
            self.recording.end_clip("camera-failed")
            assert self.recording.begin_clip("wearer-7") == News(Event.CLIP_BEGUN)
        return self.output.getvalue().count('"resumed"') - before


def test_a_camera_that_blinks_on_and_on_is_recorded_on_for_a_minute_and_one_that_holds_for_a_while_always(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, Disk())
    assert stage.recording.begin_clip("wearer-7") == News(Event.CLIP_BEGUN)
    assert stage.fail_and_go_on(after=11.0, times=7) == 7
    assert stage.fail_and_go_on(after=5.0, times=13) == 12
    stage.recording.stop_camera()


def test_a_clip_that_is_closed_after_the_camera_was_stopped_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Works.stop, "__defaults__", (0.05,))
    disk = StallingDisk()
    stage = Stage(tmp_path, disk)
    recording, spool = stage.recording, stage.spool
    assert recording.begin_clip("wearer-7") == News(Event.CLIP_BEGUN)
    until(lambda: recording.status().writing)
    disk.stall()
    recording.end_clip("docked")
    recording.stop_camera()
    assert recording.observe() is None
    assert spool.waiting() == ()
    assert spool.unclosed() == Unclosed(closing=1, kept=0)
    disk.go_on()
    until(lambda: recording.observe() == News(Event.CLIPS_CLOSED))
    assert [clip.manifest.ended_by for clip in spool.waiting()] == ["docked"]
    assert spool.unclosed() == Unclosed(closing=0, kept=0)
    assert recording.observe() is None


def test_a_clip_that_the_storage_has_no_room_for_has_the_room_that_can_be_made(tmp_path: Path) -> None:
    disk = FullDisk(0)

    def make_room() -> None:
        disk.room = 1 << 30

    recording = Stage(tmp_path, disk, make_room).recording
    assert recording.begin_clip("wearer-7") == News(Event.CLIP_BEGUN)
    until(lambda: recording.status().writing)
    recording.stop_camera()


def test_a_clip_for_which_no_room_can_be_made_is_refused(tmp_path: Path) -> None:
    recording = Stage(tmp_path, FullDisk(0)).recording
    assert recording.begin_clip("wearer-7").event is Event.STORAGE_FULL
    recording.stop_camera()
