"""The camera that is a video file, played in real time and over again: for computers without a camera."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
from av.video.frame import VideoFrame

from appliance.camera import AudioTrack, CameraError, Frame, Packet, VideoTrack
from appliance.cameras.film import Film, Moment
from appliance.cameras.picture_line import PictureLine
from appliance.cameras.sound import SoundCodec, SoundEncoder
from appliance.cameras.source_thread import SourceThread
from appliance.settings import UnitSettings

# A real camera has a few buffers: that much delay loses it no picture.
_MOST_LATE_US = 200_000


class FileCamera:
    """A Camera that plays the file at `path`; with `sound` it brings the file's sound too, if it has any.

    It gives the file's own rate, or where that is more than the settings allow every second picture, or third. Where
    the machine cannot keep up the film stands still meanwhile, and the pictures that a sensor would have taken in that
    time are missing from `sequence`.
    """

    def __init__(self, path: Path, settings: UnitSettings, *, sound: SoundCodec | None = None) -> None:
        """Look into the file; raises CameraError when it cannot be played."""
        self._path = path
        self._most_frames_per_second = settings.frames_per_second
        self._film = self._probe()
        self._pictures = PictureLine(settings, frames_per_second=self._film.frames_per_second)
        self._sound_codec = sound if self._film.sound_channels else None
        encoder = self._new_sound_encoder()
        self._audio = encoder.track if encoder else None
        self._thread = SourceThread("file camera")
        self._sequence = 0

    @property
    def video(self) -> VideoTrack:
        """The picture's track."""
        return self._pictures.track

    @property
    def audio(self) -> AudioTrack | None:
        """The sound's track; None where none was asked for or the file has none."""
        return self._audio

    def start(self, on_packet: Callable[[Packet], None], on_failure: Callable[[CameraError], None]) -> None:
        """Play the film from its beginning; raises CameraError when the file is gone since."""
        self._film = self._probe()
        self._pictures.request_key_frame()
        self._thread.start(lambda is_stopping: self._play(on_packet, is_stopping), on_failure)

    def request_key_frame(self) -> None:
        """Make the next picture a key frame."""
        self._pictures.request_key_frame()

    def newest_frame(self) -> Frame | None:
        """Return the newest picture for the screen."""
        return self._pictures.screen.frame()

    def show_frames(self, wanted: bool) -> None:  # noqa: FBT001 – as in Camera
        """Begin or end scaling pictures for the screen."""
        self._pictures.screen.show(wanted)

    def stop(self) -> None:
        """Stop; no callback comes after it returns."""
        self._thread.stop()

    def _probe(self) -> Film:
        return Film.probe(self._path, most_frames_per_second=self._most_frames_per_second)

    def _new_sound_encoder(self) -> SoundEncoder | None:
        if self._sound_codec is None:
            return None
        return SoundEncoder(self._sound_codec, channels=1 if self._film.sound_channels == 1 else 2)

    def _play(self, on_packet: Callable[[Packet], None], is_stopping: threading.Event) -> None:
        sound = self._new_sound_encoder()
        begin_us = _now_us()
        for moment in self._film.moments(with_sound=sound is not None):
            late_us = _now_us() - begin_us - moment.due_us
            if late_us > _MOST_LATE_US:
                begin_us += late_us
                self._sequence += late_us // self._film.period_us
            elif is_stopping.wait(-late_us / 1_000_000):
                return
            for packet in self._encode(moment, begin_us + moment.time_us, sound):
                if is_stopping.is_set():
                    return
                on_packet(packet)

    def _encode(self, moment: Moment, time_us: int, sound: SoundEncoder | None) -> list[Packet]:
        try:
            if not isinstance(moment.content, VideoFrame):
                return sound.encode(moment.content, time_us=time_us) if sound else []
            packets = self._pictures.take(moment.content, time_us=time_us, sequence=self._sequence)
        except av.FFmpegError as error:
            raise CameraError(f"{self._path} cannot be encoded ({error.strerror}): give another video file.") from error
        self._sequence += 1
        return packets


def _now_us() -> int:
    return time.monotonic_ns() // 1000
