"""Playback of a clip of one hour at the dock: opening it, a range of 1 MiB, a jump, and what players read first."""

import os
import random
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import av

from appliance.camera import VideoTrack
from appliance.writing.muxer import Muxer
from dock_station import journal
from dock_station.opening.keeper import start_opener
from dock_station.opening.keyslots import Keyslots
from dock_station.opening.opener import Opener
from dock_station.playback.playable import Playable, Playables
from evidence.age import HybridIdentity, SealingWriter, read_header
from tests.bench.chromium import read_by_chromium
from tests.bench.rows import Row
from tests.browser.town import town
from tests.pki import Pki, dock_folder
from tests.recording import pictures

VIDEO = VideoTrack(width=1280, height=720, frames_per_second=30)
BITS_PER_SECOND = 8_000_000
MINUTES = 60
RANGES = 200
RANGE_BYTES = 1 << 20
OPENINGS = 20
PASSPHRASE = "the passphrase of the first"


def measure() -> list[Row]:
    """Record, seal and play one hour on the disk that temporary files are on."""
    journal.keep_quiet()
    with tempfile.TemporaryDirectory() as folder, town(Path(folder)) as here:
        clip = Path(folder) / "hour.mp4.age"
        _record(clip, here.identity)
        dock = dock_folder(Path(folder) / "dock-of-full-cost", Pki())
        dock.keyslots.mkdir()
        Keyslots(dock.keyslots).add("a-example", PASSPHRASE, here.identity)
        with start_opener(dock) as opener:
            rows = _measured(opener, clip)
        seen = read_by_chromium(here, clip, timedelta(minutes=MINUTES))
    return [
        *rows,
        Row("Chromium opens it: bytes", seen.begin_bytes / 1e6, "MB", "<= 1 MB", holds=seen.begin_bytes <= 1e6),
        Row("Chromium opens it: requests", seen.begin_requests, ""),
        Row("Chromium jumps: bytes", seen.jump_bytes / 1e6, "MB", versus="to the picture, on the dock's page"),
    ]


def _measured(opener: Opener, clip: Path) -> list[Row]:
    started = time.perf_counter()
    token = opener.unlock("a-example", PASSPHRASE).token
    unlocking = time.perf_counter() - started
    with clip.open("rb") as file:
        header = read_header(file).raw
    asking = median(_milliseconds(lambda: opener.file_key(token, header), time.perf_counter) for _ in range(OPENINGS))
    openings = [_opening(opener, token, clip) for _ in range(OPENINGS)]
    playable = Playables(opener).open(token, "hour", clip)
    chance = random.Random(1)

    def answer() -> None:
        if len(playable.read(chance.randrange(playable.size - RANGE_BYTES), RANGE_BYTES)) != RANGE_BYTES:
            raise RuntimeError("the bench asked for a range that was not given")

    range_cpu = median(_milliseconds(answer, time.thread_time) for _ in range(RANGES))
    begin_bytes, begin_requests, jump_bytes = _as_a_player(playable)
    return [
        Row("clip: length", playable.seconds / 60, "min", versus=f"{clip.stat().st_size / 1e9:.2f} GB sealed"),
        Row("passphrase to token (scrypt at 256 MiB)", unlocking, "s"),
        Row("file key from the opener", asking, "ms"),
        Row("opening: median", median(seconds for seconds, _ in openings) * 1000, "ms"),
        Row("opening: read from the disk", median(count for _, count in openings) / 1e6, "MB"),
        Row("range of 1 MiB: CPU, median", range_cpu, "ms", "<= 2 ms", holds=range_cpu <= 2),
        Row("a player begins: bytes", begin_bytes / 1e6, "MB", "<= 1 MB", "libavformat", holds=begin_bytes <= 1e6),
        Row("a player begins: requests", begin_requests, "", versus="libavformat"),
        Row("a player jumps: bytes", jump_bytes / 1e6, "MB", versus="libavformat, to the first picture"),
    ]


def _record(path: Path, identity: HybridIdentity) -> None:
    with path.open("wb") as file:
        writer = SealingWriter(file.write, [identity.recipient])
        muxer = Muxer(writer.write, VIDEO, None)
        frames = 60 * VIDEO.frames_per_second
        for minute in range(MINUTES):
            start_us = minute * frames * (1_000_000 // VIDEO.frames_per_second)
            for packet in pictures(
                60, start_us=start_us, first=minute * frames, video=VIDEO, bits_per_second=BITS_PER_SECOND
            ):
                muxer.add(packet)
        muxer.close()
        writer.close()


def _opening(opener: Opener, token: str, clip: Path) -> tuple[float, int]:
    """Return how long opening takes (s), and how much it reads."""
    read_before = _bytes_read()
    started = time.perf_counter()
    Playables(opener).open(token, "hour", clip).read(0, 1)
    return time.perf_counter() - started, _bytes_read() - read_before


def _bytes_read() -> int:
    """Return what this process has read by system calls so far (proc(5), rchar)."""
    fields = Path("/proc/self/io").read_text().split()
    return int(fields[fields.index("rchar:") + 1])


def _as_a_player(playable: Playable) -> tuple[int, int, int]:
    """Return bytes and requests until libavformat knows the film, and bytes until it has a picture after a jump."""
    ranges = _Ranges(playable)
    with av.open(ranges, mode="r") as container:
        begin_bytes, begin_requests = ranges.bytes_read, ranges.requests
        container.seek(int(playable.seconds * 0.7 * 1_000_000))
        next(container.decode(video=0))
        return begin_bytes, begin_requests, ranges.bytes_read - begin_bytes


class _Ranges:
    """A file that is read by ranges; where one does not go on at the other's end, that counts as a request."""

    def __init__(self, playable: Playable) -> None:
        self._playable = playable
        self._at = 0
        self._expected = -1
        self.bytes_read = 0
        self.requests = 0

    def read(self, size: int) -> bytes:
        self.requests += self._at != self._expected
        content = self._playable.read(self._at, size)
        self._at += len(content)
        self._expected = self._at
        self.bytes_read += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._playable.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def _milliseconds(way: Callable[[], object], clock: Callable[[], float]) -> float:
    before = clock()
    way()
    return (clock() - before) * 1000
