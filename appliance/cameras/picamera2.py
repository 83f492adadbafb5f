"""The Raspberry Pi's camera, by picamera2: encoded by the board where it can, scaled for the screen by its ISP."""

import atexit
import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import ThreadType
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from libcamera import controls
from picamera2 import MappedArray, Picamera2, Platform, get_platform
from picamera2.encoders import Encoder, H264Encoder, LibavH264Encoder
from picamera2.outputs import Output

from appliance.camera import AudioTrack, CameraError, Frame, Kind, Packet, VideoTrack
from appliance.cameras.fitting import ScreenFitter, covering_size
from appliance.cameras.frame_numbers import FrameNumbers, FramesInEncoder, boottime_lead_us
from appliance.cameras.source_thread import SourceThread
from appliance.settings import UnitSettings

# Where picamera2's H264Encoder finds the hardware. The board is asked for too: picamera2 takes all that is no Pi 5 for
# one that has it.
_HARDWARE_ENCODER = Path("/dev/video11")
_SILENT_SECONDS = 3.0
_LOOK_SECONDS = 0.5
# An orderly stop takes a second at most. One that hangs in a driver must not hang the unit with it.
_STOP_SECONDS = 5.0
_PIXEL_FORMATS = {"YUV420": "yuv420p", "NV12": "nv12", "XRGB8888": "bgra", "XBGR8888": "rgba"}


class Picamera2Camera:
    """A Camera on libcamera; it brings no sound of its own.

    Pictures are numbered when libcamera hands them over, before the encoder sees them: whether the sensor, the ISP or
    the encoder loses one, it is missing from `sequence`. The rate is fixed, in the dark too, so that a gap is a loss.
    """

    def __init__(self, settings: UnitSettings, *, camera_number: int = 0) -> None:
        self._settings = settings
        self._camera_number = camera_number
        self._period_us = 1_000_000 // settings.frames_per_second
        self._track = VideoTrack(settings.video_width, settings.video_height, settings.frames_per_second)
        self._fitter = ScreenFitter(width=settings.screen_width, height=settings.screen_height)
        self._watch = SourceThread("camera watch")
        self._device: Picamera2 | None = None
        self._encoder: Encoder | None = None
        self._is_closed = threading.Event()
        self._broken: Exception | None = None
        self._in_encoder = FramesInEncoder()
        self._numbers = FrameNumbers(period_us=self._period_us)
        self._next_number = 0
        self._lead_us: int | None = None
        self._is_shown = False
        self._frame: Frame | None = None
        self._heard_at = 0.0

    @property
    def video(self) -> VideoTrack:
        """The picture's track."""
        return self._track

    @property
    def audio(self) -> AudioTrack | None:
        """None: the microphone is a device of its own."""
        return None

    def start(self, on_packet: Callable[[Packet], None], on_failure: Callable[[CameraError], None]) -> None:
        """Open the camera and deliver; raises CameraError when there is none, or it is in use."""
        self.stop()
        self._in_encoder = FramesInEncoder()
        self._numbers = FrameNumbers(period_us=self._period_us, first=self._next_number)
        self._lead_us = None
        self._broken = None
        try:
            self._open(on_packet)
        except Exception as error:  # picamera2 and libcamera raise whatever comes to hand
            self.stop()
            raise CameraError(
                f"The camera cannot be started ({error}): check its cable, and end what else uses it."
            ) from error
        self._heard_at = time.monotonic()
        self._watch.start(self._raise_when_broken, on_failure)

    def request_key_frame(self) -> None:
        """Ask the encoder that its next picture be a key frame."""
        encoder = self._encoder
        if encoder is not None:
            encoder.force_key_frame()

    def newest_frame(self) -> Frame | None:
        """Return the newest picture for the screen."""
        return self._frame

    def show_frames(self, wanted: bool) -> None:  # noqa: FBT001 – as in Camera
        """Begin or end taking pictures for the screen; the first is there one frame later."""
        self._is_shown = wanted
        if not wanted:
            self._frame = None

    def stop(self) -> None:
        """Stop the encoder and release the camera; no callback comes after it returns."""
        self._watch.stop()
        device, self._device = self._device, None
        encoder, self._encoder = self._encoder, None
        if device is not None:
            release = threading.Thread(target=_release, args=(device, encoder), name="camera release", daemon=True)
            release.start()
            release.join(_STOP_SECONDS)
        self._is_closed.set()
        self._frame = None

    def _open(self, on_packet: Callable[[Packet], None]) -> None:
        device = self._device = _Device(self._camera_number)
        device.configure(self._configuration(device))
        encoder = self._encoder = self._new_encoder()
        is_closed = self._is_closed = threading.Event()

        # An error that came out of one of these would end a thread of picamera2's, which tells nobody; without the
        # hardware encoder's thread the event loop would wait for a buffer for ever, and whoever stops it too.
        def take(request: Any) -> None:
            try:
                if not is_closed.is_set() and self._broken is None:
                    self._take(request)
            except Exception as error:
                self._broken = error

        def deliver(data: bytes, is_key: bool, stamp_us: int) -> None:  # noqa: FBT001 – as in Output.outputframe
            try:
                if not is_closed.is_set() and self._broken is None:
                    self._heard_at = time.monotonic()
                    # The encoders give the time since the first picture that they were given.
                    on_packet(self._packet(data, is_key=is_key, stamp_us=encoder.firsttimestamp + stamp_us))
            except Exception as error:
                self._broken = error

        device.pre_callback = take
        device.start_recording(encoder, _PacketOutput(deliver))

    def _configuration(self, device: Picamera2) -> dict[str, Any]:
        settings = self._settings
        size = (settings.video_width, settings.video_height)
        screen_size = covering_size(*size, settings.screen_width, settings.screen_height)
        configuration: dict[str, Any] = device.create_video_configuration(
            main={"size": size, "format": "YUV420"},
            # Only the Pi 5's ISP gives a second picture in the screen's own format. None scales up.
            lores={
                "size": screen_size if screen_size[0] <= size[0] else size,
                "format": "XRGB8888" if get_platform() is Platform.PISP else "YUV420",
                "preserve_ar": True,
            },
            controls={"FrameDurationLimits": (self._period_us, self._period_us)},
            display=None,
        )
        return configuration

    def _new_encoder(self) -> Encoder:
        kind = H264Encoder if get_platform() is Platform.VC4 and _HARDWARE_ENCODER.exists() else _SoftwareEncoder
        return kind(
            bitrate=self._settings.video_bits_per_second,
            repeat=True,
            iperiod=self._settings.frames_per_second,
            framerate=self._settings.frames_per_second,
            profile="high",
        )

    def _take(self, request: Any) -> None:
        """Give a picture its number and keep it for the screen; picamera2 calls this before it is encoded."""
        # As in picamera2's Encoder, so that its packets name the very same microsecond.
        stamp_us = int(request.request.metadata[controls.SensorTimestamp] / 1000)
        if self._lead_us is None:
            self._lead_us = boottime_lead_us(
                stamp_us,
                monotonic_us=time.monotonic_ns() // 1000,
                boottime_us=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000,
            )
        number = self._numbers.number(count=_sensor_count(request), time_us=stamp_us)
        self._next_number = number + 1
        self._in_encoder.put(stamp_us=stamp_us, number=number)
        if self._is_shown:
            frame = Frame(self._screen_pixels(request), stamp_us - self._lead_us, number)
            self._frame = frame if self._is_shown else None

    def _screen_pixels(self, request: Any) -> npt.NDArray[np.uint32]:
        stream = request.config["lores"]
        with MappedArray(request, "lores", write=False) as mapped:
            picture = VideoFrame.from_numpy_buffer(
                mapped.array, format=_PIXEL_FORMATS[stream["format"]], width=stream["size"][0]
            )
            pixels = self._fitter.fit(picture)
            # Where nothing was converted these are the camera's own pixels, which the next picture overwrites.
            return pixels.copy() if np.may_share_memory(pixels, mapped.array) else pixels

    def _packet(self, data: bytes, *, is_key: bool, stamp_us: int) -> Packet:
        number = self._in_encoder.take(stamp_us=stamp_us)
        return Packet(Kind.VIDEO, bytearray(data), is_key, stamp_us - (self._lead_us or 0), self._period_us, number)

    def _raise_when_broken(self, is_stopping: threading.Event) -> None:
        """Notice a camera that broke off: picamera2 tells nobody, its event loop ends and that is all."""
        while not is_stopping.wait(_LOOK_SECONDS):
            if self._broken is not None:
                raise CameraError(f"The camera's pictures cannot be used ({self._broken}): have IT look at this unit.")
            if time.monotonic() - self._heard_at > _SILENT_SECONDS:
                raise CameraError("The camera gives no more pictures: check its cable, then restart the unit.")


class _Device(Picamera2):  # type: ignore[misc]  # picamera2 comes without types
    """Picamera2 that gives all back where it cannot be opened: it would keep a file descriptor for each try."""

    is_open: bool
    notifyme_w: int

    def __init__(self, camera_number: int) -> None:
        try:
            super().__init__(camera_number)
        except Exception:
            if self.is_open:
                self.camera.release()
                self.is_open = False
            os.close(self.notifyme_w)
            raise


def _release(device: Picamera2, encoder: Encoder | None) -> None:
    """Stop the encoder and give the camera back; what has broken off may refuse either, and is given up all the same.

    The encoder goes first: `Picamera2.stop_recording` would wait for ever for an event loop that an error has ended.
    """
    atexit.unregister(device.close)  # where this hangs, the end of the process is not to hang once more
    with suppress(Exception):
        if encoder is not None and encoder.running:
            device.stop_encoder(encoder)
    with suppress(Exception):
        device.close()


class _PacketOutput(Output):  # type: ignore[misc]  # picamera2 comes without types
    """Where picamera2's encoders put what they have encoded."""

    def __init__(self, deliver: Callable[[bytes, bool, int], None]) -> None:
        super().__init__()
        self._deliver = deliver

    def outputframe(
        self,
        frame: bytes,
        keyframe: bool = True,  # noqa: FBT001 – picamera2's signature
        timestamp: int | None = None,
        packet: object = None,
        audio: bool = False,  # noqa: FBT001 – picamera2's signature
    ) -> None:
        """Pass on a picture."""
        if timestamp is not None and not audio:
            self._deliver(frame, keyframe, timestamp)


class _SoftwareEncoder(LibavH264Encoder):  # type: ignore[misc]  # picamera2 comes without types
    """LibavH264Encoder with forced key frames that work, packets that come at once, and nothing kept when it stops.

    Its own names the picture type by a letter, not a number, and encodes a picture on each thread: packets come several
    pictures late (2 on two cores, more on more). Slices are as fast. And it keeps the codec, which keeps its newest
    pictures, for as long as it lives.
    """

    _stream: Any
    _container: Any

    def force_key_frame(self) -> None:
        """Make the next picture a key frame."""
        self._stream.is_key_frame_wanted = True

    def _start(self) -> None:
        super()._start()
        self._stream.codec_context.thread_type = ThreadType.SLICE  # it is opened with the first picture
        self._stream = _KeyFramesOnDemand(self._stream)

    def _stop(self) -> None:
        super()._stop()
        self._stream = self._container = None
        gc.collect()  # PyAV's container and its streams hold each other: they would go some time later


class _KeyFramesOnDemand:
    """Stands in for the PyAV stream that LibavH264Encoder encodes with."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self.is_key_frame_wanted = False

    def encode(self, picture: VideoFrame | None = None) -> "list[av.Packet[VideoStream]]":
        """Encode `picture`, as a key frame if one is wanted; without a picture, give what is left."""
        if picture is not None and self.is_key_frame_wanted:
            self.is_key_frame_wanted = False
            picture.pict_type = PictureType.I
        return self._stream.encode(picture)


def _sensor_count(request: Any) -> int:
    """Return the driver's count: of the sensor's own stream where there is one, else of what the ISP gave."""
    stream = request.stream_map["raw"] or request.stream_map["main"]
    return int(request.request.buffers[stream].metadata.sequence)
