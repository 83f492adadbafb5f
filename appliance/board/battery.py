"""How full the battery is, where the kernel knows of one."""

from pathlib import Path


class Battery:
    """The first battery under the kernel's power supply class (Documentation/ABI/testing/sysfs-class-power)."""

    def __init__(self, supplies: Path = Path("/sys/class/power_supply")) -> None:
        self._supplies = supplies

    def percent(self) -> int | None:
        """Return the charge, 0 to 100, or None where no battery tells it."""
        for kind in sorted(self._supplies.glob("*/type")):
            try:
                if kind.read_text(encoding="ascii").strip() == "Battery":
                    return max(0, min(100, int((kind.parent / "capacity").read_text(encoding="ascii"))))
            except (OSError, ValueError):
                continue  # a supply that was just unplugged, or a driver that has no figure yet
        return None
