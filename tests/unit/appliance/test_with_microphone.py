"""A camera that brings no sound together with a microphone: one camera, whatever becomes of the microphone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from appliance.camera import CameraError, Packet
from appliance.cameras import file
from appliance.cameras.file import FileCamera
from appliance.cameras.hearing import Hearing
from appliance.cameras.microphone import Microphone
from appliance.cameras.sources import Sources
from appliance.cameras.with_microphone import CameraWithMicrophone
from evidence.policy import decode
from tests.cameras import PACED_TONE, Listener, film, settings
from tests.pki import policy_toml


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the camera's thread has to wait, no picture is lost by it."""
    monkeypatch.setattr(file, "_MOST_LATE_US", 30_000_000)


class Stage:
    """A camera on a film, a microphone, and who listens to both; `told` is what is said of the sound."""

    def __init__(self, folder: Path, device: str) -> None:
        self.listener = Listener()
        self.told: list[CameraError | None] = []
        self.film = film(folder / "film.mp4")
        hearing = Hearing(Microphone(device, system="lavfi"), self.told.append, retry_seconds=(0.3,))
        self.camera = CameraWithMicrophone(FileCamera(self.film, settings()), hearing)

    def start(self) -> None:
        self.camera.start(self.listener.on_packet, self.listener.on_failure)

    @contextmanager
    def running(self) -> Iterator[Listener]:
        self.start()
        try:
            yield self.listener
        finally:
            self.camera.stop()


def test_they_make_one_camera_on_one_time_base(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PACED_TONE)
    camera = stage.camera
    assert camera.audio is not None
    assert camera.video.width == 320
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 40 and len(listener.pictures) >= 20)
        camera.show_frames(True)
        assert camera.newest_frame() is not None
        camera.request_key_frame()
    heard = len(listener.packets)
    assert abs(listener.sounds[-1].time_us - listener.pictures[-1].time_us) < 1_000_000
    assert len(listener.packets) == heard


@pytest.mark.parametrize("device", ["no such tone", PACED_TONE.replace("sine=", "sine=duration=0.3:")])
def test_a_microphone_that_is_missing_or_breaks_off_costs_no_picture(tmp_path: Path, device: str) -> None:
    stage = Stage(tmp_path, device)
    with stage.running() as listener:
        listener.wait_for(lambda: any(stage.told) and len(listener.pictures) >= 60)
    numbers = [picture.sequence for picture in listener.pictures]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert listener.failures == []


def test_a_camera_that_fails_is_told_and_a_missing_one_does_not_start(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PACED_TONE)
    with stage.running() as listener:
        stage.film.unlink()
        listener.wait_for(lambda: bool(listener.failures))
    assert len(listener.failures) == 1
    with pytest.raises(CameraError):
        stage.start()


@pytest.mark.parametrize(("wants_sound", "told"), [(True, 1), (False, 0)])
def test_where_none_is_named_that_is_told_if_sound_is_wanted(*, wants_sound: bool, told: int) -> None:
    policy = msgspec.structs.replace(decode(policy_toml().encode()), record_audio=wants_sound)
    heard: list[CameraError | None] = []
    assert Sources.named("v4l2:/dev/none").open(settings(), policy, heard.append).audio is None
    assert ["no microphone is named" in str(error) for error in heard] == [True] * told


def test_nothing_is_delivered_after_the_end(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "no such tone")
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 3)
    heard: list[Packet] = list(listener.packets)
    threading.Event().wait(0.5)
    assert listener.packets == heard
