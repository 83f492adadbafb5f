"""The power cut: how much of a running clip is lost at random moments of a real recording, in real time."""

import random
import tempfile
import time
from io import BytesIO
from pathlib import Path
from statistics import median

import av

from evidence.age import CHUNK_SIZE, SEALED_CHUNK_SIZE, SealedFile, read_header
from tests.bench.footage import BITS_PER_SECOND, PATIENCE, VIDEO, NotingDisk, Units, footage
from tests.bench.rows import Row
from tests.recording import Unit

CUTS = 200
CLIP_SECONDS = 30
RATES = (BITS_PER_SECOND, BITS_PER_SECOND // 10)


def measure() -> list[Row]:
    """Record at 8 and at 0.8 Mbit/s on the disk that temporary files are on; what a cut leaves is what was synced."""
    with tempfile.TemporaryDirectory() as folder:
        units = Units(Path(folder))
        return [row for rate in RATES for row in _losses(units, rate)]


def _losses(units: Units, bits_per_second: int) -> list[Row]:
    unit, disk = units.new(), NotingDisk()
    spool = unit.spool(disk)
    recorder = unit.recorder(spool, video=VIDEO, pre_record_seconds=0)
    footage(1, bits_per_second=bits_per_second)  # encoded here once, and not while the clip runs
    began = time.monotonic() + 1
    packets = footage(CLIP_SECONDS, start_us=round(began * 1_000_000), bits_per_second=bits_per_second)
    recorder.begin(wearer="bench")  # before the first picture, for without pre-record none from before it counts
    for packet in packets:
        time.sleep(max(0.0, packet.time_us / 1_000_000 - time.monotonic()))
        recorder.push(packet)
    ended = time.monotonic()
    recorder.shut_down(PATIENCE)
    (clip,) = spool.waiting()
    playable = Playable(unit, clip.sealed_file)
    losses = []
    for moment in (random.uniform(began, ended) for _ in range(CUTS)):
        durable = max(sync.size for sync in disk.syncs if sync.moment <= moment)
        losses.append(moment - began - playable.seconds(durable))
    units.clear(unit)
    rate = f"{bits_per_second / 1e6:g} Mbit/s"
    worst, typical = max(losses), median(losses)
    return [
        Row(f"lost at a power cut, {rate}, worst of {CUTS}", worst, "s", "<= 1.0 s", "", None, worst <= 1.0),
        Row(f"lost at a power cut, {rate}, median", typical, "s", "<= 0.6 s", "", None, typical <= 0.6),
    ]


class Playable:
    """How much of a clip plays when its sealed file is cut."""

    def __init__(self, unit: Unit, sealed: Path) -> None:
        with sealed.open("rb") as file:
            header = read_header(file)
            clip = SealedFile(file, header, header.unwrap([unit.identity]))
            self._plain = clip.read_at(0, clip.size)
        self._chunks_start = header.size + 16
        self._known: dict[int, float] = {}

    def seconds(self, sealed_size: int) -> float:
        """Play what a sealed file of this size gives: its whole chunks."""
        chunks = max(0, sealed_size - self._chunks_start) // SEALED_CHUNK_SIZE
        if chunks not in self._known:
            self._known[chunks] = _played(self._plain[: chunks * CHUNK_SIZE])
        return self._known[chunks]


def _played(mp4: bytes) -> float:
    """Return the end of the last whole picture."""
    end = 0.0
    try:
        with av.open(BytesIO(mp4), mode="r") as container:
            for packet in container.demux(video=0):
                if packet.pts is not None and packet.time_base and not packet.is_corrupt:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
    except av.FFmpegError:
        return end
    return end
