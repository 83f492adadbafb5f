"""H.264 in software: pictures of one size become packets that can be decoded from any key frame."""

from fractions import Fraction

import av
from av.video.frame import PictureType, VideoFrame

from appliance.camera import Kind, Packet

MICROSECONDS = Fraction(1, 1_000_000)
_KEY_FRAME_INTERVAL_US = 1_000_000
# The next faster preset takes half the time and spends a quarter more bits on the same picture: it has no deblocking
# and no CABAC.
_PRESET = "superfast"


class PictureEncoder:
    """Encodes each picture at once, without looking ahead: one picture in, one packet out.

    The packets are Annex B; each key frame has SPS and PPS before it, and there is one at least each second. No second
    of video is much larger than `bits_per_second` allows.
    """

    def __init__(self, *, width: int, height: int, frames_per_second: int, bits_per_second: int) -> None:
        self._duration_us = 1_000_000 // frames_per_second
        self._newest_us: int | None = None
        self._newest_key_us = 0
        self._codec = av.CodecContext.create("libx264", "w")
        self._codec.width = width
        self._codec.height = height
        self._codec.pix_fmt = "yuv420p"
        self._codec.time_base = MICROSECONDS
        self._codec.framerate = Fraction(frames_per_second)
        self._codec.bit_rate = bits_per_second
        self._codec.max_b_frames = 0
        self._codec.thread_count = 0
        self._codec.options = {
            "preset": _PRESET,
            "tune": "zerolatency",
            "maxrate": str(bits_per_second),
            "bufsize": str(bits_per_second),
            "g": str(frames_per_second),
            "sc_threshold": "0",
        }
        self._codec.open()

    def encode(self, picture: VideoFrame, *, time_us: int, sequence: int, as_key_frame: bool = False) -> list[Packet]:
        """Encode a yuv420p `picture`; `time_us` must be later than the last one's. Raises av.FFmpegError."""
        picture.pts = time_us
        picture.time_base = MICROSECONDS
        # A decoded picture still carries the type it had in its file, and x264 would obey that.
        picture.pict_type = PictureType.I if as_key_frame or self._is_key_due(time_us) else PictureType.NONE
        return [self._packet(encoded, sequence) for encoded in self._codec.encode(picture)]

    def _is_key_due(self, time_us: int) -> bool:
        """Say whether the next picture, coming after as long a time as this one, would be too late for a key frame.

        x264 counts pictures, but they may come slower than announced.
        """
        if self._newest_us is None:
            return False
        following_us = 2 * time_us - self._newest_us
        return following_us - self._newest_key_us > _KEY_FRAME_INTERVAL_US

    def _packet(self, encoded: "av.Packet[av.VideoStream]", sequence: int) -> Packet:
        time_us = self._newest_us = encoded.pts or 0
        if encoded.is_keyframe:
            self._newest_key_us = time_us
        return Packet(Kind.VIDEO, bytearray(encoded), encoded.is_keyframe, time_us, self._duration_us, sequence)
