"""The recording side on a storage that is too slow for a docking, or full: what comes of it, and what is told."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cameras.file import FileCamera
from appliance.installation import Installation
from appliance.journal import Journal
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
    """A unit whose camera gives pictures and whose storage is `disk`."""

    def __init__(self, folder: Path, disk: Disk, make_room: Callable[[], None] = lambda: None) -> None:
        opened = Installation.open(enrol(folder / "unit", Pki(), "https://localhost:1").path)
        self.spool = Spool(opened.folder.data, opened.signer, reserve_minutes=30, disk=disk)
        told, footage = list[News](), film(folder / "film.mp4")
        self.recording = Recording(
            replace(opened, spool=self.spool),
            open_camera=lambda policy: FileCamera(footage, opened.settings),
            journal=Journal(io.StringIO()),
            tell=told.append,
            make_room=make_room,
        )
        assert self.recording.start_camera() is None
        until(lambda: News(Event.CAMERA_READY) in told)


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
    assert len(spool.unclosed()) == 1
    disk.go_on()
    until(lambda: recording.observe() == News(Event.CLIPS_CLOSED))
    assert [clip.manifest.ended_by for clip in spool.waiting()] == ["docked"]
    assert spool.unclosed() == ()
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
