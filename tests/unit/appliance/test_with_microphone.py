"""A camera that brings no sound together with a microphone that is there, is not, or breaks off."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from appliance.camera import CameraError, Packet
from appliance.cameras.file import FileCamera
from appliance.cameras.microphone import Microphone
from appliance.cameras.sources import Sources
from appliance.cameras.with_microphone import CameraWithMicrophone
from evidence.policy import decode
from tests.cameras import BOUND_SECONDS, PACED_TONE, Listener, decoded_sound, film, settings
from tests.pki import policy_toml


class Stage:
    """A camera on a film, a microphone, and who listens to both; `told` is what is said of the sound."""

    def __init__(self, folder: Path, device: str) -> None:
        self.listener = Listener()
        self.told: list[CameraError | None] = []
        self.film = film(folder / "film.mp4")
        self.camera = CameraWithMicrophone(
            FileCamera(self.film, settings()),
            Microphone(device, system="lavfi"),
            self.told.append,
            retry_seconds=(0.3,),
        )

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
    assert stage.told == []


def test_without_a_microphone_pictures_come_and_it_is_told_once_however_often_it_is_tried(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "no such tone")
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.pictures) >= 40 and bool(stage.told))
    assert [str(error).startswith("The microphone no such tone") for error in stage.told] == [True]
    assert listener.failures == []


def test_silence_stands_in_for_sound_in_step_with_the_pictures_and_is_said_to_be_that(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "no such tone")
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 100)
        late_us = time.monotonic_ns() // 1000 - listener.sounds[-1].time_us
    assert all(packet.is_silence for packet in listener.sounds)
    assert late_us < 1_000_000
    assert stage.camera.audio is not None
    assert not np.abs(decoded_sound(stage.camera.audio, listener.sounds)).any()


def test_the_sound_has_no_hole_when_a_microphone_comes_and_goes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PACED_TONE.replace("sine=", "sine=duration=0.3:"))
    with stage.running() as listener:
        listener.wait_for(lambda: len(stage.told) >= 4)
    sounds = listener.sounds
    assert {packet.is_silence for packet in sounds} == {True, False}
    assert all(abs(later.time_us - earlier.time_us - earlier.duration_us) <= 1 for earlier, later in pairwise(sounds))
    assert [packet.sequence for packet in sounds] == list(range(len(sounds)))


def test_one_that_breaks_off_costs_no_picture_and_is_told_when_it_is_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, PACED_TONE.replace("sine=", "sine=duration=0.3:"))  # each time that it is opened
    with stage.running() as listener:
        listener.wait_for(lambda: len(stage.told) >= 2)
        seen, heard = len(listener.pictures), len(listener.sounds)
        listener.wait_for(lambda: len(listener.pictures) >= seen + 10 and len(listener.sounds) > heard)
    assert str(stage.told[0]).endswith("connect it again.")
    assert stage.told[1] is None
    assert listener.failures == []
    numbers = [picture.sequence for picture in listener.pictures]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_what_was_told_is_not_told_again_when_the_camera_starts_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "no such tone")
    for _ in range(2):
        seen = len(stage.listener.pictures)
        with stage.running() as listener:
            listener.wait_for(lambda: len(listener.pictures) >= seen + 10 and bool(stage.told))  # noqa: B023
    assert len(stage.told) == 1


def test_one_that_hangs_while_it_is_opened_keeps_neither_pictures_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, PACED_TONE)
    goes_on = threading.Event()

    def hang(*_: object) -> None:
        goes_on.wait(BOUND_SECONDS)

    monkeypatch.setattr(Microphone, "deliver", hang)
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.pictures) >= 10)
    assert not goes_on.is_set()
    goes_on.set()


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
    stage = Stage(tmp_path, PACED_TONE)
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 3)
    heard: list[Packet] = list(listener.packets)
    threading.Event().wait(0.3)
    assert listener.packets == heard
