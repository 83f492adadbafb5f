"""The few boxes of a fragmented MP4 that tell when its pictures are shown, and which are key frames (ISO 14496-12)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evidence.errors import NotGenuineError

BOX = struct.Struct(">I4s")  # size, name
MAX_SAMPLES = 1 << 16  # in one `trun` box; a unit's has a quarter of a second, and a count alone takes no bytes
_IS_NOT_KEY_FRAME = 0x0001_0000  # sample_is_non_sync_sample, §8.8.3.1


class NotPlayableError(NotGenuineError):
    """What was sealed is no MP4 of a unit, or was cut before its first fragment was whole."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"This clip cannot be played: {reason}; 'mirrorcam-clip open' gives out what it holds.")


@dataclass(frozen=True)
class Box:
    """Where the content of a box is."""

    start: int
    end: int


@dataclass(frozen=True)
class Track:
    """The number of one of the clip's tracks, its units of time a second, and how long a sample lasts by default."""

    number: int
    time_scale: int
    default_duration: int


@dataclass(frozen=True)
class Pictures:
    """What a fragment has of the video track, in the track's time scale.

    `time` is that of its first key frame, or without one that of its first picture; `ends_at`, when its last one ends.
    """

    time: int
    ends_at: int
    has_key_frame: bool


def tracks(header: bytes, moov: Box) -> tuple[Track, Track | None]:
    """Find the tracks of picture and sound in a `moov` box; raises NotPlayableError where there is no picture."""
    try:
        picture, sound = _track(header, moov, b"vide"), _track(header, moov, b"soun")
    except (struct.error, StopIteration, IndexError) as error:
        raise NotPlayableError("its description is damaged") from error
    if picture is None:
        raise NotPlayableError("it has no picture")
    return picture, sound


def pictures(moof: bytes, video: Track) -> Pictures | None:
    """Read a whole `moof` box; None for a fragment of sound alone. Raises NotPlayableError."""
    try:
        for traf in children(moof, Box(BOX.size, len(moof)), b"traf"):
            found = _read_traf(moof, traf, video)
            if found:
                return found
    except (struct.error, StopIteration, IndexError) as error:
        raise NotPlayableError("a fragment is damaged") from error
    return None


def joined(moofs: Sequence[tuple[int, bytes]]) -> bytes:
    """Make one `moof` box of several, each given with its distance from the first; raises NotPlayableError.

    It is to stand before the first of them, with the head of an `mdat` box between, to which all that is stored from
    there on then belongs.
    """
    try:
        bodies = [bytearray(moof[BOX.size :] if distance == 0 else _trafs(moof)) for distance, moof in moofs]
        size = BOX.size + sum(map(len, bodies))
        for (distance, _), body in zip(moofs, bodies, strict=True):
            for traf in children(body, Box(0, len(body)), b"traf"):
                for trun in children(body, traf, b"trun"):
                    flags, _, offset = struct.unpack_from(">IIi", body, trun.start)
                    if not flags & 0x1:
                        raise struct.error
                    struct.pack_into(">i", body, trun.start + 8, size + BOX.size + distance + offset)
    except struct.error as error:
        raise NotPlayableError("a fragment is damaged") from error
    return BOX.pack(size, b"moof") + b"".join(bodies)


def _trafs(moof: bytes) -> bytes:
    found = children(moof, Box(BOX.size, len(moof)), b"traf")
    return b"".join(moof[traf.start - BOX.size : traf.end] for traf in found)


def children(content: bytes | bytearray, parent: Box, name: bytes) -> Iterator[Box]:
    """Yield the boxes of one name directly inside another; raises struct.error where a box does not fit."""
    at = parent.start
    while at < parent.end:
        size, found = BOX.unpack_from(content, at)
        if size < BOX.size or at + size > parent.end:
            raise struct.error
        if found == name:
            yield Box(at + BOX.size, at + size)
        at += size


def _track(header: bytes, moov: Box, kind: bytes) -> Track | None:
    for trak in children(header, moov, b"trak"):
        mdia = next(children(header, trak, b"mdia"))
        hdlr = next(children(header, mdia, b"hdlr"))
        if header[hdlr.start + 8 : hdlr.start + 12] != kind:
            continue
        tkhd = next(children(header, trak, b"tkhd"))
        mdhd = next(children(header, mdia, b"mdhd"))
        (track,) = struct.unpack_from(">I", header, tkhd.start + (20 if header[tkhd.start] else 12))
        (scale,) = struct.unpack_from(">I", header, mdhd.start + (20 if header[mdhd.start] else 12))
        if scale == 0:
            break
        mvex = next(children(header, moov, b"mvex"))
        for trex in children(header, mvex, b"trex"):
            trex_track, _, duration = struct.unpack_from(">III", header, trex.start + 4)
            if trex_track == track:
                return Track(track, scale, duration)
    return None


def _read_traf(moof: bytes, traf: Box, video: Track) -> Pictures | None:
    """Read the times and key frames of the video track; None for another track's."""
    tfhd = next(children(moof, traf, b"tfhd"))
    flags, track = struct.unpack_from(">II", moof, tfhd.start)
    if track != video.number:
        return None
    at = tfhd.start + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    duration, default_flags = video.default_duration, 0
    if flags & 0x8:
        (duration,) = struct.unpack_from(">I", moof, at)
        at += 4
    at += 4 if flags & 0x10 else 0
    if flags & 0x20:
        (default_flags,) = struct.unpack_from(">I", moof, at)
    tfdt = next(children(moof, traf, b"tfdt"))
    (time,) = struct.unpack_from(">Q" if moof[tfdt.start] else ">I", moof, tfdt.start + 4)
    first_key = None
    clock = time
    for trun in children(moof, traf, b"trun"):
        for sample_duration, sample_flags in _samples(moof, trun, duration, default_flags):
            if first_key is None and not sample_flags & _IS_NOT_KEY_FRAME:
                first_key = clock
            clock += sample_duration
    return Pictures(time if first_key is None else first_key, clock, has_key_frame=first_key is not None)


def _samples(moof: bytes, trun: Box, duration: int, default_flags: int) -> Iterator[tuple[int, int]]:
    """Yield duration and flags of each sample of a `trun` box, §8.8.8."""
    flags, count = struct.unpack_from(">II", moof, trun.start)
    if count > MAX_SAMPLES:
        raise struct.error
    at = trun.start + 8 + (4 if flags & 0x1 else 0)
    first_flags = None
    if flags & 0x4:
        (first_flags,) = struct.unpack_from(">I", moof, at)
        at += 4
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    for number in range(count):
        values = dict(zip(fields, struct.unpack_from(f">{len(fields)}I", moof, at), strict=True))
        at += 4 * len(fields)
        sample_flags = values.get(0x400, default_flags)
        if number == 0 and first_flags is not None:
            sample_flags = first_flags
        yield values.get(0x100, duration), sample_flags
