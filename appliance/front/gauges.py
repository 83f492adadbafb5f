"""What is left: minutes of storage and battery, looked at every few seconds, not at every frame."""

from collections.abc import Callable

from appliance.board.battery import Battery
from appliance.spool import Spool

_LOOK_SECONDS = 2.0


class Gauges:
    """Keeps the last reading of both; None is what cannot be read, and then nobody is told that it is low."""

    def __init__(self, spool: Spool, battery: Battery, *, bits_per_second: int, monotonic: Callable[[], float]) -> None:
        self._spool = spool
        self._battery = battery
        self._bits_per_second = bits_per_second
        self._monotonic = monotonic
        self._next_look = float("-inf")
        self.storage_minutes: int | None = None
        self.storage_is_low = False
        self.battery_percent: int | None = None

    def look(self) -> bool:
        """Read both when it is time to; return True when the storage's last minutes have begun since the last look."""
        now = self._monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_SECONDS
        was_low = self.storage_is_low
        self.storage_minutes, self.storage_is_low = self._read_storage()
        self.battery_percent = self._battery.percent()
        return self.storage_is_low and not was_low

    def _read_storage(self) -> tuple[int | None, bool]:
        try:
            return int(self._spool.minutes_left(self._bits_per_second)), self._spool.is_on_reserve(
                self._bits_per_second
            )
        except OSError:
            return None, False
