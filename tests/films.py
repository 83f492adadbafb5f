"""Clips as the unit's own muxer writes them, unsealed, and the file that the dock makes of one for players."""

import io
import struct
from collections.abc import Sequence
from functools import cache

from appliance.camera import AudioTrack, Packet
from appliance.writing.muxer import Muxer
from dock_station.playback.virtual_mp4 import VirtualMp4
from tests.recording import VIDEO, in_order, pictures, sound


class Content:
    """An MP4 in memory that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)
        self.bytes_read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        piece = self.content[offset : offset + length]
        self.bytes_read += len(piece)
        return piece


def muxed(packets: Sequence[Packet], audio: AudioTrack | None = None, *, pad_every: int = 0) -> bytes:
    written = io.BytesIO()
    muxer = Muxer(written.write, VIDEO, audio)
    fragments = 0
    for packet in packets:
        fragments += muxer.add(packet)
        if pad_every and fragments >= pad_every:
            muxer.pad(5000)
            fragments = 0
    muxer.close()
    return written.getvalue()


@cache
def silent() -> bytes:
    return muxed(pictures(8))


@cache
def padded() -> bytes:
    return muxed(pictures(8), pad_every=2)


@cache
def with_sound() -> bytes:
    track, packets = sound(8)
    return muxed(in_order(pictures(8), packets), track, pad_every=3)


@cache
def with_late_sound() -> bytes:
    track, packets = sound(3, start_us=5_000_000)
    return muxed(in_order(pictures(8), packets), track)


@cache
def with_lost_pictures() -> bytes:
    packets = pictures(8)
    return muxed([*packets[:40], *packets[55:151], *packets[180:]])


def virtual(mp4: bytes, piece: int = 1 << 20) -> bytes:
    film = VirtualMp4(Content(mp4))
    return b"".join(film.read(start, piece) for start in range(0, film.size, piece))


def places(mp4: bytes, name: bytes) -> list[int]:
    found, at = [], 0
    while at < len(mp4):
        (size,) = struct.unpack_from(">I", mp4, at)
        if mp4[at + 4 : at + 8] == name:
            found.append(at)
        at += size
    return found
