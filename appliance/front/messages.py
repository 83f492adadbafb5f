"""Every sentence that the wearer reads: short, plain, and saying what to do."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from appliance.recovered import Remains
from appliance.states import Event, News, State


class Tone(Enum):
    """How a message is meant."""

    CALM = "calm"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Message:
    """A short headline and one sentence for the wearer; `progress` (0 to 1) draws a bar below them.

    A headline that is read off and typed elsewhere is large.
    """

    headline: str
    sentence: str = ""
    tone: Tone = Tone.CALM
    progress: float | None = None
    is_large: bool = False


KEEP_HOLDING = "Keep holding to stop"

STARTING = Message("Starting")
NOTHING_IS_WRITTEN = Message("Nothing is being recorded", "The storage does not take it yet.", Tone.FAULT)
NO_TOUCH_PANEL = Message(
    "No touch panel",
    "Nothing can be recorded. Push its cable in: the unit goes on by itself. If this stays, hand it in.",
    Tone.FAULT,
)
LOST = {  # for the log, which IT reads
    Event.TOUCH_LOST: "There is no touch panel, so nobody can start or stop a recording: check its cable.",
    Event.DISPLAY_LOST: "There is no display, so nobody sees what is recorded: check its cable.",
}
RECORDS_UNTOUCHED = Message(
    "The recording goes on", "The touch panel is gone. To end it put the unit on the dock.", Tone.WARNING
)
NO_SOUND = Message("No sound", "A recording has pictures, but no sound. If this stays, tell IT.", Tone.WARNING)
GOES_ON = Message("Recording goes on after a fault", "A moment is missing. Hold two seconds to stop.", Tone.WARNING)
LAST_SECONDS = Message("Recording the last seconds", "Touch to go on recording.")


def storage_low(minutes: int) -> Message:
    """Tell that the last minutes of storage have begun."""
    return Message("Storage is nearly full", f"{_minutes(minutes)} left. Put the unit on the dock soon.", Tone.WARNING)


_STARTED_AGAIN = "The unit has started again"
_RECOVERED = {
    Remains.NOTHING: Message(_STARTED_AGAIN, "Nothing had been recorded since the last touch.", Tone.WARNING),
    Remains.CUT: Message(
        _STARTED_AGAIN, "The end of the last recording is missing. All before it is kept.", Tone.WARNING
    ),
    Remains.WHOLE: Message(_STARTED_AGAIN, "The last recording is complete."),
    Remains.DAMAGED: Message(_STARTED_AGAIN, "Something of a recording is damaged. Hand the unit to IT.", Tone.WARNING),
}


def recovered(remains: Remains) -> Message | None:
    """Tell the wearer what is left of a clip after a power cut or a crash; None where it is safe on the dock."""
    return _RECOVERED.get(remains)


_GOES_ON_LATER = "All before is safe. It goes on if the camera is back within a minute. If not, hand the unit in."
_HEADLINES = {
    Event.CAMERA_FAILED: "No camera",
    Event.NOT_READY: "Not ready to record",
    Event.CLIP_REFUSED: "Not recording",
    Event.STORAGE_FULL: "Storage is full",
    Event.STORAGE_SLOW: "Recording broke off",
    Event.STORAGE_FAILED: "Storage has failed",
}


def trouble(news: News, *, was_recording: bool) -> Message | None:
    """Tell what is wrong, None where `news` are no bad news."""
    if news.event is Event.TOUCH_LOST:
        return NO_TOUCH_PANEL
    headline = _HEADLINES.get(news.event)
    if headline is None:
        return None
    if news.event is Event.CAMERA_FAILED:
        if was_recording:
            return Message("Recording has stopped: no camera", _GOES_ON_LATER, Tone.FAULT)
        return Message(headline, "The unit keeps trying. If this stays, hand it in.", Tone.FAULT)
    return Message(headline, news.sentence, Tone.FAULT)


def calling_dock(clips: int) -> Message:
    """Tell that the dock is being called."""
    return Message("On the dock", f"{_clips(clips)} to hand over" if clips else "Nothing to hand over")


def handing_over(number: int, clips: int, part: float) -> Message:
    """Tell how far the handing over has come: clip `number` of `clips`, and `part` (0 to 1) of all bytes."""
    return Message("On the dock", f"Handing over clip {number} of {clips}", progress=part)


def handed_over(clips: int) -> Message:
    """Tell that nothing is left on the unit."""
    if not clips:
        return Message("On the dock", "The unit is empty.")
    return Message("On the dock", f"{_clips(clips)} handed over. The unit is empty.", progress=1.0)


NOT_ALL_CLOSED = Message(
    "On the dock",
    "The end of a recording is still to be saved. Leave the unit here. If this stays, tell IT.",
    Tone.WARNING,
)


def not_read(clips: int) -> Message:
    """Tell that something of clips is on the unit which its storage does not give back."""
    return Message("On the dock", f"{_clips(clips)} cannot be read from this unit. Give it to IT.", Tone.WARNING)


def dock_refused(clips: int) -> Message:
    """Tell that clips had to stay."""
    return Message("On the dock", f"The dock refused {_clips(clips)}, still on this unit. Tell IT.", Tone.WARNING)


def with_refused(message: Message, clips: int) -> Message:
    """Tell beside what comes after a handing over that clips had to stay, so that nobody takes the unit for empty."""
    if not clips:
        return message
    return replace(message, sentence=f"{message.sentence} {dock_refused(clips).sentence}", tone=Tone.WARNING)


def dock_failed(reason: str) -> Message:
    """Tell why nothing could be handed over; the unit tries again by itself."""
    return Message("Dock not reached", reason, Tone.WARNING)


UPDATE_INSTALLS = Message("Updating", "Leave the unit on the dock. It starts again by itself.")
UPDATED = Message("Updated", "The unit has new software.")
NOT_UPDATED = Message("Not updated", "The unit works as before. IT can see the reason at the dock.", Tone.WARNING)
NOT_UPDATED_YET = Message("Not updated", "The unit works as before. It tries again at its next docking.", Tone.WARNING)


def update_arrives(part: float) -> Message:
    """Tell how far an update has come from the dock, `part` from 0 to 1."""
    return Message("Updating", "Leave the unit on the dock.", progress=part)


NEW_UNIT = Message(
    "Put me on the dock", "This unit is new. IT opens enrolment at the dock; until then no dock answers."
)


def enrolment_code(digits: str, *, is_answered: bool) -> Message:
    """Show the code that IT types at the dock."""
    waits = "IT types this code at the dock."
    return Message(digits, waits if is_answered else f"The dock does not answer just now. {waits}", is_large=True)


def enrolment_trouble(sentence: str) -> Message:
    """Tell why the unit is not enrolled; it tries again by itself."""
    return Message("Not enrolled yet", sentence, Tone.FAULT)


def enrolled(unit_id: str) -> Message:
    """Tell that the unit is enrolled, and what it is called now."""
    return Message(unit_id, "This unit is enrolled. Write its name on it.", is_large=len(unit_id) <= 10)


IN_A_WINDOW_NEW = "Mirrorcam – new unit · Esc: quit"


def elapsed(seconds: int) -> str:
    """Return a running clip's length as 03:07, from an hour on as 1:03:07."""
    hours, rest = divmod(seconds, 3600)
    clock = f"{rest // 60:02}:{rest % 60:02}"
    return f"{hours}:{clock}" if hours else clock


def date_and_time(moment: datetime) -> str:
    """Return a moment as the wearer's own clock shows it, day first, which no reader of two lands takes for another."""
    return f"{moment:%d %b %Y  %H:%M:%S}"


def storage_left(minutes: int) -> str:
    """Return how long one can still record, for the screen."""
    return f"Storage {duration(minutes)}"


def duration(minutes: int) -> str:
    """Return minutes as hours and minutes."""
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02} min" if hours else f"{rest} min"


_IN_A_WINDOW = {
    State.STARTING: "starting",
    State.STANDBY: "standby, dark · click: record · D: dock · Esc: quit",
    State.LIVE: "live, not recording · click: record · Esc: quit",
    State.RECORDING: "recording · hold: stop · D: dock · Esc: stop and quit",
    State.POST_RECORDING: "recording its last seconds · click: go on",
    State.DOCKED: "on the dock · D: take off · Esc: quit",
    State.FAULT: "fault · click: try to record · D: dock · Esc: quit",
    State.OFF: "closing",
}


def window_title(state: State) -> str:
    """Return what a window on a computer says above the picture: the state, and what mouse and keys do in it."""
    return f"Mirrorcam – {_IN_A_WINDOW[state]}"


def _minutes(minutes: int) -> str:
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _clips(clips: int) -> str:
    return "1 clip" if clips == 1 else f"{clips} clips"
