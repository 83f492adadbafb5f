"""Memory only, proved: standby writes nothing, no video lies in the clear, and no frame outlives its time."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.stamps import Stamp, read_stamp, stamps_in_memory
from tests.virtual_pi.town import CAMERA_SIZE, PRE_RECORD_SECONDS

STANDBY_SECONDS = 60
# How a picture lies in memory (bytes from row to row, bytes of a pixel, whether it is mirrored): luma as the camera has
# it, luma with the encoder's margins (libx264 has 96 pixels more in a row), and what the screen takes and shows.
_LAYOUTS = (
    (CAMERA_SIZE[0], 1, False),
    (CAMERA_SIZE[0] + 96, 1, False),
    (CAMERA_SIZE[0] * 4, 4, False),
    (CAMERA_SIZE[0] * 4, 4, True),
)
# One group of pictures that is being filled, and the pictures that the encoder still has.
SLACK_SECONDS = 1.5
_LOOKS = 5


@pytest.fixture(scope="module")
def pi(machines: Machines) -> VirtualPi:
    """A machine in standby, off the dock, with a disk for what is dumped."""
    return machines.in_standby()


def test_in_standby_nothing_is_written_for_a_minute(pi: VirtualPi) -> None:
    pi.machine.run("sync")
    before = _sectors_written(pi)
    time.sleep(STANDBY_SECONDS)
    after = _sectors_written(pi)
    record("memory only", f"sectors written in {STANDBY_SECONDS} s of standby", f"{after - before}", "0")
    assert after == before
    assert pi.state() == "standby"


def test_there_is_no_swap(pi: VirtualPi) -> None:
    assert len(pi.machine.run("cat /proc/swaps").splitlines()) == 1
    assert "VmSwap:\t       0 kB" in pi.machine.run(f"cat /proc/{_pid(pi)}/status")


def test_in_standby_no_frame_is_older_than_the_policy_allows(pi: VirtualPi) -> None:
    _check_ages(pi, "standby")


def test_after_a_clip_no_frame_of_it_is_left_and_nothing_of_it_is_in_the_clear(pi: VirtualPi) -> None:
    pi.touch("tap 0.08")
    pi.wait_for("recording_started")
    time.sleep(12)
    clip_id = pi.end_clip()["clip_id"]
    time.sleep(PRE_RECORD_SECONDS + 2)
    _check_ages(pi, "standby after a clip of 12 s")
    sealed = pi.clip(clip_id)
    film = pi.town.opened(sealed)
    pi.machine.run("sync")
    found = _in_the_clear(film, pi.unit_disk, pi.dock_disk)
    record("memory only", "places of the clip's film on the disks in the clear", f"{found}", "0")
    assert found == 0


def test_on_the_dock_where_the_camera_rests_no_frame_is_left(pi: VirtualPi) -> None:
    pi.plug()
    pi.wait_for_state("docked")
    time.sleep(PRE_RECORD_SECONDS + 2)
    _, memory = _memory(pi)
    encoded, raw = len(list(_encoded_stamps(memory))), sum(map(len, _raw_stamps(memory)))
    pi.unplug()
    record("memory only", "frames in the process on the dock, encoded and raw", f"{encoded}, {raw}", "0, 0")
    assert (encoded, raw) == (0, 0)


def test_the_root_is_as_it_was(pi: VirtualPi) -> None:
    assert pi.machine.run("grep -E ' (/lower|/code) ' /proc/mounts || true") == ""
    for disk in ("vda", "vdb"):
        assert pi.machine.run(f"cat /sys/block/{disk}/ro").strip() == "1"


def _sectors_written(pi: VirtualPi) -> int:
    disk = pi.machine.run("basename $(readlink -f /dev/disk/by-label/mc-unit)").strip()
    return int(pi.machine.run(f"cat /sys/block/{disk}/stat").split()[6])  # Documentation/block/stat.rst


def _pid(pi: VirtualPi) -> int:
    return int(pi.machine.run("systemctl show -P MainPID mirrorcam-unit"))


def _check_ages(pi: VirtualPi, when: str) -> None:
    """Look for pictures in the process's memory, encoded and raw, and hold the oldest against the policy.

    A busy machine leaves out so many pictures at times that there are few key frames to be found: then it looks again.
    """
    for _ in range(_LOOKS):
        moment, memory = _memory(pi)
        encoded, raw = list(_encoded_stamps(memory)), list(_raw_stamps(memory))
        _hold_against_the_policy(moment, len(memory), encoded, raw, when)
        if len(encoded) >= PRE_RECORD_SECONDS - 1:
            break
    assert len(encoded) >= PRE_RECORD_SECONDS - 1, "the ring's own pictures were not found, so others would not be"
    assert any(raw), "the encoder's own pictures were not found, so others would not be"


def _hold_against_the_policy(moment: float, size: int, encoded: list[Stamp], raw: list[set[Stamp]], when: str) -> None:
    oldest_encoded = max((moment - stamp.moment_ms / 1000 for stamp in encoded), default=0.0)
    raw_ages = [sorted(moment - stamp.moment_ms / 1000 for stamp in stamps) for stamps in raw]
    oldest_raw = max((age for ages in raw_ages for age in ages), default=0.0)
    what = f"oldest frame in the process's {size >> 20} MiB, {when}"
    value = (
        f"encoded {oldest_encoded:.2f} s ({len(encoded)} key frames found), raw {oldest_raw:.2f} s"
        f" ({sum(map(len, raw))} found)"
    )
    record("memory only", what, value, f"≤ {PRE_RECORD_SECONDS} s and what the encoder holds")
    assert oldest_encoded <= PRE_RECORD_SECONDS + SLACK_SECONDS
    assert oldest_raw <= PRE_RECORD_SECONDS + SLACK_SECONDS, dict(zip(_LAYOUTS, raw_ages, strict=True))


def _memory(pi: VirtualPi) -> tuple[float, bytes]:
    """Return the unit's memory, and the monotonic moment at which the process had it so."""
    moment = float(pi.machine.run(f"python3 /opt/mirrorcam/rig/dump_memory.py {_pid(pi)} /dev/vde", seconds=300))
    return moment, pi.scratch()


def _encoded_stamps(memory: bytes) -> Iterator[Stamp]:
    """Yield the stamp of each key frame that stands somewhere in memory with its headers before it."""
    for found in re.finditer(rb"\x00\x00\x00\x01\x67", memory):
        decoder = av.CodecContext.create("h264", "r")
        piece = memory[found.start() : found.start() + (256 << 10)]
        try:
            pictures = [picture for packet in decoder.parse(piece) for picture in decoder.decode(packet)]
            pictures += decoder.decode(None)
        except av.FFmpegError:
            continue
        stamps = (read_stamp(picture.to_ndarray(format="gray")) for picture in pictures[:1])
        yield from (stamp for stamp in stamps if stamp is not None)


def _raw_stamps(memory: bytes) -> Iterator[set[Stamp]]:
    """Yield the pictures that lie in memory in each of the layouts."""
    for stride, pixel_bytes, mirrored in _LAYOUTS:
        found = stamps_in_memory(memory, stride=stride, pixel_bytes=pixel_bytes, mirrored=mirrored)
        yield {stamp for _, stamp in found}


def _in_the_clear(film: bytes, *disks: Path) -> int:
    """Count the pieces of the film, and the boxes of any film, that stand on the disks as they are."""
    step = max(64, len(film) // 200)
    pieces = {film[start : start + 24] for start in range(64, len(film) - 24, step)}
    wanted = {piece for piece in pieces if len(set(piece)) > 12}  # padding looks like any empty place of a disk
    wanted |= {b"moofmfhd", b"ftypiso", b"ftypmp4"}
    return sum(
        sum(map(content.count, wanted)) + len(re.findall(rb"moof....mfhd", content, re.DOTALL))
        for disk in disks
        for content in _written(disk)
    )


def _written(disk: Path) -> Iterator[bytes]:
    """Yield the runs of bytes of a disk image that were ever written to."""
    with disk.open("rb") as file:
        size, end = disk.stat().st_size, 0
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing follows
                return
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield os.pread(file.fileno(), end - start, start)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    film = bytes(range(256)) * 40
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(8 << 20)
    assert not _in_the_clear(film, disk)
    with disk.open("r+b") as file:
        file.seek((5 << 20) + 77)
        file.write(film)
    assert _in_the_clear(film, disk)
