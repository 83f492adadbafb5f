"""The recorder: what a minute at 8 Mbit/s costs beside ffmpeg and age, and what each packet costs the muxer."""

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from appliance.writing.clip_files import BLOCK_BYTES
from appliance.writing.muxer import Muxer
from evidence.age import X25519Identity
from tests.bench.footage import BITS_PER_SECOND, PATIENCE, VIDEO, Units, cpu_seconds, footage, in_turns, ratio_of
from tests.bench.rows import Row
from tests.recording import Hand

ROUNDS = 7
MINUTE = 60
BURST = 10


def measure() -> list[Row]:
    """Measure on the disk that temporary files are on."""
    with tempfile.TemporaryDirectory() as folder:
        return Bench(Path(folder)).cost()


class Bench:
    """A minute of footage at 8 Mbit/s, for the recorder in packets, for ffmpeg as a film."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._units = Units(folder)
        self._film = folder / "film.mp4"
        with self._film.open("wb") as file:
            muxer = Muxer(file.write, VIDEO, None)
            for packet in footage(MINUTE):
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
        spent = in_turns(ways, ROUNDS)
        unhashed = [record - hashing for record, hashing in zip(spent["record"], spent["hash"], strict=True)]
        mux = _per_packet(spent["mux"])
        return [
            _against("record: mux, seal, write, sync", unhashed, "ffmpeg -c copy | age", spent["stock"]),
            _against(
                "the same with the manifest's SHA-256",
                spent["record"],
                "ffmpeg -c copy | age | tee | sha256sum",
                spent["stock and hash"],
            ),
            Row("mux", mux, "CPU µs per packet", "<= 15", "", None, mux <= 15),
        ]

    def _record_a_minute(self) -> float:
        unit, hand = self._units.new(), Hand()
        spool = unit.spool()
        recorder = unit.recorder(spool, hand=hand, video=VIDEO, pre_record_seconds=0)
        packets = footage(MINUTE, start_us=round(hand.seconds * 1_000_000))
        before = cpu_seconds()
        recorder.begin(wearer="bench")
        for index, packet in enumerate(packets):
            hand.seconds = packet.time_us / 1_000_000
            recorder.push(packet)
            if index % BURST == 0:
                time.sleep(0.001)
        recorder.end("wearer")
        recorder.wait_closed(PATIENCE)
        spent = cpu_seconds() - before
        recorder.shut_down(PATIENCE)
        self._units.clear(unit)
        return spent

    def _copy_a_minute(self, *, hashed: bool = False) -> float:
        remux = f"ffmpeg -loglevel error -i {self._film} -c copy -f mp4"
        remux += " -movflags empty_moov+default_base_moof -frag_duration 250000 pipe:1"
        stages = [remux, f"age -r {X25519Identity.generate().recipient}"]
        stages += [f"tee {self._folder}/copy.age", "sha256sum"] if hashed else []
        before = cpu_seconds()
        with (self._folder / "target").open("wb") as target:
            subprocess.run(" | ".join(stages), shell=True, stdout=target, check=True)
        return cpu_seconds() - before


def _mux_a_minute() -> float:
    packets = footage(MINUTE)
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


def _against(name: str, seconds: list[float], other_name: str, others: list[float]) -> Row:
    ratio = median(ratio_of(seconds, others))
    against = f"{other_name}, {_per_packet(others):.0f} µs"
    return Row(name, _per_packet(seconds), "CPU µs per packet", "<= 0.5 x", against, ratio, ratio <= 0.5)


def _per_packet(seconds: list[float]) -> float:
    return median(seconds) / (MINUTE * VIDEO.frames_per_second) * 1e6
