"""The two slots of a card, and the boot choice: which of them starts, now, always, or once."""

from enum import StrEnum
from pathlib import Path
from typing import Protocol

from evidence.errors import EnvironmentalError, reason_of

BOOTED_FILE = Path("/etc/mirrorcam-slot")  # our init writes it at each start, provisioning/image/recipe/init


class Slot(StrEnum):
    """A boot partition and the root that belongs to it."""

    A = "a"
    B = "b"

    @property
    def other(self) -> "Slot":
        """The one that it takes turns with."""
        return Slot.B if self is Slot.A else Slot.A

    @property
    def boot_partition(self) -> str:
        """The GPT name of its boot partition."""
        return f"boot-{self.value}"


class BootChoiceError(EnvironmentalError):
    """What the firmware is to start cannot be read, or not be changed."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Which slot this unit starts cannot be told or changed: {what}. It starts the one it has now."
        )


class BootChoice(Protocol):
    """What the firmware starts; every method raises BootChoiceError."""

    def current(self) -> Slot:
        """Return the slot that runs now."""

    def permanent(self) -> Slot | None:
        """Return the slot that the firmware starts by itself, None where it was never told one, or has forgotten it."""

    def try_once(self, slot: Slot) -> str | None:
        """Have the next start, and no other, take `slot`.

        Returns the argument that the restart has to carry for that; without one the firmware knows it already.
        """

    def make_permanent(self, slot: Slot) -> None:
        """Have every start take `slot`; after a power cut at any moment it is the slot from before, or this one."""


def booted_slot(file: Path = BOOTED_FILE) -> Slot:
    """Return the slot that our init has started; raises BootChoiceError."""
    try:
        return Slot(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise BootChoiceError(f"{file} does not name a slot ({reason_of(error)})") from error
