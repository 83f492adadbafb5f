"""What is to be seen on the screen at one moment, as plain values, and how it follows from the facts."""

from dataclasses import dataclass
from datetime import datetime

from appliance.front import messages
from appliance.front.messages import Message
from appliance.states import State

WITH_PICTURE = {State.LIVE, State.RECORDING, State.POST_RECORDING}
# A clip's first bytes are durable a few milliseconds after the touch; later than this the wearer is told.
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the screen shows.

    Without a picture and without a message the screen is dark: nothing else is drawn then. `recorded_seconds` is None
    exactly when nothing is being written, and the REC mark is there exactly when it is not None. `hold` says how far
    the hold that ends a clip has come, 0 to 1; `is_deaf` that sound is wanted and none comes. What is None is not
    known, and not shown.
    """

    has_picture: bool = False
    mirrored: bool = True
    recorded_seconds: int | None = None
    date_and_time: str = ""
    storage_minutes: int | None = None
    storage_is_low: bool = False
    battery_percent: int | None = None
    is_deaf: bool = False
    hold: float = 0.0
    message: Message | None = None

    @property
    def is_dark(self) -> bool:
        """Whether there is nothing to see."""
        return not self.has_picture and self.message is None and self.recorded_seconds is None


DARK = View()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment.

    `seconds_since_touch` is None when no clip is meant to be written; `is_writing` says whether one really is. `page`
    is what a state without a picture has to say, `banner` what is to be said over the picture, and `warning` what goes
    before all that but a recording that is none.
    """

    state: State
    is_mirrored: bool
    is_writing: bool
    seconds_since_touch: float | None
    local_time: datetime
    storage_minutes: int | None
    storage_is_low: bool
    battery_percent: int | None
    is_deaf: bool
    hold: float
    page: Message | None
    banner: Message | None
    warning: Message | None = None


def view_of(facts: Facts) -> View:
    """Return what the screen shows: the REC mark exactly while something is being written, whatever the state."""
    since = facts.seconds_since_touch
    recorded = int(since) if facts.is_writing and since is not None else None
    if facts.state in WITH_PICTURE:
        return View(
            has_picture=True,
            mirrored=facts.is_mirrored,
            recorded_seconds=recorded,
            date_and_time=messages.date_and_time(facts.local_time),
            storage_minutes=facts.storage_minutes,
            storage_is_low=facts.storage_is_low,
            battery_percent=facts.battery_percent,
            is_deaf=facts.is_deaf,
            hold=facts.hold,
            message=_banner(facts),
        )
    if facts.state in (State.STANDBY, State.OFF):
        return DARK if recorded is None else View(recorded_seconds=recorded)
    return View(recorded_seconds=recorded, message=facts.page)


def _banner(facts: Facts) -> Message | None:
    since = facts.seconds_since_touch
    if since is not None and since > _PATIENCE_SECONDS and not facts.is_writing:
        return messages.NOTHING_IS_WRITTEN
    if facts.warning is not None:
        return facts.warning
    if facts.state is State.POST_RECORDING:
        return messages.LAST_SECONDS
    return facts.banner
