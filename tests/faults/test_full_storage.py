"""The last megabytes of a real file system: recording ends while there is room to close, and a full unit is emptied."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.closer import Closer
from appliance.installation import Installation
from appliance.recorder import Recorder
from appliance.recovered import Remains
from appliance.spool import FLOOR_BYTES, Spool, StorageFullError
from appliance.writing.thread import LOOK_BYTES, SENTENCES
from tests.dock import RunningDock, running_dock
from tests.faults.leading import wait_until
from tests.recording import PATIENCE, Hand, Unit, pictures
from tests.worn import Steps, Worn, enrol

MIB = 1 << 20
RATE = 8_000_000


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """A file system as a unit's card has it, but of 96 MiB."""
    assert os.geteuid() == 0, "run this as root: it mounts a file system of its own"
    medium, folder = tmp_path / "card.ext4", tmp_path / "card"
    folder.mkdir()
    with medium.open("wb") as file:
        file.truncate(96 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", medium], check=True)
    subprocess.run(["mount", "-o", "loop", medium, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(card: Path, left: int) -> None:
    """Let so many bytes be free."""
    with (card / "other").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(0, free(card) - left - MIB))
        os.lseek(file.fileno(), 0, os.SEEK_END)
        with contextlib.suppress(OSError):
            while free(card) > left:
                os.write(file.fileno(), bytes(4096))
    os.sync()


def free(card: Path) -> int:
    figures = os.statvfs(card)
    return figures.f_bavail * figures.f_frsize


def standing(card: Path, pre_record_seconds: int = 0) -> tuple[Unit, Spool, Recorder, Hand]:
    """Return a unit whose clock stands still, so that no sync is due however much comes."""
    unit, hand = Unit(card), Hand()
    spool = unit.spool(floor_bytes=FLOOR_BYTES)
    spool.recover()
    return unit, spool, unit.recorder(spool, hand=hand, pre_record_seconds=pre_record_seconds), hand


def test_what_comes_all_at_once_does_not_run_through_what_is_kept_free_for_closing(card: Path) -> None:
    unit, spool, recorder, hand = standing(card)
    fill(card, FLOOR_BYTES + 2 * LOOK_BYTES)
    recorder.begin(wearer="w")
    for packet in pictures(60, start_us=round(hand.seconds * 1_000_000), bits_per_second=RATE):
        recorder.push(packet)
    wait_until(lambda: recorder.status().failure == SENTENCES["storage-full"])
    assert recorder.shut_down(PATIENCE)
    os.sync()
    assert free(card) > FLOOR_BYTES - 2 * LOOK_BYTES
    (clip,) = spool.waiting()
    assert (clip.manifest.complete, clip.manifest.ended_by) == (True, "storage-full")
    assert unit.open(clip)


def test_a_touch_is_refused_where_there_is_no_room_for_what_the_ring_holds(card: Path) -> None:
    _, spool, recorder, hand = standing(card, pre_record_seconds=20)
    for packet in pictures(20, start_us=round((hand.seconds - 20) * 1_000_000), bits_per_second=RATE):
        recorder.push(packet)
    fill(card, FLOOR_BYTES + 4 * MIB)
    with pytest.raises(StorageFullError, match="put this unit on the dock"):
        recorder.begin(wearer="w")
    assert spool.free_bytes() > 3 * MIB
    assert list((card / "data").iterdir()) == []
    assert recorder.shut_down(PATIENCE)


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


def test_a_unit_without_a_free_byte_starts_and_is_emptied_by_its_dock(card: Path, dock: RunningDock) -> None:
    unit = Worn.open(enrol(card / "unit", dock.pki, f"https://localhost:{dock.port}"))
    clips = [unit.clip(MIB).clip_id, unit.clip(MIB).clip_id, unit.cut(MIB)]
    fill(card, 0)
    installation = Installation.open(unit.installation.folder.path)
    assert [each.remains for each in installation.recover()] == [Remains.CUT]
    steps = Steps()
    with Closer(installation.spool, report=lambda _: None, complain=lambda _: None):
        with pytest.raises(OSError, match="No space left"):  # the dock's policy, which was to be kept before all this
            Worn(installation).offload(steps)
        assert steps.deleted == clips
        assert (installation.spool.left(), installation.clock.quality().last_sync is None) == ((), False)
        assert Worn(installation).offload().names == ["Greeted"]
    assert {head.dock_id for head in Installation.open(installation.folder.path).spool.seen_heads()} == {"dock-1"}
