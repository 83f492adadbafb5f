"""The touch: how soon the first bytes and the whole ring are durable, and that the camera never waits for it."""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from appliance.camera import Packet
from appliance.recorder import Recorder
from evidence.age import CHUNK_SIZE
from tests.bench.footage import BITS_PER_SECOND, PATIENCE, VIDEO, NotingDisk, Units, footage, percentile_95
from tests.bench.rows import Row
from tests.recording import decoded

PRE_RECORD_SECONDS = 30
TOUCHES = 40
LIVE_FRAMES = 30
STALL_SECONDS = 2.0
# What the sealed file has less than the ring at the ring's end: an unfilled chunk, and a fragment that is not whole.
NOT_WHOLE_YET = 12 * CHUNK_SIZE


def measure() -> list[Row]:
    """Measure on the disk that temporary files are on."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        return [*bench.touches(), *bench.stall()]


@dataclass(frozen=True)
class Touch:
    """What one touch took, in milliseconds."""

    begin: float
    first_durable: float
    ring_durable: float
    longest_push: float


class Bench:
    """Touches with half a minute of 8 Mbit/s in the ring."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._units = Units(folder)

    def touches(self) -> list[Row]:
        """From touches to the first and the last durable bytes of the ring, in turns with bare files of that size."""
        touches, small, large = [], [], []
        for _ in range(TOUCHES):
            touches.append(self._touch())
            small.append(self._bare_file(CHUNK_SIZE))
            large.append(self._bare_file(PRE_RECORD_SECONDS * BITS_PER_SECOND // 8))
        first = percentile_95([touch.first_durable for touch in touches])
        flushed = percentile_95([touch.ring_durable for touch in touches])
        bare_first, bare_flushed = percentile_95(small), percentile_95(large)
        return [
            Row(
                f"touch to first durable bytes, p95 of {TOUCHES}",
                first,
                "ms",
                "<= 20 ms",
                f"a bare file of 64 KiB written and synced, p95 {bare_first:.1f} ms",
                first / bare_first,
                first <= 20,
            ),
            Row("the same, median", median(touch.first_durable for touch in touches), "ms"),
            Row(
                "touch to 30 s of ring durable, p95",
                flushed,
                "ms",
                "<= 100 ms",
                f"a bare file of 30 MB written and synced, p95 {bare_flushed:.1f} ms",
                flushed / bare_flushed,
                flushed <= 100,
            ),
            Row("the same, median", median(touch.ring_durable for touch in touches), "ms"),
            Row("begin returns after, p95", percentile_95([touch.begin for touch in touches]), "ms"),
            Row("longest push of the camera's thread meanwhile", max(touch.longest_push for touch in touches), "ms"),
        ]

    def stall(self) -> list[Row]:
        """A disk that takes nothing for two seconds: what the camera's thread, and the clip, see of it."""
        unit, disk = self._units.new(), StallingDisk()
        spool = unit.spool(disk)
        recorder = unit.recorder(spool, video=VIDEO, pre_record_seconds=PRE_RECORD_SECONDS)
        packets = footage(5, start_us=round(time.monotonic() * 1_000_000))
        recorder.begin(wearer="bench")
        longest = _play(recorder, packets[:60])
        disk.stall(STALL_SECONDS)
        longest = max(longest, _play(recorder, packets[60:]))
        recorder.end("wearer")
        recorder.wait_closed(PATIENCE)
        recorder.shut_down(PATIENCE)
        (clip,) = spool.waiting()
        times = decoded(unit.open(clip))
        begun = packets[0].time_us
        late = [shown - (packet.time_us - begun) / 1e6 for shown, packet in zip(times, packets, strict=False)]
        lost = len(packets) - len(times)
        self._units.clear(unit)
        name = f"disk stalls {STALL_SECONDS:g} s: "
        delayed = sum(abs(seconds) > 0.001 for seconds in late)
        return [
            Row(f"{name}longest push of the camera's thread", longest, "ms"),
            Row(f"{name}packets lost", lost, f"of {len(packets)}", "0", "", None, lost == 0),
            Row(f"{name}packets delayed", delayed, f"of {len(packets)}", "0", "", None, delayed == 0),
        ]

    def _bare_file(self, size: int) -> float:
        """Return how long a file of so many bytes takes to become durable (ms)."""
        data = os.urandom(size)
        before = time.monotonic()
        with tempfile.NamedTemporaryFile(dir=self._folder, buffering=0) as file:
            file.write(data)
            os.fdatasync(file.fileno())
            return (time.monotonic() - before) * 1000

    def _touch(self) -> Touch:
        unit, disk = self._units.new(), NotingDisk()
        # A second of room, for what is older than the policy's time at the touch does not get into the clip.
        recorder = unit.recorder(unit.spool(disk), video=VIDEO, pre_record_seconds=PRE_RECORD_SECONDS + 1)
        frame = 1 / VIDEO.frames_per_second
        ahead = LIVE_FRAMES * frame
        packets = footage(PRE_RECORD_SECONDS, start_us=round((time.monotonic() - PRE_RECORD_SECONDS) * 1_000_000))
        live = footage(1, start_us=packets[-1].time_us + packets[-1].duration_us)
        for packet in packets:
            recorder.push(packet)
        ring_bytes = sum(len(packet.data) for packet in packets)
        touched = time.monotonic()
        recorder.begin(wearer="bench")
        begun = time.monotonic()
        longest = _play(recorder, live, seconds=ahead)
        recorder.end("wearer")
        recorder.wait_closed(PATIENCE)
        recorder.shut_down(PATIENCE)
        self._units.clear(unit)
        durable = [sync for sync in disk.syncs if sync.size]
        flushed = next(sync.moment for sync in durable if sync.size > ring_bytes - NOT_WHOLE_YET)
        return Touch(
            (begun - touched) * 1000, (durable[0].moment - touched) * 1000, (flushed - touched) * 1000, longest
        )


class StallingDisk(NotingDisk):
    """A disk that takes nothing for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._goes_on = threading.Event()
        self._goes_on.set()

    def stall(self, seconds: float) -> None:
        self._goes_on.clear()
        threading.Timer(seconds, self._goes_on.set).start()

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        self._goes_on.wait()
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._goes_on.wait()
        super().sync(descriptor)


def _play(recorder: Recorder, packets: list[Packet], *, seconds: float | None = None) -> float:
    """Push packets at their pace, and return how long the longest push took (ms)."""
    pause = (seconds or len(packets) / VIDEO.frames_per_second) / len(packets)
    push: Callable[[Packet], None] = recorder.push
    longest = 0.0
    for packet in packets:
        before = time.perf_counter()
        push(packet)
        longest = max(longest, time.perf_counter() - before)
        time.sleep(pause)
    return longest * 1000
