"""The unit's clock goes by the last dock, says how far off it may be, and no jump of the system's clock moves it."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance.clock import DRIFT, Clock
from evidence.manifest import ClockQuality
from tests.recording import BOOT_ID, EPOCH, Hand

OTHER_BOOT = "00000000-0000-4000-8000-000000000000"
DOCK_TIME = EPOCH + timedelta(days=3)
UNKNOWN = ClockQuality(last_sync=None, estimated_error_seconds=None)


class System:
    """The system's two clocks; the one on the wall is off by what a test says."""

    def __init__(self, folder: Path) -> None:
        self.hand = Hand()
        self.off = timedelta(0)
        self.memory = folder / "clock.json"

    def now(self) -> datetime:
        return self.hand.now() + self.off

    def clock(self, boot_id: str = BOOT_ID) -> Clock:
        return Clock(now=self.now, monotonic=self.hand.monotonic, boot_id=boot_id, memory=self.memory)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_without_a_dock_it_is_the_systems_time_of_unknown_error(system: System) -> None:
    clock = system.clock()
    assert clock.utc() == system.now()
    assert clock.quality() == UNKNOWN


def test_what_a_dock_told_goes_on_by_the_monotonic_clock(system: System) -> None:
    clock = system.clock()
    clock.learn(DOCK_TIME, uncertainty_seconds=0.05)
    assert clock.utc() == DOCK_TIME
    system.hand.seconds += 7.25
    assert clock.utc() == DOCK_TIME + timedelta(seconds=7.25)


@pytest.mark.parametrize("days", [-4000, -2, 2, 4000])
def test_a_jump_of_the_systems_clock_moves_nothing(system: System, days: int) -> None:
    clock = system.clock()
    clock.learn(DOCK_TIME, uncertainty_seconds=0.05)
    system.off = timedelta(days=days)
    system.hand.seconds += 60
    assert clock.utc() == DOCK_TIME + timedelta(seconds=60)
    assert clock.quality().last_sync == DOCK_TIME


def test_the_error_is_the_answers_delay_and_the_drift_since(system: System) -> None:
    clock = system.clock()
    clock.learn(DOCK_TIME, uncertainty_seconds=0.05)
    assert clock.quality() == ClockQuality(last_sync=DOCK_TIME, estimated_error_seconds=0.05)
    system.hand.seconds += 86_400
    assert clock.quality().estimated_error_seconds == pytest.approx(0.05 + 86_400 * DRIFT, abs=0.001)


def test_a_dock_that_tells_the_time_again_sets_it_anew(system: System) -> None:
    clock = system.clock()
    clock.learn(DOCK_TIME, uncertainty_seconds=5)
    system.hand.seconds += 1000
    clock.learn(DOCK_TIME + timedelta(hours=1), uncertainty_seconds=0.01)
    assert clock.utc() == DOCK_TIME + timedelta(hours=1)
    assert clock.quality().estimated_error_seconds == 0.01


def test_a_restart_in_the_same_boot_changes_nothing(system: System) -> None:
    system.clock().learn(DOCK_TIME, uncertainty_seconds=0.05)
    system.hand.seconds += 10
    again = system.clock()
    assert again.utc() == DOCK_TIME + timedelta(seconds=10)
    assert again.quality().estimated_error_seconds == pytest.approx(0.051)


def test_after_another_boot_the_systems_clock_is_set_right_by_what_it_was_off(system: System) -> None:
    system.clock().learn(DOCK_TIME, uncertainty_seconds=0.05)
    offset = DOCK_TIME - system.now()
    system.hand = Hand(50_000)
    again = system.clock(OTHER_BOOT)
    assert again.utc() == system.now() + offset
    assert again.quality() == ClockQuality(last_sync=DOCK_TIME, estimated_error_seconds=None)


def test_after_another_boot_it_is_never_before_the_docks_last_word(system: System) -> None:
    system.clock().learn(DOCK_TIME, uncertainty_seconds=0.05)
    system.off = timedelta(days=-20_000)
    assert system.clock(OTHER_BOOT).utc() == DOCK_TIME


def test_the_time_is_in_utc_and_cut_to_milliseconds(system: System) -> None:
    system.hand.seconds = 0.123456
    clock = system.clock()
    assert clock.utc() == EPOCH + timedelta(milliseconds=123)
    clock.learn(DOCK_TIME + timedelta(microseconds=999), uncertainty_seconds=0)
    assert clock.utc() == DOCK_TIME
    assert clock.utc().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"schema": "mirrorcam/clock/2"}',
        b"\0" * 200,
    ],
)
def test_a_damaged_memory_is_no_memory(system: System, content: bytes) -> None:
    system.memory.write_bytes(content)
    clock = system.clock()
    assert clock.utc() == system.now()
    assert clock.quality() == UNKNOWN
    clock.learn(DOCK_TIME, uncertainty_seconds=0)
    assert system.clock().utc() == DOCK_TIME


@pytest.mark.parametrize("boot_id", [BOOT_ID, OTHER_BOOT])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dock_time", "9999-12-31T23:59:59.999Z"),
        ("dock_time", "0001-01-01T00:00:00Z"),
        ("system_time", "9999-12-31T23:59:59.999Z"),
        ("system_time", "0001-01-01T00:00:00Z"),
        ("monotonic_seconds", 1e300),
        ("uncertainty_seconds", 1e300),
    ],
)
def test_a_memory_of_a_time_that_nobody_lives_in_is_no_memory(
    name: str, value: str | float, boot_id: str, system: System
) -> None:
    system.clock().learn(DOCK_TIME, uncertainty_seconds=0.05)
    system.memory.write_text(json.dumps({**json.loads(system.memory.read_text()), name: value}))
    system.hand.seconds += 60
    clock = system.clock(boot_id)
    assert clock.utc() == system.now()
    assert clock.quality() == UNKNOWN


def test_a_time_that_cannot_be_remembered_is_known_until_the_next_boot(tmp_path: Path) -> None:
    system = System(tmp_path / "gone")
    clock = system.clock()
    with pytest.raises(FileNotFoundError):
        clock.learn(DOCK_TIME, uncertainty_seconds=0)
    assert (clock.utc(), clock.quality().last_sync) == (DOCK_TIME, DOCK_TIME)
    assert system.clock().quality() == UNKNOWN


def test_a_memory_that_cannot_be_read_is_no_memory(system: System) -> None:
    system.memory.mkdir()  # who reads it gets an OSError
    assert system.clock().quality() == UNKNOWN


def test_the_memory_is_nobody_elses_to_read(system: System) -> None:
    system.clock().learn(DOCK_TIME, uncertainty_seconds=0)
    assert system.memory.stat().st_mode & 0o777 == 0o600
