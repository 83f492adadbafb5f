"""The webcam's camera, on libavdevice's test picture in place of the device, and on devices that are not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.camera import CameraError
from appliance.cameras.v4l2 import V4l2Camera
from tests.cameras import Listener, decoded_pictures, settings

TEST_PICTURE = "testsrc2=size=160x120:rate=30,realtime"


@contextmanager
def running(camera: V4l2Camera) -> Iterator[Listener]:
    listener = Listener()
    camera.start(listener.on_packet, listener.on_failure)
    try:
        yield listener
    finally:
        camera.stop()


def test_a_devices_pictures_come_as_h264_of_the_settings_size() -> None:
    camera = V4l2Camera(TEST_PICTURE, settings(), system="lavfi")
    assert (camera.video.width, camera.video.height, camera.audio) == (320, 240, None)
    with running(camera) as listener:
        listener.wait_for_pictures(35)
    assert sum(packet.is_key for packet in listener.pictures) >= 2
    assert {(picture.width, picture.height) for picture in decoded_pictures(listener.pictures)} == {(320, 240)}


def test_a_device_is_shown_and_stopped_and_started_again() -> None:
    camera = V4l2Camera(TEST_PICTURE, settings(), system="lavfi")
    with running(camera) as listener:
        listener.wait_for_pictures(2)
        assert camera.newest_frame() is None
        camera.show_frames(True)
        frame = camera.newest_frame()
        assert frame is not None
        assert frame.pixels.shape == (480, 800)
        camera.request_key_frame()
        listener.wait_for(lambda: sum(packet.is_key for packet in listener.pictures) >= 2)
    heard = len(listener.packets)
    with running(camera) as again:
        again.wait_for_pictures(2)
    assert len(listener.packets) == heard
    assert again.pictures[0].is_key
    assert again.pictures[0].sequence > listener.pictures[-1].sequence


def test_pictures_that_the_encoder_had_no_time_for_are_holes_in_the_sequence() -> None:
    """An unpaced source is a device faster than the encoder."""
    camera = V4l2Camera("testsrc2=size=160x120:rate=30", settings(), system="lavfi")
    with running(camera) as listener:
        listener.wait_for_pictures(20)
    pictures = listener.pictures
    assert pictures[-1].sequence - pictures[0].sequence + 1 > len(pictures)


def test_a_device_that_breaks_off_is_told_once_after_its_last_picture() -> None:
    camera = V4l2Camera("testsrc2=size=160x120:rate=30:duration=0.5,realtime", settings(), system="lavfi")
    with running(camera) as listener:
        listener.wait_for(lambda: bool(listener.failures))
    assert 0 < len(listener.pictures) <= 15
    assert len(listener.failures) == 1
    assert str(listener.failures[0]).endswith("gives no more pictures: plug it in again.")


def test_a_device_that_is_missing_or_no_camera_is_refused_in_one_sentence(tmp_path: Path) -> None:
    no_camera = tmp_path / "video0"
    no_camera.write_bytes(b"")
    for device, reason in ((tmp_path / "video9", "No such file or directory"), (no_camera, ".+")):
        camera = V4l2Camera(str(device), settings())
        listener = Listener()
        sentence = (
            rf"The camera {device} cannot be opened \({reason}\): plug it in, end what else uses it, and see that this "
            r"user is in the group 'video'\."
        )
        with pytest.raises(CameraError, match=f"^{sentence}$"):
            camera.start(listener.on_packet, listener.on_failure)
        camera.stop()
        assert not listener.packets
        assert not listener.failures
