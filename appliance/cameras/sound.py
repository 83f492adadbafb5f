"""Sound as a clip holds it: AAC or Opus without a break, on the camera's time base."""

from typing import Literal, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.codec.context import Flags

from appliance.camera import AudioTrack, Kind, Packet

SoundCodec = Literal["aac", "opus"]

# Opus works at this rate whatever it is given, and every AAC player knows it.
SAMPLE_RATE = 48_000
_ENCODERS = {"aac": "aac", "opus": "libopus"}
_BITS_PER_SECOND_PER_CHANNEL = {"aac": 64_000, "opus": 40_000}
_LAYOUTS = {1: "mono", 2: "stereo"}
# Sound that is 45 ms early is noticed (ITU-R BT.1359-1); what a device's clock drifts is put right before that.
_TOLERATED_DRIFT_US = 40_000
# A busy machine stamps a piece of sound late now and then. What the stamps say on average over this time is believed,
# and a smaller error is left as it is.
_BELIEVED_AFTER_US = 2_000_000
_TOLERATED_OFFSET_US = 10_000
# A shorter silence is a device's clock or a busy machine, and nobody misses anything in it.
NAMED_SILENCE_US = 1_000_000
# A longer hole, as of a machine that slept, is left as one: silence for it would take the memory that the ring needs.
_LONGEST_FILLED_US = 10_000_000

_Kind = tuple[str, str, int]  # what sound is before it is resampled: format, layout, rate


class SoundEncoder:
    """Encodes frames of sound, in the order of their time, without a hole.

    Players do not agree on what a hole in the sound's time stamps means, so there is none: where sound is missing there
    is silence, and where a device's clock runs fast a little is left out. The sound thus stays within 40 ms of the
    pictures for as long as a clip may be, and within 10 ms where the device's stamps agree for some seconds. Silence of
    a second and more is said to be that in its packets.
    """

    def __init__(self, codec: SoundCodec, *, channels: Literal[1, 2]) -> None:
        self._codec = cast(AudioCodecContext, av.CodecContext.create(_ENCODERS[codec], "w"))
        self._codec.sample_rate = SAMPLE_RATE
        self._codec.layout = _LAYOUTS[channels]
        self._codec.format = "fltp" if codec == "aac" else "flt"
        self._codec.bit_rate = _BITS_PER_SECOND_PER_CHANNEL[codec] * channels
        # Without this flag the AAC encoder gives no AudioSpecificConfig.
        self._codec.flags |= Flags.global_header
        self._codec.open()
        self._resampler: tuple[_Kind, AudioResampler] | None = None
        self._fifo = AudioFifo()
        self._start_us: int | None = None
        self._offset_us = 0.0
        self._samples_in = 0
        self._samples_out = 0
        self._sequence = 0
        self.track = AudioTrack(codec, SAMPLE_RATE, channels, bytes(self._codec.extradata or b""))

    def encode(self, sound: AudioFrame, *, time_us: int) -> list[Packet]:
        """Encode `sound`, whose first sample was captured at `time_us`; raises av.FFmpegError."""
        early_us = self._early_us(time_us)
        if early_us < -_TOLERATED_DRIFT_US:
            return []
        filled: list[Packet] = []
        if early_us >= NAMED_SILENCE_US:
            filled = self.silence(until_us=time_us)
        elif early_us > _TOLERATED_DRIFT_US:
            self._write(self._silence(early_us * SAMPLE_RATE // 1_000_000))
            self._offset_us = 0.0
        for resampled in self._resampler_of(sound).resample(sound):
            self._write(resampled)
        if early_us <= _TOLERATED_DRIFT_US:
            self._put_right(early_us, weight=sound.samples * 1_000_000 / sound.sample_rate / _BELIEVED_AFTER_US)
        return filled + self._encode_whole_frames()

    def silence(self, *, until_us: int) -> list[Packet]:
        """Encode silence, and name it so, from where the sound has come to up to that moment."""
        samples = self._early_us(until_us) * SAMPLE_RATE // 1_000_000
        if samples > 0:
            self._write(self._silence(samples))
        return [packet._replace(is_silence=True) for packet in self._encode_whole_frames()]

    def _resampler_of(self, sound: AudioFrame) -> AudioResampler:
        """Return what makes of such sound what the codec takes; another device may give another kind of it."""
        kind = (sound.format.name, sound.layout.name, sound.sample_rate)
        if self._resampler is None or self._resampler[0] != kind:
            self._resampler = kind, AudioResampler(self._codec.format, self._codec.layout, SAMPLE_RATE)
        return self._resampler[1]

    def _early_us(self, time_us: int) -> int:
        """Return how much is missing between the sound that came last and that moment; negative where it was ahead."""
        if self._start_us is None:
            self._start_us = time_us
        early_us = time_us - self._time_at(self._samples_in)
        if early_us > _LONGEST_FILLED_US:
            self._start_us += early_us
            return 0
        return early_us

    def _put_right(self, early_us: int, *, weight: float) -> None:
        """Add or leave out a moment of sound where it has been beside the pictures for long enough."""
        self._offset_us += (early_us - self._offset_us) * min(weight, 1.0)
        if abs(self._offset_us) <= _TOLERATED_OFFSET_US:
            return
        samples = round(self._offset_us * SAMPLE_RATE / 1_000_000)
        if samples > 0:
            self._write(self._silence(samples))
        elif (left_out := self._fifo.read(-samples, partial=True)) is not None:
            self._samples_in -= left_out.samples
        self._offset_us = 0.0

    def _write(self, sound: AudioFrame) -> None:
        # Without a time stamp of its own a frame follows the one before it.
        sound.pts = None
        self._fifo.write(sound)
        self._samples_in += sound.samples

    def _silence(self, samples: int) -> AudioFrame:
        silence = AudioFrame(self._codec.format.name, self._codec.layout.name, samples)
        silence.sample_rate = SAMPLE_RATE
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        return silence

    def _encode_whole_frames(self) -> list[Packet]:
        packets = []
        while (frame := self._fifo.read(self._codec.frame_size)) is not None:
            frame.pts = self._samples_out
            self._samples_out += frame.samples
            packets += [self._packet(encoded) for encoded in self._codec.encode(frame)]
        return packets

    def _packet(self, encoded: "av.Packet[av.AudioStream]") -> Packet:
        duration_us = self._codec.frame_size * 1_000_000 // SAMPLE_RATE
        packet = Packet(
            Kind.AUDIO, bytearray(encoded), True, self._time_at(encoded.pts or 0), duration_us, self._sequence
        )
        self._sequence += 1
        return packet

    def _time_at(self, samples: int) -> int:
        return (self._start_us or 0) + samples * 1_000_000 // SAMPLE_RATE
