"""A clip's last fragments as one: a `moof` box with one run of samples for each track, and where those are stored."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from dock_station.playback.mp4_boxes import (
    BOX,
    MAX_SAMPLES,
    Box,
    NotPlayableError,
    Run,
    Sample,
    Track,
    child,
    runs,
)
from dock_station.playback.source import Source

_DEFAULT_BASE_IS_MOOF = 0x02_0000  # of a `tfhd` box, §8.8.7.1
_TRUN_VERSION_AND_FLAGS = 0x0100_0F01  # where the samples are, and all four numbers of each, §8.8.8.1
_SAMPLE = struct.Struct(">IIIi")


@dataclass(frozen=True)
class Stretch:
    """Some bytes of the stored file."""

    offset: int
    length: int


@dataclass(frozen=True)
class Tail:
    """The one fragment: `head` is made, up to the head of `mdat`; behind it comes what is stored, in this order."""

    head: bytes
    stretches: tuple[Stretch, ...]

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.head) + sum(stretch.length for stretch in self.stretches)

    def read(self, source: Source, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, and not with, `end`; raises what reading the source raises."""
        pieces = [self.head[start:end]]
        at = len(self.head)
        for stretch in self.stretches:
            first, last = max(start, at), min(end, at + stretch.length)
            if first < last:
                pieces.append(source.read_at(stretch.offset + first - at, last - first))
            at += stretch.length
        return b"".join(pieces)


def joined(moofs: Sequence[tuple[int, bytes]], tracks: Sequence[Track]) -> Tail:
    """Make one fragment of one or several, of each the place and the `moof` box; raises NotPlayableError.

    One run for each track, for of several in one `moof` box libavformat remembers only where the last one is: what it
    reads later of the part before, after a jump back, it would put into the middle of them, and show at a wrong time.
    One run is stored in one piece, so first comes all that is stored of one track, then of the next.

    Before its `mdat` stands an empty `moof` box that no index names. Without it, this fragment is the last that
    libavformat knows: after a jump away and back here it goes on looking for the fragment behind the part that it
    played in between, and plays that.
    """
    try:
        found = [(track, [(at, run) for at, moof in moofs for run in runs(moof, track)]) for track in tracks]
        trafs = [_Traf(track, placed) for track, placed in found if placed]
        mfhd = _mfhd(moofs[0][1])
        empty = BOX.pack(BOX.size + len(mfhd), b"moof") + mfhd
        moof_size = len(empty) + sum(traf.size for traf in trafs)
        samples_at = moof_size + len(empty) + BOX.size
        boxes = [BOX.pack(moof_size, b"moof"), mfhd]
        for traf in trafs:
            boxes.append(traf.packed(samples_at))
            samples_at += traf.samples_size
        boxes += [empty, BOX.pack(BOX.size + sum(traf.samples_size for traf in trafs), b"mdat")]
    except (struct.error, IndexError) as error:
        raise NotPlayableError("a fragment is damaged") from error
    return Tail(b"".join(boxes), tuple(chain.from_iterable(traf.stretches for traf in trafs)))


class _Traf:
    """A `traf` box with all runs of a track as one, given each with the place of its `moof` box."""

    def __init__(self, track: Track, placed: Sequence[tuple[int, Run]]) -> None:
        self.stretches = [Stretch(at + run.offset, sum(sample.size for sample in run.samples)) for at, run in placed]
        self.samples_size = sum(stretch.length for stretch in self.stretches)
        self._samples = _in_one_run([run for _, run in placed])
        self._tfhd = BOX.pack(BOX.size + 8, b"tfhd") + struct.pack(">II", _DEFAULT_BASE_IS_MOOF, track.number)
        self._tfdt = BOX.pack(BOX.size + 12, b"tfdt") + struct.pack(">B3xQ", 1, placed[0][1].time)
        self._trun_size = BOX.size + 12 + _SAMPLE.size * len(self._samples)
        self.size = BOX.size + len(self._tfhd) + len(self._tfdt) + self._trun_size

    def packed(self, samples_at: int) -> bytes:
        trun = BOX.pack(self._trun_size, b"trun")
        trun += struct.pack(">IIi", _TRUN_VERSION_AND_FLAGS, len(self._samples), samples_at)
        samples = b"".join(_SAMPLE.pack(*sample) for sample in self._samples)
        return BOX.pack(self.size, b"traf") + self._tfhd + self._tfdt + trun + samples


def _in_one_run(pieces: Sequence[Run]) -> list[Sample]:
    """Return the samples of all runs; the last before a gap lasts up to its end, so that each keeps its own time."""
    samples: list[Sample] = []
    for run, following in zip(pieces, [*pieces[1:], None], strict=True):
        samples += run.samples
        if len(samples) > MAX_SAMPLES:
            raise struct.error
        if following:
            last = samples[-1]
            samples[-1] = last._replace(duration=last.duration + following.time - run.ends_at)
    return samples


def _mfhd(moof: bytes) -> bytes:
    mfhd = child(moof, Box(BOX.size, len(moof)), b"mfhd")
    return moof[mfhd.start - BOX.size : mfhd.end]
