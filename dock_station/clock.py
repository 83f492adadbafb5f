"""Whether the wall clock can be believed: nothing may be deleted early, or be kept for ever, because it was wrong."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# A wall clock that a time server corrects drifts by far less; a change of summer time does not touch UTC at all.
TOLERANCE = timedelta(minutes=2)
# A dock that runs writes to its custody log at least once a day. After a longer silence a person looks at the clock.
LONGEST_SILENCE = timedelta(days=2)


@dataclass(frozen=True)
class ClockReading:
    """The wall clock, and the seconds since the machine's start (sleep included), read at the same moment."""

    wall: datetime
    since_boot_seconds: float


def utc_now() -> datetime:
    """Return the wall clock's time in UTC."""
    return datetime.now(UTC)


def since_boot() -> float:
    """Return the seconds since the machine's start, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_clocks() -> ClockReading:
    """Read both clocks."""
    return ClockReading(utc_now(), since_boot())


def jump(before: ClockReading, now: ClockReading) -> str | None:
    """Say how the wall clock jumped between two readings of one run, or None if it went like the other clock."""
    elapsed = timedelta(seconds=now.since_boot_seconds - before.since_boot_seconds)
    difference = now.wall - before.wall - elapsed
    if abs(difference) <= TOLERANCE:
        return None
    direction = "forward" if difference > timedelta(0) else "back"
    return f"it jumped {direction} by {_in_words(difference)} after {before.wall:%Y-%m-%d %H:%M} UTC"


def disagreement(newest_entry_at: datetime, now: datetime) -> str | None:
    """Say how the wall clock disagrees with the moment of the custody log's newest entry, or None if it does not."""
    if now < newest_entry_at - TOLERANCE:
        return f"it is {_in_words(newest_entry_at - now)} behind the newest entry of the custody log"
    if now > newest_entry_at + LONGEST_SILENCE:
        return f"it is {_in_words(now - newest_entry_at)} ahead of the newest entry of the custody log"
    return None


class ClockWatch:
    """Watches the wall clock of one run of a process.

    Contract: every step away from the reading at the start counts, so many small jumps are found as one large one is;
    a jump is told again and again until `note` says that it stands in the catalogue.
    """

    def __init__(self, read: Callable[[], ClockReading] = read_clocks) -> None:
        self._read = read
        self._reference = read()

    def jumped(self) -> str | None:
        """Say how the wall clock jumped since the reference, or None."""
        return jump(self._reference, self._read())

    def note(self) -> None:
        """Take the clocks as they are for the new reference: the jump is known, and a person will look at it."""
        self._reference = self._read()


def _in_words(span: timedelta) -> str:
    minutes = int(abs(span).total_seconds() // 60)
    if minutes < 2 * 60:
        return f"{minutes} minutes"
    if minutes < 2 * 24 * 60:
        return f"{minutes // 60} hours"
    return f"{minutes // (24 * 60)} days"
