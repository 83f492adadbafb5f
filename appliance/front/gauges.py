"""What is left: minutes of storage and battery, looked at every few seconds, not at every frame."""

from collections.abc import Callable

from appliance.board.battery import Battery
from appliance.spool import Spool

_LOOK_SECONDS = 2.0


class Gauges:
    """Keeps the last reading of both."""

    def __init__(self, spool: Spool, battery: Battery, *, bits_per_second: int, monotonic: Callable[[], float]) -> None:
        self._spool = spool
        self._battery = battery
        self._bits_per_second = bits_per_second
        self._monotonic = monotonic
        self._next_look = float("-inf")
        self.storage_minutes = 0
        self.storage_is_low = False
        self.battery_percent: int | None = None

    def look(self) -> bool:
        """Read both when it is time to; return True when the storage's last minutes have begun since the last look."""
        now = self._monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_SECONDS
        was_low = self.storage_is_low
        self.storage_minutes = int(self._spool.minutes_left(self._bits_per_second))
        self.storage_is_low = self._spool.is_on_reserve(self._bits_per_second)
        self.battery_percent = self._battery.percent()
        return self.storage_is_low and not was_low
