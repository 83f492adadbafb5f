"""What is to be seen on the screen at one moment, as plain values that two moments can be compared by."""

from dataclasses import dataclass
from enum import Enum


class Tone(Enum):
    """How a message is meant."""

    CALM = "calm"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Message:
    """A short headline and one sentence for the wearer; `progress` (0 to 1) draws a bar below them."""

    headline: str
    sentence: str = ""
    tone: Tone = Tone.CALM
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the screen shows.

    Without a picture and without a message the screen is dark: nothing else is drawn then. `recorded_seconds` is None
    exactly when nothing is being written, and the REC mark is there exactly when it is not None. `hold` says how far
    the hold that ends a clip has come, 0 to 1. What is None is not known, and not shown.
    """

    has_picture: bool = False
    mirrored: bool = True
    recorded_seconds: int | None = None
    date_and_time: str = ""
    storage_minutes: int | None = None
    storage_is_low: bool = False
    battery_percent: int | None = None
    hold: float = 0.0
    message: Message | None = None

    @property
    def is_dark(self) -> bool:
        """Whether there is nothing to see."""
        return not self.has_picture and self.message is None and self.recorded_seconds is None


DARK = View()
