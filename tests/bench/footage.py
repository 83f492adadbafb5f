"""What the benches of the unit have in common: footage at 8 Mbit/s, a disk that notes its syncs, CPU time."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from appliance.camera import Packet, VideoTrack
from appliance.writing.disk import Disk
from tests.recording import Unit, pictures

VIDEO = VideoTrack(width=1280, height=720, frames_per_second=30)
BITS_PER_SECOND = 8_000_000
PATIENCE = 60


def footage(seconds: int, *, start_us: int = 0, bits_per_second: int = BITS_PER_SECOND) -> list[Packet]:
    """Return packets of real footage, 1280x720, 30 a second."""
    return pictures(seconds, start_us=start_us, video=VIDEO, bits_per_second=bits_per_second)


@dataclass(frozen=True)
class Sync:
    """A moment (monotonic seconds) from which on so many bytes of the clip are durable."""

    moment: float
    size: int


class NotingDisk(Disk):
    """The real disk, with a note of what became durable when."""

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


class Units:
    """Makes units in a folder, one after the other, and clears away what they recorded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def new(self) -> Unit:
        self._made += 1
        return Unit(self._folder / f"unit-{self._made}")

    @staticmethod
    def clear(unit: Unit) -> None:
        for path in (unit.folder / "data").iterdir():
            path.unlink()


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all ways, one after the other, so many times; return what each gave in each round."""
    given: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            given[name].append(way())
    return given


def ratio_of(one: Sequence[float], other: Sequence[float]) -> Iterator[float]:
    """Return the ratio of two ways in each round."""
    return (mine / theirs for mine, theirs in zip(one, other, strict=True))


def cpu_seconds() -> float:
    """CPU time of this process and of the programs that it ran."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def percentile_95(values: Sequence[float]) -> float:
    """Return what 95 of 100 values are not above."""
    return quantiles(values, n=20, method="inclusive")[-1]
