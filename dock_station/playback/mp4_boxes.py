"""The few boxes of a fragmented MP4 that tell when its pictures are shown, and which are key frames (ISO 14496-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from evidence.errors import NotGenuineError

BOX = struct.Struct(">I4s")  # size, name
MAX_SAMPLES = 1 << 16  # in one `trun` box; a unit's has a quarter of a second, and a count alone takes no bytes
_IS_NOT_KEY_FRAME = 0x0001_0000  # sample_is_non_sync_sample, §8.8.3.1
_FIELDS = ((0x100, "duration"), (0x200, "size"), (0x400, "flags"), (0x800, "delay"))


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


class Sample(NamedTuple):
    """One picture, or one frame of sound: how long it lasts, its bytes and flags, and how late it is shown."""

    duration: int = 0
    size: int = 0
    flags: int = 0
    delay: int = 0


@dataclass(frozen=True)
class Track:
    """The number of one of the clip's tracks, its units of time a second, and what a sample is by default."""

    number: int
    time_scale: int
    default: Sample


@dataclass(frozen=True)
class Run:
    """What one `trun` box says: samples one after the other, in time and in the file.

    `time` is that of the first, in the track's time scale; `offset`, how far from the `moof` box they are stored.
    """

    time: int
    offset: int
    samples: tuple[Sample, ...]

    @property
    def ends_at(self) -> int:
        """When the last one ends."""
        return self.time + sum(sample.duration for sample in self.samples)


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
    except (struct.error, IndexError) as error:
        raise NotPlayableError("its description is damaged") from error
    if picture is None:
        raise NotPlayableError("it has no picture")
    return picture, sound


def pictures(moof: bytes, video: Track) -> Pictures | None:
    """Read a whole `moof` box; None for a fragment of sound alone. Raises NotPlayableError."""
    try:
        found = list(runs(moof, video))
    except (struct.error, IndexError) as error:
        raise NotPlayableError("a fragment is damaged") from error
    if not found:
        return None
    key_frame = next((time for run in found for time in _key_frames(run)), None)
    time = found[0].time if key_frame is None else key_frame
    return Pictures(time, found[-1].ends_at, has_key_frame=key_frame is not None)


def _key_frames(run: Run) -> Iterator[int]:
    """Yield the time of each key frame."""
    clock = run.time
    for sample in run.samples:
        if not sample.flags & _IS_NOT_KEY_FRAME:
            yield clock
        clock += sample.duration


def runs(moof: bytes, track: Track) -> Iterator[Run]:
    """Yield the runs of a track in a whole `moof` box that have samples.

    Raises struct.error or IndexError for what is damaged, and for samples whose place is not said.
    """
    for traf in children(moof, Box(BOX.size, len(moof)), b"traf"):
        tfhd = child(moof, traf, b"tfhd")
        flags, number = struct.unpack_from(">II", moof, tfhd.start)
        if number != track.number:
            continue
        default = _default(moof, tfhd, flags, track)
        clock = None
        for trun in children(moof, traf, b"trun"):
            if clock is None:
                tfdt = child(moof, traf, b"tfdt")
                (clock,) = struct.unpack_from(">Q" if moof[tfdt.start] else ">I", moof, tfdt.start + 4)
            run = Run(clock, _offset(moof, trun, flags), tuple(_samples(moof, trun, default)))
            clock = run.ends_at
            if run.samples:
                yield run


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


def child(content: bytes | bytearray, parent: Box, name: bytes) -> Box:
    """Return the first box of a name directly inside another; raises struct.error where there is none that fits."""
    for box in children(content, parent, name):
        return box
    raise struct.error


def _track(header: bytes, moov: Box, kind: bytes) -> Track | None:
    for trak in children(header, moov, b"trak"):
        mdia = child(header, trak, b"mdia")
        hdlr = child(header, mdia, b"hdlr")
        if header[hdlr.start + 8 : hdlr.start + 12] != kind:
            continue
        tkhd = child(header, trak, b"tkhd")
        mdhd = child(header, mdia, b"mdhd")
        (track,) = struct.unpack_from(">I", header, tkhd.start + (20 if header[tkhd.start] else 12))
        (scale,) = struct.unpack_from(">I", header, mdhd.start + (20 if header[mdhd.start] else 12))
        if scale == 0:
            break
        mvex = child(header, moov, b"mvex")
        for trex in children(header, mvex, b"trex"):
            trex_track, _, duration, size, flags = struct.unpack_from(">IIIII", header, trex.start + 4)
            if trex_track == track:
                return Track(track, scale, Sample(duration, size, flags))
    return None


def _default(moof: bytes, tfhd: Box, flags: int, track: Track) -> Sample:
    """Return what a sample of a fragment is by default, §8.8.7."""
    at = tfhd.start + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    sample = track.default
    for bit, name in ((0x8, "duration"), (0x10, "size"), (0x20, "flags")):
        if flags & bit:
            (value,) = struct.unpack_from(">I", moof, at)
            sample = sample._replace(**{name: value})
            at += 4
    return sample


def _offset(moof: bytes, trun: Box, tfhd_flags: int) -> int:
    """Return how far from the `moof` box the samples of a `trun` box are stored."""
    flags, _, offset = struct.unpack_from(">IIi", moof, trun.start)
    if not flags & 0x1 or tfhd_flags & 0x1 or not tfhd_flags & 0x2_0000:
        raise struct.error
    return int(offset)


def _samples(moof: bytes, trun: Box, default: Sample) -> Iterator[Sample]:
    """Yield the samples of a `trun` box, §8.8.8."""
    flags, count = struct.unpack_from(">II", moof, trun.start)
    if count > MAX_SAMPLES:
        raise struct.error
    at = trun.start + 8 + (4 if flags & 0x1 else 0)
    first_flags = None
    if flags & 0x4:
        (first_flags,) = struct.unpack_from(">I", moof, at)
        at += 4
    delay = "i" if moof[trun.start] else "I"
    fields = [name for bit, name in _FIELDS if flags & bit]
    numbers = struct.Struct(">" + "".join(delay if name == "delay" else "I" for name in fields))
    for number in range(count):
        sample = default._replace(**dict(zip(fields, numbers.unpack_from(moof, at), strict=True)))
        at += numbers.size
        yield sample if number or first_flags is None else sample._replace(flags=first_flags)
