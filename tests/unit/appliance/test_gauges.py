"""Storage and battery, looked at every few seconds."""

import errno
from pathlib import Path

from appliance.board.battery import Battery
from appliance.board.thermometer import Thermometer
from appliance.front.gauges import Gauges
from appliance.writing.disk import Disk, Space
from tests.faults.disks import FailingDisk
from tests.recording import Hand, Unit

BITS_PER_SECOND = 8_000_000
A_MINUTE = BITS_PER_SECOND // 8 * 60


class DiskWith(Disk):
    """A disk of which a test says how many minutes are free."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes

    def space(self, folder: Path) -> Space:
        return Space(free=round(self.minutes * A_MINUTE), total=100 * A_MINUTE)


def gauges(tmp_path: Path, disk: Disk, hand: Hand, *, supplies: Path | None = None) -> Gauges:
    spool = Unit(tmp_path).spool(disk, floor_bytes=0)
    battery = Battery(supplies or tmp_path / "none")
    return Gauges(spool, battery, bits_per_second=BITS_PER_SECOND, monotonic=hand.monotonic)


def test_the_last_minutes_are_told_once_when_they_begin_and_again_after_there_was_more(tmp_path: Path) -> None:
    disk, hand = DiskWith(30.5), Hand()
    look_at = gauges(tmp_path, disk, hand)
    told = []
    for minutes in (30.5, 29.5, 20, 31, 29):
        disk.minutes = minutes
        hand.seconds += 2
        told.append(look_at.look())
    assert told == [False, True, False, False, True]
    assert look_at.storage_minutes == 29
    assert look_at.storage_is_low


def test_nothing_is_read_again_within_two_seconds(tmp_path: Path) -> None:
    disk, hand = DiskWith(40), Hand()
    look_at = gauges(tmp_path, disk, hand)
    look_at.look()
    disk.minutes = 1
    hand.seconds += 1.9
    assert not look_at.look()
    assert look_at.storage_minutes == 40
    hand.seconds += 0.1
    assert look_at.look()


def test_a_storage_that_does_not_answer_has_no_minutes_and_is_not_called_low(tmp_path: Path) -> None:
    disk, hand = FailingDisk(), Hand()
    look_at = gauges(tmp_path, disk, hand)
    disk.fail(errno.EIO, "space")
    assert not look_at.look()
    assert (look_at.storage_minutes, look_at.storage_is_low) == (None, False)
    disk.heal()
    hand.seconds += 2
    look_at.look()
    assert look_at.storage_minutes is not None


def test_the_battery_is_read_where_there_is_one(tmp_path: Path) -> None:
    for name, kind, capacity in (("AC", "Mains", None), ("BAT0", "Battery", "73")):
        supply = tmp_path / "supplies" / name
        supply.mkdir(parents=True)
        (supply / "type").write_text(f"{kind}\n")
        if capacity:
            (supply / "capacity").write_text(f"{capacity}\n")
    look_at = gauges(tmp_path, DiskWith(40), Hand(), supplies=tmp_path / "supplies")
    look_at.look()
    assert look_at.battery_percent == 73
    (tmp_path / "supplies" / "BAT0" / "capacity").write_text("unknown\n")
    assert Battery(tmp_path / "supplies").percent() is None


def test_the_processors_temperature_is_read_where_the_kernel_knows_it(tmp_path: Path) -> None:
    zone = tmp_path / "temp"
    zone.write_text("47774\n")
    assert Thermometer(zone).celsius() == 47.774
    assert Thermometer(tmp_path / "none").celsius() is None
    zone.write_text("")
    assert Thermometer(zone).celsius() is None
