"""The file camera on real footage and on films made to measure."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import av
import pytest

from appliance.camera import CameraError, Packet
from appliance.cameras import file
from appliance.cameras.file import FileCamera
from tests.cameras import Listener, colour, decoded_pictures, decoded_sound, film, settings, tone_frame
from tests.footage import bikes, bunny


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long this thread has to wait, no picture is lost by it."""
    monkeypatch.setattr(file, "_MOST_LATE_US", 30_000_000)


@contextmanager
def playing(camera: FileCamera) -> Iterator[Listener]:
    listener = Listener()
    camera.start(listener.on_packet, listener.on_failure)
    try:
        yield listener
    finally:
        camera.stop()


def test_real_footage_comes_as_h264_that_decodes_from_any_key_frame() -> None:
    camera = FileCamera(bikes(), settings())
    with playing(camera) as listener:
        listener.wait_for_pictures(60)
    pictures = listener.pictures
    assert (camera.video.width, camera.video.height, camera.video.frames_per_second) == (320, 240, 25)
    second_key = [place for place, packet in enumerate(pictures) if packet.is_key][1]
    decoded = decoded_pictures(pictures[second_key:])
    assert len(decoded) == len(pictures) - second_key
    assert {(picture.width, picture.height) for picture in decoded} == {(320, 240)}


def test_there_is_a_key_frame_at_least_each_second() -> None:
    with playing(FileCamera(bikes(), settings())) as listener:
        listener.wait_for_pictures(80)
    keys = [packet.time_us for packet in listener.pictures if packet.is_key]
    assert listener.pictures[0].is_key
    assert all(later - earlier <= 1_000_000 for earlier, later in pairwise(keys))
    assert len(keys) >= 3


def test_the_film_is_played_in_real_time_on_the_monotonic_clock(tmp_path: Path) -> None:
    arrivals: list[tuple[int, Packet]] = []
    enough = threading.Event()

    def note(packet: Packet) -> None:
        arrivals.append((time.monotonic_ns() // 1000, packet))
        if len(arrivals) == 30:
            enough.set()

    begin_us = time.monotonic_ns() // 1000
    camera = FileCamera(film(tmp_path / "film.mp4"), settings())
    camera.start(note, lambda error: None)
    assert enough.wait(30)
    camera.stop()
    assert all(begin_us < packet.time_us <= arrival_us for arrival_us, packet in arrivals)


def test_the_film_begins_again_and_its_numbers_and_times_go_on(tmp_path: Path) -> None:
    with playing(FileCamera(film(tmp_path / "film.mp4", pictures=10), settings())) as listener:
        listener.wait_for_pictures(35)
    for earlier, later in pairwise(listener.pictures):
        assert later.sequence > earlier.sequence
        periods = (later.time_us - earlier.time_us) / 40_000
        assert abs(periods - (later.sequence - earlier.sequence)) < 0.9


def test_pictures_that_the_machine_had_no_time_for_are_holes_in_the_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "_MOST_LATE_US", 200_000)
    listener = Listener()

    def slow(packet: Packet) -> None:
        listener.on_packet(packet)
        if len(listener.pictures) == 6:
            time.sleep(1)

    camera = FileCamera(film(tmp_path / "film.mp4"), settings())
    camera.start(slow, listener.on_failure)
    listener.wait_for_pictures(10)
    camera.stop()
    before, after = listener.pictures[5], listener.pictures[6]
    lost = after.sequence - before.sequence - 1
    assert lost >= 20
    assert abs((after.time_us - before.time_us) / 40_000 - (lost + 1)) < 1


def test_a_film_that_is_too_fast_is_thinned_out(tmp_path: Path) -> None:
    camera = FileCamera(film(tmp_path / "film.mp4", rate=60, pictures=60), settings(frames_per_second=30))
    assert camera.video.frames_per_second == 30
    with playing(camera) as listener:
        listener.wait_for_pictures(10)
    assert min(later.time_us - earlier.time_us for earlier, later in pairwise(listener.pictures)) >= 33_000


@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_the_films_sound_comes_without_a_hole_on_the_same_time_base(codec: str) -> None:
    camera = FileCamera(bunny(), settings(), sound="aac" if codec == "aac" else "opus")
    track = camera.audio
    assert track is not None
    assert (track.codec, track.sample_rate, track.channels) == (codec, 48_000, 2)
    with playing(camera) as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 60 and len(listener.pictures) >= 30)
    sounds = listener.sounds
    assert [packet.sequence for packet in sounds] == list(range(len(sounds)))
    assert all(abs(later.time_us - earlier.time_us - earlier.duration_us) < 100 for earlier, later in pairwise(sounds))
    assert abs(sounds[0].time_us - listener.pictures[0].time_us) < 60_000
    samples = decoded_sound(track, sounds)
    assert len(samples) > 55 * 960
    assert abs(samples).max() > 0.001


def test_sound_goes_on_where_the_film_begins_again(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", pictures=10, sound_rate=44_100)
    with playing(FileCamera(path, settings(), sound="aac")) as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 60)
    sounds = listener.sounds
    assert all(abs(later.time_us - earlier.time_us - earlier.duration_us) < 100 for earlier, later in pairwise(sounds))
    assert abs(sounds[-1].time_us - listener.pictures[-1].time_us) < 250_000


def test_a_silent_film_brings_no_sound_even_when_asked() -> None:
    assert FileCamera(bikes(), settings(), sound="aac").audio is None


def test_a_film_brings_no_sound_unless_asked() -> None:
    assert FileCamera(bunny(), settings()).audio is None


def test_in_the_dark_there_is_no_frame_and_at_the_touch_there_is_one_at_once(tmp_path: Path) -> None:
    camera = FileCamera(film(tmp_path / "film.mp4", size=(320, 240)), settings())
    with playing(camera) as listener:
        listener.wait_for_pictures(3)
        assert camera.newest_frame() is None
        camera.show_frames(True)
        frame = camera.newest_frame()
        assert frame is not None
        assert frame.pixels.shape == (480, 800)
        assert colour(frame.pixels[240, 100]) == "red"
        assert colour(frame.pixels[240, 700]) == "blue"
        later = frame.sequence + 3
        listener.wait_for(lambda: listener.pictures[-1].sequence > later)
        newer = camera.newest_frame()
        assert newer is not None
        assert newer.sequence >= later
        assert newer.time_us > frame.time_us
        camera.show_frames(False)
        assert camera.newest_frame() is None


def test_a_key_frame_comes_when_it_is_asked_for() -> None:
    camera = FileCamera(bikes(), settings())
    with playing(camera) as listener:
        listener.wait_for_pictures(5)
        camera.request_key_frame()
        listener.wait_for(lambda: sum(packet.is_key for packet in listener.pictures) >= 2)
    first, second = [packet.sequence for packet in listener.pictures if packet.is_key][:2]
    assert second - first < 25


def test_a_camera_that_was_stopped_is_silent_and_can_be_started_again(tmp_path: Path) -> None:
    camera = FileCamera(film(tmp_path / "film.mp4"), settings())
    camera.stop()
    with playing(camera) as listener:
        listener.wait_for_pictures(3)
    heard = len(listener.packets)
    with playing(camera) as again:
        again.wait_for_pictures(3)
    assert len(listener.packets) == heard
    assert again.pictures[0].is_key
    assert again.pictures[0].sequence > listener.pictures[-1].sequence


def test_a_camera_may_be_stopped_by_its_own_callback(tmp_path: Path) -> None:
    camera = FileCamera(film(tmp_path / "film.mp4"), settings())
    heard: list[Packet] = []
    stopped = threading.Event()

    def stop(packet: Packet) -> None:
        heard.append(packet)
        camera.stop()
        stopped.set()

    camera.start(stop, lambda error: None)
    assert stopped.wait(30)
    camera.stop()
    assert len(heard) == 1


def test_a_film_that_disappears_is_told_once_in_one_sentence(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", pictures=10)
    camera = FileCamera(path, settings())
    listener = Listener()
    camera.start(listener.on_packet, listener.on_failure)
    listener.wait_for_pictures(1)
    path.unlink()
    listener.wait_for(lambda: bool(listener.failures))
    camera.stop()
    assert [str(error) for error in listener.failures] == [f"There is no video file {path}: give the path of one."]
    with pytest.raises(CameraError, match="There is no video file"):
        camera.start(listener.on_packet, listener.on_failure)


def test_a_file_that_is_missing_or_no_film_is_refused_in_one_sentence(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("This is no film.")
    tone = tmp_path / "tone.wav"
    with av.open(tone, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000)
        container.mux(stream.encode(tone_frame(48_000)))
    for path, sentence in {
        tmp_path / "none.mp4": "There is no video file .*: give the path of one.",
        tmp_path: "There is no video file .*: give the path of one.",
        text: r".* cannot be played \(Invalid data found when processing input\): give another video file.",
        tone: ".* holds no pictures: give a video file.",
    }.items():
        with pytest.raises(CameraError, match=f"^{sentence}$"):
            FileCamera(path, settings())
