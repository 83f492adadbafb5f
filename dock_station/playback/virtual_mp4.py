"""A clip's MP4 as players want it, `ftyp moov sidx fragments`, made out of the stored one as it is read."""

import struct
from bisect import bisect_right

from dock_station.playback.mp4_index import index_of
from dock_station.playback.source import Source


class VirtualMp4:
    """A file that nobody stores; reading it reads those bytes of the source that it is made of.

    It differs from the stored MP4 in four things. An index of all fragments stands before them. The box at the end,
    which players do not read, is gone. The padding between fragments belongs to the fragment before it, because
    libavformat, which Chromium plays with, reads a fragment twice that does not begin where the one before it ends.
    And the last fragments, from one with a key frame on, are one, so that a jump to the very end finds a picture; what
    is stored of it stands here one track after the other.
    """

    def __init__(self, source: Source) -> None:
        """Find the fragments of a clip; raises NotPlayableError, or what reading the source raises."""
        index = index_of(source)
        self._source = source
        self._head = index.header + index.sidx()
        self._tail = index.tail
        self._offsets = [fragment.offset for fragment in index.fragments]
        # Where the second and the third part begin here: head, fragments, tail.
        self._fragments_at = len(self._head)
        self._tail_at = self._fragments_at + self._offsets[-1] - self._offsets[0]
        self.size = self._tail_at + self._tail.size
        self.seconds = index.seconds

    def read(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes, fewer only at the end; raises what reading the source raises."""
        end = min(start + length, self.size)
        pieces = [self._head[start:end]]
        if start < self._tail_at and end > self._fragments_at:
            shift = self._offsets[0] - self._fragments_at
            pieces.append(self._fragments(max(start, self._fragments_at) + shift, min(end, self._tail_at) + shift))
        if end > self._tail_at:
            pieces.append(self._tail.read(self._source, max(0, start - self._tail_at), end - self._tail_at))
        return b"".join(filter(None, pieces))

    def _fragments(self, start: int, end: int) -> bytes:
        """Read a stretch of the source, and let each `mdat` box in it last up to the next fragment."""
        stored = self._source.read_at(start, end - start)
        changed: bytearray | None = None
        number = bisect_right(self._offsets, start) - 1
        while self._offsets[number] < end:
            mdat = self._offsets[number] + self._moof_size(self._offsets[number], start, stored)
            size = struct.pack(">I", self._offsets[number + 1] - mdat)
            first, last = max(mdat, start), min(mdat + len(size), end)
            if first < last and stored[first - start : last - start] != size[first - mdat : last - mdat]:
                changed = changed or bytearray(stored)
                changed[first - start : last - start] = size[first - mdat : last - mdat]
            number += 1
        return stored if changed is None else bytes(changed)

    def _moof_size(self, offset: int, start: int, stored: bytes) -> int:
        inside = stored[offset - start : offset - start + 4] if offset >= start else b""
        size = inside if len(inside) == 4 else self._source.read_at(offset, 4)
        return int.from_bytes(size, "big")
