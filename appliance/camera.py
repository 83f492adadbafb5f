"""What a camera is to the unit: a source of encoded packets and of the newest small frame for the screen."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from evidence.errors import EnvironmentalError


class Kind(Enum):
    """What a packet holds."""

    VIDEO = "video"
    AUDIO = "audio"


class Packet(NamedTuple):
    """One encoded picture (an H.264 access unit, Annex B; SPS and PPS before each key frame) or one frame of sound.

    `time_us` is the capture moment on the monotonic clock, in microseconds, the same base for picture and sound.
    `sequence` is the sensor's frame number: a hole in it is a lost frame. `data` is mutable so that it can be
    overwritten when it is dropped. `is_silence` is said of sound that stands in for a microphone that gives none.
    """

    kind: Kind
    data: bytearray
    is_key: bool
    time_us: int
    duration_us: int
    sequence: int
    is_silence: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The newest picture, fitted to the screen's size, not mirrored.

    `pixels` has the shape (height, width) and 32 bits for each: 0x??RRGGBB, where the highest byte says nothing. Its
    rows need not be contiguous.
    """

    pixels: npt.NDArray[np.uint32]
    time_us: int
    sequence: int


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The picture's size in pixels and its nominal rate."""

    width: int
    height: int
    frames_per_second: int


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """The sound's codec, rate and channels; `config` is its codec's extradata (AudioSpecificConfig or OpusHead)."""

    codec: Literal["aac", "opus"]
    sample_rate: int
    channels: int
    config: bytes


class CameraError(EnvironmentalError):
    """The camera or the microphone is missing, broke off, or gives what cannot be used."""


class Camera(Protocol):
    """A running source of packets; all callbacks come from the camera's own thread and must return at once."""

    @property
    def video(self) -> VideoTrack:
        """The picture's track; known before `start`."""

    @property
    def audio(self) -> AudioTrack | None:
        """The sound's track, or None where this camera brings no sound; known before `start`."""

    def start(self, on_packet: Callable[[Packet], None], on_failure: Callable[[CameraError], None]) -> None:
        """Begin to deliver; raises CameraError when it cannot. A failure later on is told once to `on_failure`."""

    def request_key_frame(self) -> None:
        """Ask that the next picture be a key frame."""

    def newest_frame(self) -> Frame | None:
        """Return the newest picture for the screen; None before the first, and while `show_frames` said no."""

    def show_frames(self, wanted: bool) -> None:  # noqa: FBT001 – the one thing this says is yes or no
        """Say whether anyone looks at the screen: in the dark no frame is scaled for it."""

    def stop(self) -> None:
        """Stop and release the hardware; no callback comes after it returns. Harmless when not started."""
