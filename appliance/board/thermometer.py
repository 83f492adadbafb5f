"""How warm the processor is, where the kernel knows."""

from pathlib import Path

ZONE = Path("/sys/class/thermal/thermal_zone0/temp")


class Thermometer:
    """The first zone of the kernel's thermal class (Documentation/ABI/testing/sysfs-class-thermal): the processor."""

    def __init__(self, zone: Path = ZONE) -> None:
        self._zone = zone

    def celsius(self) -> float | None:
        """Return the temperature, or None where nothing measures it."""
        try:
            return int(self._zone.read_text(encoding="ascii")) / 1000
        except (OSError, ValueError):
            return None
