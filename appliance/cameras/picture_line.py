"""From a decoded picture to a packet for the clip and, while somebody looks, a frame for the screen."""

import threading

from av.video.frame import VideoFrame

from appliance.camera import Frame, Packet, VideoTrack
from appliance.cameras.encoder import PictureEncoder
from appliance.cameras.fitting import ClipFitter, ScreenFitter
from appliance.settings import UnitSettings


class PictureLine:
    """What the cameras that encode in software have in common.

    `take` is called on the camera's thread, everything else on any other.
    """

    def __init__(self, settings: UnitSettings, *, frames_per_second: int) -> None:
        width, height = settings.video_width, settings.video_height
        self.track = VideoTrack(width, height, frames_per_second)
        self._fitter = ClipFitter(width=width, height=height)
        self._encoder = PictureEncoder(
            width=width,
            height=height,
            frames_per_second=frames_per_second,
            bits_per_second=settings.video_bits_per_second,
        )
        self._is_key_frame_wanted = False
        self.screen = NewestFrame(ScreenFitter(width=settings.screen_width, height=settings.screen_height))

    def take(self, picture: VideoFrame, *, time_us: int, sequence: int) -> list[Packet]:
        """Fit and encode `picture`, and keep it for the screen; raises av.FFmpegError."""
        fitted = self._fitter.fit(picture)
        wanted, self._is_key_frame_wanted = self._is_key_frame_wanted, False
        packets = self._encoder.encode(fitted, time_us=time_us, sequence=sequence, as_key_frame=wanted)
        self.screen.offer(fitted, time_us, sequence)
        return packets

    def request_key_frame(self) -> None:
        """Make the next picture a key frame."""
        self._is_key_frame_wanted = True


class NewestFrame:
    """Keeps the newest picture; fits it to the screen only while somebody looks, but then at once."""

    def __init__(self, fitter: ScreenFitter) -> None:
        self._fitter = fitter
        self._lock = threading.Lock()
        self._is_shown = False
        self._newest: tuple[VideoFrame, int, int] | None = None
        self._frame: Frame | None = None

    def offer(self, picture: VideoFrame, time_us: int, sequence: int) -> None:
        """Take a newer picture."""
        with self._lock:
            self._newest = (picture, time_us, sequence)
            if self._is_shown:
                self._fit()

    def show(self, wanted: bool) -> None:  # noqa: FBT001 – as in Camera
        """Begin or end fitting pictures; the newest one is fitted before this returns."""
        with self._lock:
            self._is_shown = wanted
            self._frame = None
            if wanted:
                self._fit()

    def frame(self) -> Frame | None:
        """Return the newest fitted picture, None in the dark and before the first."""
        return self._frame

    def _fit(self) -> None:
        if self._newest is not None:
            picture, time_us, sequence = self._newest
            self._frame = Frame(self._fitter.fit(picture), time_us, sequence)
