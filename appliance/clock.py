"""The unit's clock: what time it is, when a dock last vouched for it, and how far off it may be by now."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from evidence.durable import write_durably
from evidence.manifest import ClockQuality
from evidence.strict import SchemaError, Utc, in_utc, read_json, write_json

# Seconds that an ordinary board's quartz may gain or lose in a second. The NTP FAQ (§8.3.1.1.1) names 12 to 17 ppm for
# ordinary computers at room temperature; a worn unit meets frost and sun, so six times that: 8.6 s a day.
DRIFT = 100e-6

# What a sound memory lies well within, so that no sum of its times leaves the years 1 to 9999 that a date can have.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2970, 1, 1, tzinfo=UTC)
_LONGEST_SECONDS = 1e10

Seconds = Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_SECONDS)]


class _Sync(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """clock.json: the moment at which a dock told the time, on its clock and on both of ours."""

    schema: Literal["mirrorcam/clock/1"] = "mirrorcam/clock/1"
    dock_time: Utc
    system_time: Utc
    monotonic_seconds: Seconds
    boot_id: str
    uncertainty_seconds: Seconds


class Clock:
    """Tells the time by the last dock, where there was one.

    - In the boot in which a dock told the time, time goes on from there by the monotonic clock: a jump of the system's
      clock changes nothing, and the error is the uncertainty of that moment plus the quartz's drift since.
    - After a later boot it is the system's time, set right by what it was off then, never before the dock's last word.
      Nobody knows what the system's clock did while it was off, so its error is unknown, and is said to be.
    - Without a dock yet it is the system's time, of unknown error.
    """

    def __init__(
        self, *, now: Callable[[], datetime], monotonic: Callable[[], float], boot_id: str, memory: Path
    ) -> None:
        """`now` is the system's clock; `memory` the file that remembers the last sync, which need not be there."""
        self._now = now
        self._monotonic = monotonic
        self._boot_id = boot_id
        self._memory = memory
        self._sync = _read(memory)

    def monotonic(self) -> float:
        """Return the seconds since the boot, which never jump."""
        return self._monotonic()

    def utc(self) -> datetime:
        """Tell the time, in UTC, to the millisecond."""
        sync = self._sync
        if sync is None:
            return in_utc(self._now())
        if sync.boot_id == self._boot_id:
            return in_utc(sync.dock_time + timedelta(seconds=self._monotonic() - sync.monotonic_seconds))
        return in_utc(max(sync.dock_time, self._now() + (sync.dock_time - sync.system_time)))

    def quality(self) -> ClockQuality:
        """Tell how far `utc` can be trusted now, as the manifest states it."""
        sync = self._sync
        if sync is None:
            return ClockQuality(last_sync=None, estimated_error_seconds=None)
        error = None
        if sync.boot_id == self._boot_id:
            since = self._monotonic() - sync.monotonic_seconds
            error = round(sync.uncertainty_seconds + DRIFT * since, 3)
        return ClockQuality(last_sync=sync.dock_time, estimated_error_seconds=error)

    def learn(self, dock_time: datetime, *, uncertainty_seconds: float) -> None:
        """Take over the time that a dock has just told and signed, and remember it.

        Raises OSError where it cannot be remembered: then it is the time until the next boot. `uncertainty_seconds` is
        how long the dock's answer took to come.
        """
        sync = _Sync(
            dock_time=in_utc(dock_time),
            system_time=in_utc(self._now()),
            monotonic_seconds=self._monotonic(),
            boot_id=self._boot_id,
            uncertainty_seconds=uncertainty_seconds,
        )
        self._sync = sync
        write_durably(self._memory, write_json(sync), mode=0o600)


def _read(memory: Path) -> _Sync | None:
    """Return the last sync; one that cannot be true is as good as none, for the clock then says it knows nothing."""
    try:
        sync = read_json(memory.read_bytes(), _Sync, "file clock.json")
    except (OSError, SchemaError):
        return None
    return sync if all(_EARLIEST <= time < _LATEST for time in (sync.dock_time, sync.system_time)) else None
