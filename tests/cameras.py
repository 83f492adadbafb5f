"""What tests of cameras need: settings, films made to measure, and an ear for what a camera says."""

import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from appliance.camera import AudioTrack, CameraError, Kind, Packet
from appliance.settings import UnitSettings

BOUND_SECONDS = 30
PACED_TONE = "sine=frequency=440:sample_rate=44100:samples_per_frame=441,arealtime"  # as a device of libavfilter's


def settings(*, width: int = 320, height: int = 240, frames_per_second: int = 30) -> UnitSettings:
    """Return settings for small pictures."""
    return UnitSettings(
        unit_id="unit-001",
        dock_url="https://dock.example",
        video_width=width,
        video_height=height,
        video_bits_per_second=500_000,
        frames_per_second=frames_per_second,
    )


def film(
    path: Path, *, pictures: int = 10, rate: int = 25, size: tuple[int, int] = (160, 120), sound_rate: int = 0
) -> Path:
    """Make a film whose left half is red and whose right half is blue, with a tone where `sound_rate` is given."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if sound_rate:
            tone = container.add_stream("aac", rate=sound_rate, layout="stereo")
        for number in range(pictures):
            picture = VideoFrame.from_ndarray(halves(size), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if sound_rate:
            for number in range(pictures * sound_rate // rate // 1024):
                container.mux(tone.encode(tone_frame(sound_rate, first=number * 1024)))
            container.mux(tone.encode(None))
    return path


def halves(size: tuple[int, int]) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Return pixels, left half red, right half blue."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] = 255
    pixels[:, size[0] // 2 :, 2] = 255
    return pixels


def colour(pixel: int) -> str:
    """Name the colour of a screen's pixel, 0x??RRGGBB."""
    bright = [channel for channel in (16, 8, 0) if int(pixel) >> channel & 0xFF > 200]
    dark = [channel for channel in (16, 8, 0) if int(pixel) >> channel & 0xFF < 60]
    names = {((16,), (8, 0)): "red", ((8,), (16, 0)): "green", ((0,), (16, 8)): "blue", ((), (16, 8, 0)): "black"}
    return names.get((tuple(bright), tuple(dark)), f"{int(pixel):08x}")


def tone_frame(rate: int, *, first: int = 0, samples: int = 1024, hertz: int = 440) -> av.AudioFrame:
    """Return a piece of a tone in stereo, that begins with its sample number `first`."""
    wave = (0.5 * np.sin(2 * np.pi * hertz * (first + np.arange(samples)) / rate)).astype(np.float32)
    sound = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
    sound.sample_rate, sound.pts, sound.time_base = rate, first, Fraction(1, rate)
    return sound


class Listener:
    """Takes what a camera says, and waits, within bounds, until it has said enough."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.failures: list[CameraError] = []
        self._news = threading.Condition()

    def on_packet(self, packet: Packet) -> None:
        with self._news:
            self.packets.append(packet)
            self._news.notify_all()

    def on_failure(self, error: CameraError) -> None:
        with self._news:
            self.failures.append(error)
            self._news.notify_all()

    @property
    def pictures(self) -> list[Packet]:
        return [packet for packet in self.packets if packet.kind is Kind.VIDEO]

    @property
    def sounds(self) -> list[Packet]:
        return [packet for packet in self.packets if packet.kind is Kind.AUDIO]

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Return when `what` holds; fails when it does not within 30 s, or when the camera fails instead."""
        with self._news:
            came = self._news.wait_for(lambda: what() or bool(self.failures), BOUND_SECONDS)
        assert came, f"not within {BOUND_SECONDS} s; {len(self.packets)} packets"
        assert what(), f"the camera failed: {self.failures}"

    def wait_for_pictures(self, count: int) -> None:
        self.wait_for(lambda: len(self.pictures) >= count)


def decoded_pictures(packets: list[Packet]) -> list[VideoFrame]:
    """Decode packets by themselves, as whoever gets them from the ring does."""
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for packet in packets for picture in decoder.decode(av.Packet(bytes(packet.data)))]
    return pictures + decoder.decode(None)


def decoded_sound(track: AudioTrack, packets: list[Packet]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Decode packets to samples of the first channel."""
    decoder = av.CodecContext.create(track.codec, "r")
    decoder.extradata = track.config
    decoder.sample_rate = track.sample_rate
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(bytes(packet.data)))]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
