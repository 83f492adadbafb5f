"""The recording side on a storage that is too slow for a docking: what it still owes is told when it is there."""

import io
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
from tests.cameras import film
from tests.dock import until
from tests.faults.disks import StallingDisk
from tests.pki import Pki
from tests.worn import enrol


def test_a_clip_that_is_closed_after_the_camera_was_stopped_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Works.stop, "__defaults__", (0.05,))
    opened, disk = Installation.open(enrol(tmp_path / "unit", Pki(), "https://localhost:1").path), StallingDisk()
    spool = Spool(opened.folder.data, opened.signer, reserve_minutes=30, disk=disk)
    footage, told = film(tmp_path / "film.mp4"), list[News]()
    recording = Recording(
        replace(opened, spool=spool),
        open_camera=lambda policy: FileCamera(footage, opened.settings),
        journal=Journal(io.StringIO()),
        tell=told.append,
    )
    assert recording.start_camera() is None
    until(lambda: News(Event.CAMERA_READY) in told)
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
