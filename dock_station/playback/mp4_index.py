"""Where a clip's fragments are, found by reading few of its bytes, and the index by which a player jumps to them."""

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dock_station.playback.mp4_boxes import (
    BOX,
    Box,
    NotPlayableError,
    Pictures,
    Track,
    children,
    pictures,
    tracks,
)
from dock_station.playback.mp4_tail import Tail, joined
from dock_station.playback.source import Source

_TFRA = struct.Struct(">B3xIII")  # §8.8.10: version, track, lengths of the three numbers, count of entries
_TFRA_ENTRY = struct.Struct(">QQBBB")  # version 1 with lengths of one byte, as the unit writes it
_SIDX_HEAD = struct.Struct(">I4sIIIQQHH")  # §8.16.3, version 1
_SIDX_REFERENCE = struct.Struct(">III")
MAX_REFERENCES = 0xFFFF  # the count has 16 bits; a longer clip gets several boxes, each pointing over those after it
_STARTS_WITH_KEY_FRAME = 0x9000_0000  # starts_with_SAP, SAP_type 1

MAX_MOOV = 1 << 20
MAX_MOOF = 1 << 20
MAX_MFRA = 1 << 24  # some 30 hours
MAX_BOXES = 1 << 20  # four times what the longest clip that a policy allows (720 minutes) has with padding
# Bytes of `moof` boxes behind the last key frame: of over ten minutes. A unit's key frames come once in four fragments,
# and of sound alone, when its camera is silent, a clip takes a minute.
MAX_TAIL = 1 << 21


@dataclass(frozen=True)
class Fragment:
    """One `moof` with its `mdat`.

    `time` is that of its first key frame, or without one that of its first picture, in the video track's time scale.
    """

    offset: int
    time: int
    has_key_frame: bool


@dataclass(frozen=True)
class Index:
    """What a player must know of a clip: the part before the fragments, and where those are and how long they play.

    `tail` stands in the place of the last fragment of the list and of all behind it, up to `fragments_end`.
    """

    header: bytes
    fragments: tuple[Fragment, ...]
    tail: Tail
    fragments_end: int
    ends_at: int  # when the last picture ends, in the video track's time scale
    video: Track
    sound: Track | None

    @property
    def seconds(self) -> float:
        """How long the clip plays."""
        return self.ends_at / self.video.time_scale

    def sidx(self) -> bytes:
        """Return the index of all fragments for each track, to stand between header and fragments.

        libavformat, which Chromium plays with, looks a time up here, reads that one fragment and looks for a key frame
        in it; it finds none in most, for key frames come once in four fragments. So a fragment with a key frame is said
        to last from that key frame up to the next one, and those in between to last no time: none is ever jumped to,
        and each is passed through. It must be one fragment to a reference, or libavformat skips the others.

        The sound has an index of its own that says the same: without one, libavformat 63 takes sound of which it does
        not know where it is for sound at the clip's beginning, and after a jump reads all fragments from there on.
        """
        boxes = b""
        for track in (self.sound, self.video):
            boxes = self._sidx(track, len(boxes)) + boxes if track else boxes
        return boxes

    def _sidx(self, track: Track, behind: int) -> bytes:
        """Return the index for one track, when so many bytes stand between it and the fragments."""
        groups = [
            range(start, min(start + MAX_REFERENCES, len(self.fragments)))
            for start in range(0, len(self.fragments), MAX_REFERENCES)
        ]
        starts = [start * track.time_scale // self.video.time_scale for start in self._starts()]
        sizes = [_SIDX_HEAD.size + _SIDX_REFERENCE.size * len(group) for group in groups]
        boxes = []
        for number, group in enumerate(groups):
            distance = sum(sizes[number + 1 :]) + behind
            boxes.append(
                _SIDX_HEAD.pack(
                    sizes[number],
                    b"sidx",
                    1 << 24,
                    track.number,
                    track.time_scale,
                    min(starts[group.start], 0xFFFF_FFFF_FFFF_FFFF),
                    distance + self.fragments[group.start].offset - self.fragments[0].offset,
                    0,
                    len(group),
                )
            )
            boxes += [self._reference(index, starts) for index in group]
        return b"".join(boxes)

    def _starts(self) -> list[int]:
        """Return when each fragment is said to begin, and behind the last when that ends, in the video's time scale."""
        starts = [self.ends_at] * (len(self.fragments) + 1)
        for index in reversed(range(len(self.fragments))):
            fragment = self.fragments[index]
            is_first = index == 0  # a clip begins with a key frame, whatever its index says
            starts[index] = fragment.time if fragment.has_key_frame or is_first else starts[index + 1]
        return starts

    def _reference(self, index: int, starts: list[int]) -> bytes:
        if index + 1 < len(self.fragments):
            size = self.fragments[index + 1].offset - self.fragments[index].offset
        else:
            size = self.tail.size
        duration = max(0, starts[index + 1] - starts[index])
        flags = _STARTS_WITH_KEY_FRAME if self.fragments[index].has_key_frame else 0
        return _SIDX_REFERENCE.pack(size & 0x7FFF_FFFF, min(duration, 0xFFFF_FFFF), flags)


def index_of(source: Source) -> Index:
    """Find the fragments: by the `mfra` box at the end, or without one by going from fragment to fragment.

    Raises NotPlayableError, or what reading raises.
    """
    header, video, sound = _read_header(source)
    fragments, end = _listed(source, video, len(header)) or _walked(source, video, len(header))
    for fragment in reversed(fragments):
        last, _ = _read_moof(source, fragment.offset, video)
        if last:
            listed, tail = _with_tail(source, fragments, [track for track in (video, sound) if track])
            return Index(header, listed, tail, end, last.ends_at, video, sound)
    raise NotPlayableError("it was cut before its first fragment was whole")


def _with_tail(source: Source, fragments: list[Fragment], tracks: Sequence[Track]) -> tuple[tuple[Fragment, ...], Tail]:
    """Make one fragment of the last that has a key frame and those behind it.

    After those no key frame comes that could end their time, so a jump to the clip's very end would lead to the last,
    and what a player does without a key frame there nobody knows. Raises NotPlayableError where they are too many.
    """
    start = next((at for at in reversed(range(len(fragments))) if fragments[at].has_key_frame), 0)
    moofs = []
    left = MAX_TAIL
    for fragment in fragments[start:]:
        size, _ = _box_at(source, fragment.offset)
        left -= size
        if left < 0:
            raise NotPlayableError("it goes on for too long after its last key frame")
        moofs.append((fragment.offset, source.read_at(fragment.offset, size)))
    return tuple(fragments[: start + 1]), joined(moofs, tracks)


def _read_header(source: Source) -> tuple[bytes, Track, Track | None]:
    """Read everything before the first fragment."""
    at = 0
    size, name = _box_at(source, at)
    while name in {b"ftyp", b"free"} and at < MAX_MOOV:
        at += size
        size, name = _box_at(source, at)
    if name != b"moov":
        raise NotPlayableError("it does not begin as an MP4 does")
    if size > MAX_MOOV or at + size > source.size:
        raise NotPlayableError("its description is cut or too long")
    header = source.read_at(0, at + size)
    return header, *tracks(header, Box(at + BOX.size, at + size))


def _listed(source: Source, video: Track, header_size: int) -> tuple[list[Fragment], int] | None:
    """Read the fragments from the `mfra` box that ends a whole clip; None where there is none that fits."""
    ending = source.read_at(max(0, source.size - 16), 16)  # `mfro`, §8.8.11
    size = int.from_bytes(ending[12:], "big") if ending[4:8] == b"mfro" else 0
    start = source.size - size
    if not 24 <= size <= MAX_MFRA or start < header_size:
        return None
    mfra = source.read_at(start, size)
    try:
        fragments = _entries(mfra, video)
    except struct.error:
        return None
    places = [header_size - 1, *(fragment.offset for fragment in fragments), start]
    if len(fragments) == 0 or any(before >= after for before, after in itertools.pairwise(places)):
        return None
    return fragments, start


def _entries(mfra: bytes, video: Track) -> list[Fragment]:
    """Read the entries of all tracks, for a fragment may have but one; raises struct.error for another layout.

    An entry whose sample number is 0, which no sample has, is the unit's word for a fragment without a key frame.
    """
    found: dict[int, Fragment] = {}
    for tfra in children(mfra, Box(BOX.size, len(mfra)), b"tfra"):
        version, track, lengths, count = _TFRA.unpack_from(mfra, tfra.start)
        entries = memoryview(mfra)[tfra.start + _TFRA.size : tfra.end]
        if version != 1 or lengths != 0 or len(entries) != count * _TFRA_ENTRY.size:
            raise struct.error
        for time, offset, _, _, sample in _TFRA_ENTRY.iter_unpack(entries):
            if track == video.number:
                found[offset] = Fragment(offset, time, sample > 0)
            else:
                found.setdefault(offset, Fragment(offset, 0, has_key_frame=False))
    return [found[offset] for offset in sorted(found)]


def _walked(source: Source, video: Track, at: int) -> tuple[list[Fragment], int]:
    """Go from fragment to fragment up to the last whole one."""
    fragments: list[Fragment] = []
    end = at
    boxes = 0
    while at + BOX.size <= source.size:
        boxes += 1
        if boxes > MAX_BOXES:
            raise NotPlayableError("it has more boxes than a clip of a unit")
        size, name = _box_at(source, at)
        if name == b"moof" and at + size + BOX.size <= source.size:
            seen, mdat_at = _read_moof(source, at, video)
            mdat_size, mdat = _box_at(source, mdat_at)
            if mdat != b"mdat" or mdat_at + mdat_size > source.size:
                break
            fragments.append(Fragment(at, seen.time if seen else 0, seen is not None and seen.has_key_frame))
            end = at = mdat_at + mdat_size
        elif name == b"free":
            at += size
        else:
            break
    return fragments, end


def _read_moof(source: Source, at: int, video: Track) -> tuple[Pictures | None, int]:
    """Return what a fragment has of the video track, and where its `moof` box ends."""
    size, name = _box_at(source, at)
    if name != b"moof" or size > MAX_MOOF:
        raise NotPlayableError("its index points beside its fragments")
    return pictures(source.read_at(at, size), video), at + size


def _box_at(source: Source, at: int) -> tuple[int, bytes]:
    head = source.read_at(at, BOX.size)
    if len(head) < BOX.size:
        raise NotPlayableError("it was cut before its first fragment was whole")
    size, name = BOX.unpack(head)
    if size < BOX.size:
        raise NotPlayableError("one of its boxes has an impossible size")
    return size, name
