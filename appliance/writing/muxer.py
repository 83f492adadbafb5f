"""Packets in, fragmented MP4 out: made by libav, in order, to a writer that cannot seek."""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
from av.container import OutputContainer
from av.stream import Stream

from appliance.camera import AudioTrack, CameraError, Kind, Packet, VideoTrack

FRAGMENT_US = 250_000
# One write per fragment up to this size, so that a sealing writer is fed whole chunks (libav's own default is 32 KiB).
BUFFER_BYTES = 1 << 18
SMALLEST_PADDING = 8  # a box is at least its size and its name (ISO/IEC 14496-12 §4.2)
# A camera is given up when it was silent for a tenth of this: a longer gap is a clock that jumped, and no gap.
LONGEST_GAP_US = 60_000_000

_MICROSECONDS = Fraction(1, 1_000_000)
_ENCODERS = {"aac": "aac", "opus": "libopus"}
_SPS = 7  # NAL unit type of a sequence parameter set (ITU-T H.264 table 7-1)

# Not `delay_moov`: it writes nothing, and holds the whole clip in memory, until every track has had a packet, which a
# dead microphone never has. `frag_discont` keeps the true time of a track whose first packet comes late.
# An interleave delay of 1 µs: libav holds one packet back to sort by time, and never waits longer for the sound.
_OPTIONS = {
    "movflags": "empty_moov+default_base_moof+frag_discont",
    "frag_duration": str(FRAGMENT_US),
    "max_interleave_delta": "1",
    "avoid_negative_ts": "disabled",
}


class Muxer:
    """Writes one clip, whose time begins with its first picture.

    - The first picture is a key frame that `has_parameter_sets`. Sound from before it is left out.
    - Each fragment (about 0.25 s) goes to `write` as soon as its last packet is known; what is cut anywhere plays up
      to the cut. Sound that comes late, pauses or never comes delays no picture and keeps its own time.
    - Where the camera's clock jumps, the clip's goes on: no picture is left out, and no fragment waits.
    - `close` ends the clip with an `mfra` box that lists where every fragment begins and which have a key frame.
    - A packet's bytes are copied: they may be overwritten when `add` returns.
    - When `write` raises, the error passes through and the clip stays cut there; only `abandon` may follow.
      CameraError is raised for what no MP4 can hold; what came before it can still be closed.
    """

    def __init__(self, write: Callable[[bytes], object], video: VideoTrack, audio: AudioTrack | None) -> None:
        self._sink = _Sink(write)
        self._container: OutputContainer = av.open(
            self._sink, "w", format="mp4", buffer_size=BUFFER_BYTES, options=_OPTIONS
        )
        self._picture: Stream = self._container.add_mux_stream(
            "h264", rate=video.frames_per_second, width=video.width, height=video.height, time_base=_MICROSECONDS
        )
        self._sound: Stream | None = _add_sound(self._container, audio) if audio else None
        self._sample_rate = audio.sample_rate if audio else 0
        self._start_us: int | None = None  # the camera's time at which the clip begins
        self._end_us = 0  # the clip's time at which its last picture ends
        self._last_picture = -1
        self._last_sound = -1
        self._pictures = array("q")  # the clip's time of each
        self._key_frames = array("q")

    def add(self, packet: Packet) -> bool:
        """Take a packet, and tell whether a fragment went out with it; raises what `write` raises, or CameraError."""
        before = self._sink.size
        if packet.kind is Kind.VIDEO:
            self._add_picture(packet)
        else:
            self._add_sound(packet)
        return self._sink.size > before > 0  # what goes out with the first packet is the header

    def pad(self, size: int) -> None:
        """Write a `free` box of `size` bytes, at least SMALLEST_PADDING, which every player skips."""
        self._sink.pad(size)

    def close(self) -> None:
        """Write what is held and the index; raises what `write` raises, or CameraError."""
        self._sink.hold()
        try:
            self._container.close()
            self._sink.finish(self._pictures, self._key_frames)
        except av.FFmpegError as error:
            raise _unusable(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go without writing another byte."""
        self._sink.closed = True

    def _add_picture(self, packet: Packet) -> None:
        if self._start_us is None:
            self._start_us = packet.time_us
        moment = packet.time_us - self._start_us
        if not -FRAGMENT_US < moment - self._end_us < LONGEST_GAP_US:
            moment = self._end_us
            self._start_us = packet.time_us - moment
        # Two pictures never share a moment in a file, whatever the camera's clock says.
        self._last_picture = max(moment, self._last_picture + 1)
        self._end_us = self._last_picture + packet.duration_us
        self._pictures.append(self._last_picture)
        if packet.is_key:
            self._key_frames.append(self._last_picture)
        self._mux(packet, self._picture, _MICROSECONDS, self._last_picture, packet.duration_us)

    def _add_sound(self, packet: Packet) -> None:
        if self._sound is None or self._start_us is None or packet.time_us < self._start_us:
            return
        moment_us = packet.time_us - self._start_us
        if abs(moment_us - self._end_us) > LONGEST_GAP_US:
            return
        self._last_sound = max(moment_us * self._sample_rate // 1_000_000, self._last_sound + 1)
        duration = packet.duration_us * self._sample_rate // 1_000_000
        self._mux(packet, self._sound, Fraction(1, self._sample_rate), self._last_sound, duration)

    def _mux(self, packet: Packet, stream: Stream, time_base: Fraction, moment: int, duration: int) -> None:
        # An av.Packet made from our bytes would only borrow them, while libav may still hold it after muxing.
        muxed: av.Packet[Stream] = av.Packet(len(packet.data))
        muxed.update(packet.data)  # type: ignore[arg-type]  # takes any buffer, though its stub says bytes
        muxed.stream = stream
        muxed.time_base = time_base
        muxed.pts = muxed.dts = moment
        muxed.duration = duration
        muxed.is_keyframe = packet.is_key or stream is self._sound
        try:
            self._container.mux_one(muxed)
        except av.FFmpegError as error:
            raise _unusable(error) from error


class _Sink:
    """The file that libav writes to: counts, pads between fragments, and corrects the index for the padding."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.closed = False  # libav asks a file for this before it writes a trailer
        self.size = 0
        self._write = write
        self._held: bytearray | None = None
        self._paddings: list[tuple[int, int]] = []  # where libav believes it is, bytes of padding up to there

    def write(self, data: bytes) -> int:
        if self._held is not None:
            self._held += data
        else:
            self._write(data)
        self.size += len(data)
        return len(data)

    def pad(self, size: int) -> None:
        self._write(struct.pack(">I4s", size, b"free") + bytes(size - SMALLEST_PADDING))
        padded = self._paddings[-1][1] if self._paddings else 0
        self._paddings.append((self.size, padded + size))

    def hold(self) -> None:
        """Keep what comes from now on, the last fragment and the index, until `finish`."""
        self._held = bytearray()

    def finish(self, pictures: Sequence[int], key_frames: Sequence[int]) -> None:
        """Write what was held; the index is told the times of the pictures, of which some are key frames."""
        held, self._held = self._held or bytearray(), None
        if held:
            index_size = int.from_bytes(held[-4:], "big")  # `mfro`, the last box, says how long `mfra` is
            index = memoryview(held)[-index_size:]
            self._correct_index(index)
            _point_at_key_frames(index, pictures, key_frames)
            self._write(bytes(held))

    def _correct_index(self, index: memoryview) -> None:
        """Move each fragment's place in `mfra` (ISO/IEC 14496-12 §8.8.10) by the padding before it."""
        at = 8
        while bytes(index[at + 4 : at + 8]) == b"tfra":
            (size,) = struct.unpack_from(">I", index, at)
            version, _, lengths, entries = struct.unpack_from(">B3xIII", index, at + 8)
            if version != 1 or lengths != 0:
                raise RuntimeError("internal error: libav's mfra box has another layout than ours")
            for entry in range(entries):
                place = at + 24 + entry * 19 + 8
                (offset,) = struct.unpack_from(">Q", index, place)
                struct.pack_into(">Q", index, place, offset + self._padding_before(offset))
            at += size

    def _padding_before(self, offset: int) -> int:
        index = bisect_right(self._paddings, offset, key=lambda padding: padding[0])
        return self._paddings[index - 1][1] if index else 0


def _point_at_key_frames(index: memoryview, pictures: Sequence[int], key_frames: Sequence[int]) -> None:
    """Let each entry of the video's `tfra`, the first, state time and sample number of its fragment's first key frame.

    That is what the standard wants; libav lists every fragment as if it began with one. A fragment without any keeps
    its time and gets the sample number 0, which no sample has: whoever jumps about must know all fragments.
    """
    (entries,) = struct.unpack_from(">I", index, 28)
    for entry in range(entries):
        place = 32 + entry * 19
        (begins,) = struct.unpack_from(">Q", index, place)
        (ends,) = struct.unpack_from(">Q", index, place + 19) if entry + 1 < entries else (pictures[-1] + 1,)
        found = bisect_left(key_frames, begins)
        if found < len(key_frames) and key_frames[found] < ends:
            key_frame = key_frames[found]
            number = bisect_left(pictures, key_frame) - bisect_left(pictures, begins) + 1
            struct.pack_into(">Q", index, place, key_frame)
            index[place + 18] = min(number, 255)
        else:
            index[place + 18] = 0


def _unusable(error: av.FFmpegError) -> CameraError:
    return CameraError(f"The camera gives what no clip can hold ({error.strerror}): have IT look at it.")


def _add_sound(container: OutputContainer, audio: AudioTrack) -> Stream:
    # PyAV hands over a codec's extradata only from an encoder: this one is opened to carry it, and encodes nothing.
    stream = container.add_stream(
        _ENCODERS[audio.codec],
        rate=audio.sample_rate,
        layout="mono" if audio.channels == 1 else "stereo",
        time_base=Fraction(1, audio.sample_rate),
    )
    stream.codec_context.open()
    stream.codec_context.extradata = audio.config
    return stream


def has_parameter_sets(data: bytearray) -> bool:
    """Tell whether a key frame brings what a decoder needs to begin: an SPS, never far from its first byte."""
    at = data.find(b"\x00\x00\x01", 0, 256)
    while 0 <= at < len(data) - 3:
        if data[at + 3] & 0x1F == _SPS:
            return True
        at = data.find(b"\x00\x00\x01", at + 3, at + 259)
    return False
