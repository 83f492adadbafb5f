"""When a camera is taken to work: by its pictures, whatever else comes from it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance import works
from appliance.camera import AudioTrack, CameraError, Frame, Packet, VideoTrack
from appliance.installation import Installation
from appliance.works import Works
from tests.pki import Pki
from tests.recording import VIDEO, pictures, sound
from tests.worn import enrol


class DeadCamera:
    """A camera whose pictures stop, or never come, while its sound goes on: no part here could be made to do that."""

    def __init__(self) -> None:
        self.deliver: Callable[[Packet], None] = lambda packet: None

    @property
    def video(self) -> VideoTrack:
        return VIDEO

    @property
    def audio(self) -> AudioTrack | None:
        return sound(1)[0]

    def start(self, on_packet: Callable[[Packet], None], on_failure: Callable[[CameraError], None]) -> None:
        self.deliver = on_packet

    def request_key_frame(self) -> None:
        """Nothing is asked of it."""

    def newest_frame(self) -> Frame | None:
        return None

    def show_frames(self, wanted: bool) -> None:  # noqa: FBT001 – as in Camera
        """Nobody looks."""

    def stop(self) -> None:
        """It has no thread."""


class Stage:
    """The works of a unit with that camera; `ready` has an entry for each time that they said to be ready."""

    def __init__(self, folder: Path) -> None:
        unit = enrol(folder / "unit", Pki(), "https://localhost:1")
        self.camera = DeadCamera()
        self.ready: list[float] = []
        self.works = Works(
            self.camera,
            Installation.open(unit.path),
            unit.policy(),
            on_ready=lambda: self.ready.append(time.monotonic()),
            on_failure=lambda error: None,
        )
        self.works.start()

    def hear(self) -> None:
        for packet in sound(1, start_us=time.monotonic_ns() // 1000)[1]:
            self.camera.deliver(packet)

    def see(self) -> None:
        for packet in pictures(0.1, start_us=time.monotonic_ns() // 1000):
            self.camera.deliver(packet)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    assert stage.works.stop()


def test_sound_alone_makes_no_camera_ready(stage: Stage) -> None:
    stage.hear()
    assert stage.ready == []
    stage.see()
    stage.see()
    assert len(stage.ready) == 1


def test_a_camera_of_which_only_the_sound_goes_on_has_hung(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "_SILENT_SECONDS", 0.05)
    stage.see()
    time.sleep(0.1)
    stage.hear()
    with pytest.raises(CameraError, match="no more pictures"):
        stage.works.check()
