"""Sealing and opening against the age program, against bare OpenSSL, and against threads that wait for the GIL."""

import os
import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from statistics import median
from typing import TypeVar

from evidence.age import (
    CHUNK_SIZE,
    ScryptRecipient,
    SealedFile,
    SealingWriter,
    X25519Identity,
    open_stream,
    read_header,
    seal_bytes,
)
from tests.bench.rows import Row

ROUNDS = 5
FILE_SIZE = 512 << 20
GIGABYTE = 1e9
COPY_PIECE = 1 << 20
PIECES = 8000
MUXER_PIECE = 20_000

Way = TypeVar("Way")


def measure() -> list[Row]:
    """Measure everything, in rounds that take turns, on files in memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        bench = Bench(Path(folder))
        return [*bench.files(), *bench.pieces(), *bench.stalls(), bench.range_request()]


class Bench:
    """A file of random bytes in memory, its sealed form, and what is measured on them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = X25519Identity.generate()
        self._plain = folder / "plain"
        self._sealed = folder / "sealed.age"
        self._target = folder / "target"
        self._key = folder / "key"
        self._key.write_text(self._identity.secret_text())
        with self._plain.open("wb") as file:
            for _ in range(FILE_SIZE // COPY_PIECE):
                file.write(os.urandom(COPY_PIECE))
        shutil.copyfile(self._plain, self._target)
        self._seal()
        shutil.copyfile(self._target, self._sealed)

    def files(self) -> list[Row]:
        """CPU seconds for a gigabyte from file to file, beyond those of a plain copy."""
        recipient = str(self._identity.recipient)
        ways: dict[str, Callable[[], None]] = {
            "copy": self._copy,
            "seal": self._seal,
            "age seals": lambda: self._run("age", "-r", recipient, str(self._plain)),
            "open": self._open,
            "open at random": self._open_at_random,
            "age opens": lambda: self._run("age", "-d", "-i", str(self._key), str(self._sealed)),
        }
        cost = {name: seconds / FILE_SIZE * GIGABYTE for name, seconds in _in_turns(ways, _cpu_seconds).items()}
        beyond = {name: cost[name] - cost["copy"] for name in cost}
        return [
            _at_most("seal 512 MiB, beyond a plain copy", beyond["seal"], "CPU s/GB", beyond["age seals"], 0.5, "age"),
            Row(
                "open 512 MiB, beyond a plain copy",
                beyond["open"],
                "CPU s/GB",
                versus=f"age, {beyond['age opens']:.2f} CPU s/GB",
                ratio=beyond["open"] / beyond["age opens"],
            ),
            _at_most("open 512 MiB from end to end", cost["open"], "CPU s/GB", cost["seal"], 1.0, "sealing it"),
            _at_most(
                "open 512 MiB by ranges of 1 MiB", cost["open at random"], "CPU s/GB", cost["seal"], 1.0, "sealing it"
            ),
        ]

    def pieces(self) -> list[Row]:
        """Bytes sealed in a CPU second, in memory, from pieces as a muxer gives them."""
        warm, far = os.urandom(CHUNK_SIZE), memoryview(self._plain.read_bytes())
        ways: dict[str, Callable[[], float]] = {
            "openssl": _openssl_speed,
            "64 KiB": lambda: _sealing_speed(self._identity, (warm for _ in range(PIECES))),
            "20 kB": lambda: _sealing_speed(self._identity, (warm[:MUXER_PIECE] for _ in range(PIECES))),
            "far": lambda: _sealing_speed(
                self._identity, (far[start : start + CHUNK_SIZE] for start in range(0, FILE_SIZE, CHUNK_SIZE))
            ),
        }
        speed = _in_turns(ways, lambda way: way())
        against = f"openssl speed -evp chacha20-poly1305 at 64 KiB, {speed['openssl']:.0f} MB/s"
        ratio = {name: speed[name] / speed["openssl"] for name in speed}
        floor = GIGABYTE / 1e6 / speed["openssl"]
        return [
            Row("bare OpenSSL, in what sealing costs at least", floor, "CPU s/GB"),
            Row(
                "seal pieces of 64 KiB",
                speed["64 KiB"],
                "MB/s",
                ">= 0.80",
                against,
                ratio["64 KiB"],
                ratio["64 KiB"] >= 0.80,
            ),
            Row("seal pieces of 20 kB", speed["20 kB"], "MB/s", "", against, ratio["20 kB"]),
            Row("seal pieces of 64 KiB that no cache holds", speed["far"], "MB/s", "", against, ratio["far"]),
        ]

    def stalls(self) -> list[Row]:
        """Longest time that another thread waited for its turn, in the round with the least of it.

        What the code holds up it holds up in every round; the rest is what else the computer did.
        """
        ways: dict[str, Callable[[], object]] = {
            "nothing": lambda: time.sleep(0.5),
            "sealing 512 MiB": self._seal,
            "opening 512 MiB": self._open,
            "sealing with a passphrase": lambda: seal_bytes(b"", [ScryptRecipient("bench")]),
        }
        longest = _in_turns(ways, _longest_wait, typical=min)
        idle = f"{longest.pop('nothing'):.2f} ms beside nothing"
        return [
            Row(f"another thread waits beside {name}", wait, "ms", "<= 10 ms", idle, None, wait <= 10)
            for name, wait in longest.items()
        ]

    def range_request(self) -> Row:
        """CPU of one request of 1 MiB in the middle, with everything opened anew."""

        def request() -> float:
            started = time.process_time()
            for _ in range(100):
                with self._sealed.open("rb") as file:
                    header = read_header(file)
                    sealed = SealedFile(file, header, header.unwrap([self._identity]))
                    sealed.read_at(FILE_SIZE // 2 + 1000, 1 << 20)
            return (time.process_time() - started) * 1000 / 100

        cost = _in_turns({"request": request}, lambda way: way())["request"]
        return Row("open header, key and a range of 1 MiB", cost, "CPU ms", "<= 2 ms", "", None, cost <= 2)

    def _copy(self) -> None:
        with self._plain.open("rb", buffering=0) as source, self._over_target() as target:
            for piece in _pieces_of(source):
                target.write(piece)

    def _seal(self) -> None:
        with self._plain.open("rb", buffering=0) as source, self._over_target() as target:
            writer = SealingWriter(target.write, [self._identity.recipient])
            for piece in _pieces_of(source):
                writer.write(piece)
            writer.close()

    def _open(self) -> None:
        with self._sealed.open("rb") as source, self._over_target() as target:
            open_stream(source, [self._identity], target.write)

    def _open_at_random(self) -> None:
        with self._sealed.open("rb") as source, self._over_target() as target:
            header = read_header(source)
            sealed = SealedFile(source, header, header.unwrap([self._identity]))
            buffer = memoryview(bytearray(COPY_PIECE))
            for offset in range(0, sealed.size, COPY_PIECE):
                target.write(buffer[: sealed.read_into(offset, buffer)])

    def _run(self, *command: str) -> None:
        with self._over_target() as target:
            subprocess.run(command, stdout=target, check=True)

    def _over_target(self) -> FileIO:
        """Open the file that everything is written over: getting memory for a new one costs more than sealing."""
        return self._target.open("r+b", buffering=0)


def _in_turns(
    ways: dict[str, Way],
    measured: Callable[[Way], float],
    typical: Callable[[list[float]], float] = median,
) -> dict[str, float]:
    """Measure each way once a round, so that a busy moment hits them alike, and give the typical values."""
    values: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            values[name].append(measured(way))
    return {name: typical(found) for name, found in values.items()}


def _at_most(name: str, value: float, unit: str, other: float, limit: float, versus: str) -> Row:
    ratio = value / other
    return Row(name, value, unit, f"<= {limit} x", f"{versus}, {other:.2f} {unit}", ratio, ratio <= limit)


def _cpu_seconds(way: Callable[[], object]) -> float:
    """CPU time of this process and of the programs that it ran."""

    def spent() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    before = spent()
    way()
    return spent() - before


def _sealing_speed(identity: X25519Identity, pieces: Iterator[bytes | memoryview]) -> float:
    """MB sealed in a second of CPU; `openssl speed` counts CPU seconds too."""
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        writer = SealingWriter(nowhere.write, [identity.recipient])
        started = time.process_time()
        size = 0
        for piece in pieces:
            writer.write(piece)
            size += len(piece)
        writer.close()
        return size / 1e6 / (time.process_time() - started)


def _openssl_speed() -> float:
    """MB sealed in a second of CPU by OpenSSL itself, the same 64 KiB over and over."""
    command = ["openssl", "speed", "-evp", "chacha20-poly1305", "-bytes", str(CHUNK_SIZE), "-seconds", "1"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"([\d.]+)k\s*$", said)
    if found is None:
        raise ValueError(f"openssl speed answered something else: {said}")
    return float(found[1]) / 1000


def _longest_wait(way: Callable[[], object]) -> float:
    """Milliseconds beyond its sleep of 1 ms that a thread waited, at most, while something ran."""
    waits = [0.0]
    ended = threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not ended.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            waits.append(now - last - 0.001)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        way()
    finally:
        ended.set()
        thread.join()
    return max(waits) * 1000


def _pieces_of(source: FileIO) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(COPY_PIECE))
    while size := source.readinto(buffer):
        yield buffer[:size]
