"""The camera that is a V4L2 device, such as a USB webcam."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from appliance.camera import AudioTrack, CameraError, Frame, Packet, VideoTrack
from appliance.cameras.frame_numbers import UncountedFrameNumbers
from appliance.cameras.picture_line import PictureLine
from appliance.cameras.source_thread import SourceThread
from appliance.settings import UnitSettings

# Pictures that wait to be encoded, as few as smooth out a busy moment: what comes on top of them is lost.
_WAITING = 6
_SILENT_SECONDS = 5.0
# A stamp on the monotonic clock is a little earlier than now; any other clock's is not.
_OLDEST_STAMP_US = 2_000_000


class _Arrival(NamedTuple):
    packet: "av.Packet[VideoStream]"
    time_us: int
    sequence: int


class V4l2Camera:
    """A Camera on a V4L2 device, encoded in software; it brings no sound of its own.

    The device's pictures are numbered as they are read, on a thread that does nothing else; what the encoder is too
    slow for, and what the driver skipped (a gap in its time stamps), is missing from `sequence`. A webcam may halve its
    rate in poor light: the few pictures until that is known for a new rate count as lost.
    """

    def __init__(self, device: str, settings: UnitSettings, *, system: str = "v4l2") -> None:
        """Name a `device` such as /dev/video0; `system` is libavdevice's name for what it belongs to."""
        self._device = device
        self._system = system
        self._options = {
            "video_size": f"{settings.video_width}x{settings.video_height}",
            "framerate": str(settings.frames_per_second),
        }
        self._pictures = PictureLine(settings, frames_per_second=settings.frames_per_second)
        self._next_number = 0
        self._thread = SourceThread("webcam")

    @property
    def video(self) -> VideoTrack:
        """The picture's track; its rate is what was asked for, the device may give less."""
        return self._pictures.track

    @property
    def audio(self) -> AudioTrack | None:
        """None: a webcam's microphone is a device of its own."""
        return None

    def start(self, on_packet: Callable[[Packet], None], on_failure: Callable[[CameraError], None]) -> None:
        """Open the device and deliver; raises CameraError when it is missing, busy or no camera."""
        self.stop()
        container = self._opened()
        self._pictures.request_key_frame()
        self._thread.start(lambda is_stopping: self._deliver(container, on_packet, is_stopping), on_failure)

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
        """Stop and close the device; no callback comes after it returns."""
        self._thread.stop()

    def _opened(self) -> InputContainer:
        # Over USB 2 most webcams reach their full size and rate only as MJPEG; those that have none refuse it.
        for options in ({**self._options, "input_format": "mjpeg"}, self._options):
            try:
                return av.open(self._device, format=self._system, options=options)
            except av.FFmpegError as error:
                refusal = error
        raise CameraError(
            f"The camera {self._device} cannot be opened ({refusal.strerror}): plug it in, end what else uses it, and "
            "see that this user is in the group 'video'."
        ) from refusal

    def _deliver(
        self, container: InputContainer, on_packet: Callable[[Packet], None], is_stopping: threading.Event
    ) -> None:
        arrivals: queue.Queue[_Arrival | None] = queue.Queue(_WAITING)
        reader = threading.Thread(
            target=self._read, args=(container, arrivals, is_stopping), name="webcam reader", daemon=True
        )
        reader.start()
        while not is_stopping.is_set():
            for packet in self._encode(self._next_of(arrivals)):
                if is_stopping.is_set():
                    return
                on_packet(packet)

    def _read(
        self, container: InputContainer, arrivals: "queue.Queue[_Arrival | None]", is_stopping: threading.Event
    ) -> None:
        numbers = UncountedFrameNumbers(first=self._next_number)
        with container, suppress(av.FFmpegError):
            for packet in container.demux(video=0):
                if is_stopping.is_set():
                    return
                if not packet.size:
                    break
                now_us = time.monotonic_ns() // 1000
                stamp_us = _stamp_us(packet, now_us)
                number = numbers.number(time_us=stamp_us)
                self._next_number = number + 1
                with suppress(queue.Full):
                    arrivals.put_nowait(_Arrival(packet, stamp_us or now_us, number))
        with suppress(queue.Full):
            arrivals.put(None, timeout=_SILENT_SECONDS)

    def _next_of(self, arrivals: "queue.Queue[_Arrival | None]") -> _Arrival:
        try:
            arrival = arrivals.get(timeout=_SILENT_SECONDS)
        except queue.Empty:
            arrival = None
        if arrival is None:
            raise CameraError(f"The camera {self._device} gives no more pictures: plug it in again.")
        return arrival

    def _encode(self, arrival: _Arrival) -> list[Packet]:
        try:
            pictures = arrival.packet.decode()
        except av.FFmpegError:
            # A picture that USB has damaged is a lost picture: the next one stands on its own.
            return []
        try:
            return [
                packet
                for picture in pictures
                for packet in self._pictures.take(picture, time_us=arrival.time_us, sequence=arrival.sequence)
            ]
        except av.FFmpegError as error:
            raise CameraError(
                f"The pictures of the camera {self._device} cannot be encoded ({error.strerror}): use another camera."
            ) from error


def _stamp_us(packet: "av.Packet[VideoStream]", now_us: int) -> int | None:
    """Return the driver's time stamp if it can be one of the monotonic clock."""
    if packet.pts is None:
        return None
    stamp_us = int(packet.pts * packet.time_base * 1_000_000)
    return stamp_us if now_us - _OLDEST_STAMP_US <= stamp_us <= now_us else None
