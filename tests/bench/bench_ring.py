"""The ring: how much memory a minute at 8 Mbit/s takes in all, and what a push costs."""

import ctypes
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from appliance.camera import Kind, Packet
from appliance.ring import Ring
from tests.bench.footage import footage, in_turns
from tests.bench.rows import Row

ROUNDS = 7
RING_SECONDS = 60
MAX_BYTES = 128 << 20
STREAM_SECONDS = 300
PAGE = 4096


def measure() -> list[Row]:
    """Measure memory in a process of its own, where nothing else takes any, and time in turns."""
    return [_memory(), *_pushes()]


def _memory() -> Row:
    sizes = ",".join(f"{len(packet.data)}{'k' if packet.is_key else ''}" for packet in footage(8))
    child = [sys.executable, "-m", "tests.bench.bench_ring", sizes]
    said = subprocess.run(child, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    resident, held = map(int, said.split())
    ratio = resident / held
    return Row(
        "memory of the whole ring, after 5 minutes of 8 Mbit/s",
        resident / 1e6,
        "MB resident",
        "<= 1.1 x",
        f"its packets' bytes, {held / 1e6:.1f} MB",
        ratio,
        ratio <= 1.1,
    )


def _pushes() -> list[Row]:
    ways: dict[str, Callable[[], float]] = {"filling": _fill, "full": _go_on, "memset": _overwrite_only}
    cost = {name: median(seconds) * 1e6 for name, seconds in in_turns(ways, ROUNDS).items()}
    bare = f"overwriting as many bytes by memset, {cost['memset']:.2f} µs"
    own = cost["full"] - cost["memset"]
    return [
        Row("push while the ring fills", cost["filling"], "CPU µs", "<= 1", "", None, cost["filling"] <= 1),
        Row("push into a full ring, beyond the bare overwriting", own, "CPU µs", "<= 1", "", None, own <= 1),
        Row("push into a full ring, overwriting what drops out", cost["full"], "CPU µs", "", bare),
    ]


def _fill() -> float:
    packets = footage(RING_SECONDS)
    return _seconds_per_push(_ring(), packets)


def _go_on() -> float:
    ring = _ring()
    _seconds_per_push(ring, footage(RING_SECONDS))
    return _seconds_per_push(ring, footage(RING_SECONDS, start_us=RING_SECONDS * 1_000_000))


def _overwrite_only() -> float:
    packets = footage(RING_SECONDS)
    views = [((ctypes.c_char * len(packet.data)).from_buffer(packet.data), len(packet.data)) for packet in packets]
    memset = ctypes.memset
    before = time.thread_time()
    for view, size in views:
        memset(view, 0, size)
    spent = time.thread_time() - before
    before = time.thread_time()
    for view, _ in views:
        memset(view, 0, 0)
    return (spent - (time.thread_time() - before)) / len(packets)


def _seconds_per_push(ring: Ring, packets: list[Packet]) -> float:
    push = ring.push
    before = time.thread_time()
    for packet in packets:
        push(packet)
    return (time.thread_time() - before) / len(packets)


def _ring() -> Ring:
    return Ring(max_seconds=RING_SECONDS, max_bytes=MAX_BYTES)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def _main(sizes: list[str]) -> None:
    """Let five minutes go through a ring, and print how much memory that took, and how many bytes it holds."""
    step = 1_000_000 // 30
    before = _resident()
    ring = _ring()
    for number in range(STREAM_SECONDS * 30):
        size = sizes[number % len(sizes)]
        data = bytearray(b"\x65" * int(size.removesuffix("k")))
        ring.push(Packet(Kind.VIDEO, data, size.endswith("k"), number * step, step, number))
    print(_resident() - before, ring.bytes_held)


if __name__ == "__main__":
    _main(sys.argv[1].split(","))
