"""The recorder: what it costs beside stock tools, how soon a touch is durable, what a power cut takes."""

import hashlib
import os
import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median, quantiles

import av

from appliance.camera import Packet, VideoTrack
from appliance.clip_files import BLOCK_BYTES
from appliance.disk import Disk
from appliance.muxer import Muxer
from evidence.age import CHUNK_SIZE, SEALED_CHUNK_SIZE, SealedFile, X25519Identity, read_header
from tests.bench.rows import Row
from tests.recording import Hand, Unit, pictures

VIDEO = VideoTrack(width=1280, height=720, frames_per_second=30)
BITS_PER_SECOND = 8_000_000
ROUNDS = 5
MINUTE = 60
PRE_RECORD_SECONDS = 30
TOUCHES = 40
CUTS = 200
CUT_CLIP_SECONDS = 30
PATIENCE = 60
BURST = 10


def measure() -> list[Row]:
    """Measure everything on the disk that temporary files are on."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        return [*bench.cost(), *bench.touches(), *bench.power_cuts()]


class Bench:
    """Footage at 8 Mbit/s, and what is measured with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0
        self._film = folder / "film.mp4"
        with self._film.open("wb") as file:
            muxer = Muxer(file.write, VIDEO, None)
            for packet in _footage(MINUTE):
                muxer.add(packet)
            muxer.close()

    def cost(self) -> list[Row]:
        """CPU of a minute recorded, against a minute copied by ffmpeg into age, in turns."""
        ways: dict[str, Callable[[], float]] = {
            "record": self._record_a_minute,
            "stock": self._copy_a_minute,
            "stock and hash": lambda: self._copy_a_minute(hashed=True),
            "mux": _mux_a_minute,
            "hash": _hash_a_minute,
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                spent[name].append(way())
        packets = MINUTE * VIDEO.frames_per_second
        cost = {name: median(seconds) / packets * 1e6 for name, seconds in spent.items()}
        plain = cost["record"] - cost["hash"]
        return [
            _against("record 8 Mbit/s: mux, seal, write, sync", plain, "ffmpeg -c copy | age", cost["stock"]),
            _against(
                "the same with the manifest's SHA-256",
                cost["record"],
                "ffmpeg -c copy | age | tee | sha256sum",
                cost["stock and hash"],
            ),
            Row("mux 8 Mbit/s", cost["mux"], "CPU µs per packet", "<= 15", "", None, cost["mux"] <= 15),
        ]

    def touches(self) -> list[Row]:
        """From a touch with a full ring to its first and last durable bytes, and the camera's wait meanwhile."""
        touches = [self._touch() for _ in range(TOUCHES)]
        first = _percentile_95([touch.first_durable for touch in touches])
        flushed = _percentile_95([touch.ring_durable for touch in touches])
        wait = max(touch.longest_push for touch in touches)
        return [
            Row("touch to first durable bytes, p95", first, "ms", "<= 20 ms", "", None, first <= 20),
            Row("touch to 30 s of ring durable, p95", flushed, "ms", "<= 100 ms", "", None, flushed <= 100),
            Row("longest wait of the camera's thread meanwhile", wait, "ms", "<= 5 ms", "", None, wait <= 5),
        ]

    def power_cuts(self) -> list[Row]:
        """Seconds of video that a power cut takes, with what was durable at 200 random moments of a real recording."""
        return [row for bits in (BITS_PER_SECOND, BITS_PER_SECOND // 10) for row in self._power_cuts(bits)]

    def _record_a_minute(self) -> float:
        unit, hand = self._unit(), Hand()
        spool = unit.spool()
        recorder = unit.recorder(spool, hand=hand, video=VIDEO, pre_record_seconds=0)
        packets = _footage(MINUTE, start_us=round(hand.seconds * 1_000_000))
        before = _cpu_seconds()
        recorder.begin(wearer="bench")
        for index, packet in enumerate(packets):
            hand.seconds = packet.time_us / 1_000_000
            recorder.push(packet)
            if index % BURST == 0:
                time.sleep(0.001)
        recorder.end("wearer")
        recorder.wait_closed(PATIENCE)
        spent = _cpu_seconds() - before
        recorder.shut_down(PATIENCE)
        _remove(unit)
        return spent

    def _copy_a_minute(self, *, hashed: bool = False) -> float:
        remux = f"ffmpeg -loglevel error -i {self._film} -c copy -f mp4"
        remux += " -movflags empty_moov+default_base_moof -frag_duration 250000 pipe:1"
        stages = [remux, f"age -r {X25519Identity.generate().recipient}"]
        stages += [f"tee {self._folder}/copy.age", "sha256sum"] if hashed else []
        before = _cpu_seconds()
        with (self._folder / "target").open("wb") as target:
            subprocess.run(" | ".join(stages), shell=True, stdout=target, check=True)
        return _cpu_seconds() - before

    def _touch(self) -> "Touch":
        unit, disk = self._unit(), LoggingDisk()
        recorder = unit.recorder(unit.spool(disk), video=VIDEO, pre_record_seconds=PRE_RECORD_SECONDS)
        frame = 1 / VIDEO.frames_per_second
        start_us = round((time.monotonic() - PRE_RECORD_SECONDS + 1) * 1_000_000)
        packets = _footage(PRE_RECORD_SECONDS + 1, start_us=start_us)
        live = packets[-VIDEO.frames_per_second :]
        for packet in packets[: -len(live)]:
            recorder.push(packet)
        ring_bytes = sum(len(packet.data) for packet in packets[: -len(live)])
        touched = time.monotonic()
        recorder.begin(wearer="bench")
        longest = 0.0
        for packet in live:
            before = time.perf_counter()
            recorder.push(packet)
            longest = max(longest, time.perf_counter() - before)
            time.sleep(frame)
        recorder.end("wearer")
        recorder.wait_closed(PATIENCE)
        recorder.shut_down(PATIENCE)
        _remove(unit)
        durable = [sync for sync in disk.syncs if sync.size]
        flushed = next(sync.moment for sync in durable if sync.size > ring_bytes - CHUNK_SIZE * 5)
        return Touch((durable[0].moment - touched) * 1000, (flushed - touched) * 1000, longest * 1000)

    def _power_cuts(self, bits_per_second: int) -> list[Row]:
        unit, disk = self._unit(), LoggingDisk()
        spool = unit.spool(disk)
        recorder = unit.recorder(spool, video=VIDEO, pre_record_seconds=0)
        began = time.monotonic()
        recorder.begin(wearer="bench")
        for packet in _footage(CUT_CLIP_SECONDS, start_us=round(began * 1_000_000), bits_per_second=bits_per_second):
            time.sleep(max(0.0, packet.time_us / 1_000_000 - time.monotonic()))
            recorder.push(packet)
        ended = time.monotonic()
        recorder.shut_down(PATIENCE)
        (clip,) = spool.waiting()
        playable = Playable(unit, clip.sealed_file)
        losses = []
        for moment in (random.uniform(began + 1, ended) for _ in range(CUTS)):
            durable = max(sync.size for sync in disk.syncs if sync.moment <= moment)
            losses.append(moment - began - playable.seconds(durable))
        _remove(unit)
        rate = f"{bits_per_second / 1e6:g} Mbit/s"
        worst, typical = max(losses), median(losses)
        return [
            Row(f"lost at a power cut, {rate}, worst of {CUTS}", worst, "s", "<= 1.0 s", "", None, worst <= 1.0),
            Row(f"lost at a power cut, {rate}, median", typical, "s", "<= 0.6 s", "", None, typical <= 0.6),
        ]

    def _unit(self) -> Unit:
        self._runs += 1
        return Unit(self._folder / f"unit-{self._runs}")


@dataclass(frozen=True)
class Touch:
    """What one touch took, in milliseconds."""

    first_durable: float
    ring_durable: float
    longest_push: float


@dataclass(frozen=True)
class Sync:
    """A moment (monotonic seconds) from which on so many bytes of the clip are durable."""

    moment: float
    size: int


class LoggingDisk(Disk):
    """The real disk, with a log of what became durable when."""

    def __init__(self) -> None:
        self.syncs = [Sync(0.0, 0)]
        self._written = 0

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        taken = super().write(descriptor, data)
        self._written += taken
        return taken

    def sync(self, descriptor: int) -> None:
        size = self._written
        super().sync(descriptor)
        self.syncs.append(Sync(time.monotonic(), size))


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


def _footage(seconds: int, *, start_us: int = 0, bits_per_second: int = BITS_PER_SECOND) -> list[Packet]:
    return pictures(seconds, start_us=start_us, video=VIDEO, bits_per_second=bits_per_second)


def _mux_a_minute() -> float:
    packets = _footage(MINUTE)
    sink: Callable[[bytes], object] = len
    before = time.thread_time()
    muxer = Muxer(sink, VIDEO, None)
    for packet in packets:
        muxer.add(packet)
    muxer.close()
    return time.thread_time() - before


def _hash_a_minute() -> float:
    """Hash what a minute at 8 Mbit/s comes to, in the pieces that the recorder hashes."""
    pieces = MINUTE * BITS_PER_SECOND // 8 // BLOCK_BYTES
    block = os.urandom(BLOCK_BYTES * pieces)
    digest = hashlib.sha256()
    before = time.thread_time()
    for at in range(0, len(block), BLOCK_BYTES):
        digest.update(memoryview(block)[at : at + BLOCK_BYTES])
    return time.thread_time() - before


def _against(name: str, cost: float, other_name: str, other: float) -> Row:
    ratio = cost / other
    return Row(name, cost, "CPU µs per packet", "<= 0.5 x", f"{other_name}, {other:.0f} µs", ratio, ratio <= 0.5)


def _cpu_seconds() -> float:
    """CPU time of this process and of the programs that it ran."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _percentile_95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1]


def _remove(unit: Unit) -> None:
    for path in (unit.folder / "data").iterdir():
        path.unlink()
