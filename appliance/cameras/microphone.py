"""The microphone: sound from ALSA or Pulse on the camera's time base."""

import os
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from appliance.camera import CameraError
from appliance.cameras.sound import SAMPLE_RATE

_PIECES_PER_SECOND = 50
# libavdevice asks ALSA for a buffer of 65,536 samples at most; its smoothed stamps may be a little ahead.
_MOST_AGE_US = 2_000_000
_STAMP_SLACK_US = 20_000


class Microphone:
    """Sound from one device, as it comes; appliance.cameras.hearing makes packets of it.

    The capture moment of a piece of sound is the device's own, where it tells how much it had waiting when it was read;
    else when it arrived, less its length.
    """

    def __init__(self, device: str = "default", *, system: str = "alsa", channels: Literal[1, 2] = 1) -> None:
        """Name a `device` of `system`, which is alsa, pulse, or another of libavdevice's names."""
        self.device = device
        self.channels: Literal[1, 2] = channels
        self._system = system

    def listen(self, on_sound: Callable[[AudioFrame, int], None], is_stopping: threading.Event) -> None:
        """Open the device, and give each piece of sound with the moment of its first sample (µs, monotonic).

        Ends when `is_stopping` is set; raises CameraError when the device cannot be opened or breaks off.
        """
        try:
            with self._opened() as container:
                for sound in _sounds(container):
                    if is_stopping.is_set():
                        return
                    on_sound(sound, _captured_us(sound))
        except av.FFmpegError as error:
            raise self._broken_off(error.strerror or "no reason given") from error
        raise self._broken_off("no more sound")

    def _opened(self) -> InputContainer:
        _use_the_systems_alsa()
        # A bare ALSA device (hw:…) has one layout and no other, and without a word libavdevice asks for stereo.
        wanted, other = ("mono", "stereo") if self.channels == 1 else ("stereo", "mono")
        try:
            return self._opened_as(wanted)
        except (av.FFmpegError, ValueError) as error:
            with suppress(av.FFmpegError, ValueError):
                return self._opened_as(other)
            raise CameraError(
                f"The microphone {self.device} ({self._system}) cannot be opened ({error}): connect it, or turn "
                "record_audio off in the policy."
            ) from error

    def _opened_as(self, layout: str) -> InputContainer:
        options = {"sample_rate": str(SAMPLE_RATE), "ch_layout": layout}
        return av.open(self.device, format=self._system, options=options)

    def _broken_off(self, reason: str) -> CameraError:
        return CameraError(f"The microphone {self.device} broke off ({reason}): connect it again.")


def _sounds(container: InputContainer) -> Iterator[AudioFrame]:
    """Yield the device's sound in pieces of at least 20 ms.

    libavdevice asks ALSA for the shortest periods that a device has, a millisecond or two, and to decode and encode
    such a piece costs as much as a long one.
    """
    codec = container.streams.audio[0].codec_context
    enough = codec.format.bytes * codec.channels * codec.sample_rate // _PIECES_PER_SECOND
    waiting: list[av.Packet[AudioStream]] = []
    for packet in container.demux(audio=0):
        waiting.append(packet)
        if sum(each.size for each in waiting) >= enough:
            yield from codec.decode(_joined(waiting))
            waiting = []


def _joined(packets: "list[av.Packet[AudioStream]]") -> "av.Packet[AudioStream]":
    """Return uncompressed sound, which is what devices give, as one packet."""
    joined = cast("av.Packet[AudioStream]", av.Packet(b"".join(bytes(packet) for packet in packets)))
    joined.pts, joined.time_base = packets[0].pts, packets[0].time_base
    return joined


def _captured_us(sound: AudioFrame) -> int:
    """Return when the first sample of `sound`, which has just arrived, was captured, on the monotonic clock.

    libavdevice stamps what it reads from ALSA or Pulse with the time of day, less what waited in the device. So it is
    known how old a piece is, however late this thread came to read it.
    """
    length_us = sound.samples * 1_000_000 // sound.sample_rate
    monotonic_us, time_of_day_us = _both_clocks()
    age_us = length_us
    if sound.pts is not None and sound.time_base is not None:
        stated_us = time_of_day_us - int(sound.pts * sound.time_base * 1_000_000)
        # What claims to be older, or not to be over yet, was not stamped with the time of day, or that was set since.
        age_us = stated_us if length_us <= stated_us + _STAMP_SLACK_US and stated_us < _MOST_AGE_US else length_us
    return monotonic_us - age_us


def _both_clocks() -> tuple[int, int]:
    """Return what the monotonic clock and the time of day say at the same moment, in microseconds.

    A thread may have to wait between two readings; of three tries the quickest is taken.
    """
    tries = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(3)]
    before, time_of_day, _ = min(tries, key=lambda each: each[2] - each[0])
    return before // 1000, time_of_day // 1000


def _use_the_systems_alsa() -> None:
    """Name ALSA's own folders: PyAV's wheel brings an alsa-lib that looks for them under /tmp, where anyone can write.

    A configuration file can load code, so this is not only about finding the devices.
    """
    os.environ.setdefault("ALSA_CONFIG_DIR", "/usr/share/alsa")
    os.environ.setdefault("ALSA_CONFIG_PATH", "/usr/share/alsa/alsa.conf")
    os.environ.setdefault("ALSA_PLUGIN_DIR", f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/alsa-lib")
