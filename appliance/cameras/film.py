"""A video file as an endless film: its pictures and its sound in order of time, from the start again at its end."""

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import NamedTuple

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.video.frame import VideoFrame

from appliance.camera import CameraError

# What a file that names no rate is played at: the H.264 demuxer's own default.
_DEFAULT_RATE = 25


class Moment(NamedTuple):
    """A picture or a piece of sound: when it was captured and when a camera would have it, in µs since the beginning.

    A picture is there at once, a piece of sound when its last sample is.
    """

    time_us: int
    due_us: int
    content: VideoFrame | AudioFrame


@dataclass(frozen=True, slots=True)
class Film:
    """What is known of a file before it is played; `every` leaves out pictures that come faster than wanted."""

    path: Path
    frames_per_second: int
    every: int
    start_us: int
    length_us: int | None
    sound_channels: int

    @property
    def period_us(self) -> int:
        """From one picture to the next, nominally."""
        return 1_000_000 // self.frames_per_second

    @classmethod
    def probe(cls, path: Path, *, most_frames_per_second: int) -> "Film":
        """Look into the file at `path`; raises CameraError when it is no video that can be played."""
        with _opened(path) as container:
            if not container.streams.video:
                raise CameraError(f"{path} holds no pictures: give a video file.")
            video = container.streams.video[0]
            rate = float(video.average_rate or video.guessed_rate or _DEFAULT_RATE)
            every = ceil(rate / most_frames_per_second)
            return cls(
                path=path,
                frames_per_second=max(1, round(rate / every)),
                every=every,
                start_us=container.start_time or 0,
                length_us=_length_us(container),
                sound_channels=container.streams.audio[0].channels if container.streams.audio else 0,
            )

    def moments(self, *, with_sound: bool) -> Iterator[Moment]:
        """Yield what the film shows, for ever; raises CameraError when the file breaks off or holds no picture."""
        begin_us = 0
        while True:
            length_us = 0
            for time_us, due_us, content in self._moments_once(with_sound=with_sound):
                if isinstance(content, VideoFrame):
                    length_us = time_us + self.period_us
                yield Moment(begin_us + time_us, begin_us + due_us, content)
            if not length_us:
                raise CameraError(f"{self.path} holds no picture that can be decoded: give another video file.")
            begin_us += length_us

    def _moments_once(self, *, with_sound: bool) -> Iterator[Moment]:
        # Each is read through its own opened file: a file may store a picture far from the sound of the same moment.
        tracks = [self._pictures(), self._sounds()] if with_sound else [self._pictures()]
        return heapq.merge(*tracks, key=lambda moment: moment.due_us)

    def _pictures(self) -> Iterator[Moment]:
        previous_us = -1
        with _opened(self.path) as container:
            for index, picture in enumerate(islice(container.decode(video=0), 0, None, self.every)):
                time_us = index * self.period_us if picture.time is None else self._since_start(picture.time)
                if time_us > previous_us:
                    yield Moment(time_us, time_us, picture)
                    previous_us = time_us

    def _sounds(self) -> Iterator[Moment]:
        with _opened(self.path) as container:
            for sound in container.decode(audio=0):
                time_us = self._since_start(sound.time or 0.0)
                if self.length_us is not None and time_us >= self.length_us:
                    return
                yield Moment(time_us, time_us + sound.samples * 1_000_000 // sound.sample_rate, sound)

    def _since_start(self, seconds: float) -> int:
        return max(0, round(seconds * 1_000_000) - self.start_us)


def _length_us(container: InputContainer) -> int | None:
    video = container.streams.video[0]
    if video.duration is None or video.time_base is None:
        return container.duration
    return round(video.duration * video.time_base * 1_000_000)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        with av.open(path) as container:
            yield container
    except (av.error.FileNotFoundError, av.error.IsADirectoryError) as error:
        raise CameraError(f"There is no video file {path}: give the path of one.") from error
    except av.FFmpegError as error:
        raise CameraError(f"{path} cannot be played ({error.strerror}): give another video file.") from error
