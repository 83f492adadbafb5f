"""The one table that says what the unit does: in each state, for each event, the next state and what is done.

Nothing here touches a camera, a disk or a screen: the unit carries out the actions, everything else follows the state.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from evidence.manifest import EndedBy
from evidence.policy import Policy


class State(StrEnum):
    """What the unit is doing, as the wearer would say it."""

    STARTING = "starting"
    STANDBY = "standby"
    LIVE = "live"
    RECORDING = "recording"
    POST_RECORDING = "post-recording"  # the wearer has ended the clip, the policy's last seconds still run
    DOCKED = "docked"
    FAULT = "fault"
    OFF = "off"


class Event(StrEnum):
    """What can happen to the unit."""

    CAMERA_READY = "camera ready"
    RESUMED = "resumed"  # the camera is ready, and a recording that its failure or a crash has cut off is to go on
    CAMERA_FAILED = "camera failed"
    NOT_READY = "not ready"  # what the camera is to work with is missing: a good policy, a storage that keeps up
    CAMERA_RETRY_DUE = "camera retry due"
    TOUCHED = "touched"
    RELEASED = "released"
    HELD = "held"  # a touch that began while recording has lasted as long as the policy asks
    LIVE_TIMED_OUT = "live timed out"
    CLIP_BEGUN = "clip begun"
    CLIP_REFUSED = "clip refused"
    CLIP_LONG_ENOUGH = "clip long enough"
    REMINDER_DUE = "reminder due"
    POST_RECORD_OVER = "post-record over"
    STORAGE_FULL = "storage full"
    STORAGE_SLOW = "storage slow"
    STORAGE_FAILED = "storage failed"
    RECORD_AGAIN_DUE = "record again due"
    DOCKED = "docked"
    UNDOCKED = "undocked"
    CLIPS_CLOSED = "clips closed"  # the storage has taken the rest of what it was too slow for when the camera stopped
    OFFLOADED = "offloaded"
    OFFLOAD_FAILED = "offload failed"
    OFFLOAD_RETRY_DUE = "offload retry due"
    TOUCH_LOST = "touch lost"
    TOUCH_FOUND = "touch found"
    DISPLAY_LOST = "display lost"
    DISPLAY_FOUND = "display found"
    NO_MICROPHONE = "no microphone"  # sound is wanted, and does not come
    MICROPHONE_FOUND = "microphone found"
    SHUT_DOWN = "shut down"


class News(NamedTuple):
    """An event; where it is a fault, with the sentence that says what is wrong."""

    event: Event
    sentence: str = ""


class Fault(StrEnum):
    """What keeps the unit from being ready to record at a touch; several can be there at once."""

    CAMERA = "camera"
    STORAGE = "storage"
    TOUCH = "touch"


_NO_FAULTS: frozenset[Fault] = frozenset()
_READY = {State.STANDBY, State.LIVE}
# Which fault an event brings, and which it ends. A clip that was refused is none: the next touch may find it otherwise.
BRINGS: Mapping[Event, Fault] = {
    Event.CAMERA_FAILED: Fault.CAMERA,
    Event.NOT_READY: Fault.CAMERA,
    Event.STORAGE_FULL: Fault.STORAGE,
    Event.STORAGE_SLOW: Fault.STORAGE,
    Event.STORAGE_FAILED: Fault.STORAGE,
    Event.TOUCH_LOST: Fault.TOUCH,
}
_ENDS: Mapping[Event, Set[Fault]] = {
    Event.CAMERA_READY: {Fault.CAMERA},
    Event.RESUMED: {Fault.CAMERA},
    Event.CLIP_BEGUN: {Fault.CAMERA, Fault.STORAGE},
    Event.TOUCH_FOUND: {Fault.TOUCH},
    Event.DOCKED: {Fault.CAMERA, Fault.STORAGE},  # off the dock both are begun anew
}


class Timer(StrEnum):
    """A clock that an action arms; when it runs out, the event named beside it happens."""

    HOLD = Event.HELD.value
    LIVE = Event.LIVE_TIMED_OUT.value
    LONGEST_CLIP = Event.CLIP_LONG_ENOUGH.value
    REMINDER = Event.REMINDER_DUE.value
    POST_RECORD = Event.POST_RECORD_OVER.value
    CAMERA_RETRY = Event.CAMERA_RETRY_DUE.value
    RECORD_AGAIN = Event.RECORD_AGAIN_DUE.value
    OFFLOAD_RETRY = Event.OFFLOAD_RETRY_DUE.value

    @property
    def event(self) -> Event:
        """The event of its running out."""
        return Event(self.value)


# In which states a timer may go on running; entering any other state stops it.
RUNS_IN: Mapping[Timer, frozenset[State]] = {
    Timer.HOLD: frozenset({State.RECORDING}),
    Timer.LIVE: frozenset({State.LIVE}),
    Timer.LONGEST_CLIP: frozenset({State.RECORDING, State.POST_RECORDING}),
    Timer.REMINDER: frozenset({State.RECORDING, State.POST_RECORDING}),
    Timer.POST_RECORD: frozenset({State.POST_RECORDING}),
    Timer.CAMERA_RETRY: frozenset({State.FAULT}),
    Timer.RECORD_AGAIN: frozenset({State.FAULT}),
    Timer.OFFLOAD_RETRY: frozenset({State.DOCKED}),
}


class Do(StrEnum):
    """An action without a detail. BEGIN_CLIP is answered by CLIP_BEGUN or CLIP_REFUSED, OFFLOAD by its two events."""

    START_CAMERA = "start camera"
    STOP_CAMERA = "stop camera"
    BEGIN_CLIP = "begin clip"
    OFFLOAD = "offload"
    STOP_OFFLOAD = "stop offload"
    OPEN_SCREEN = "open screen"
    SIGNAL_START = "signal start"
    SIGNAL_STOP = "signal stop"
    REMIND = "remind"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class EndClip:
    """Close the running clip; its manifest will say why."""

    ended_by: EndedBy


@dataclass(frozen=True, slots=True)
class Arm:
    """Start a timer, anew if it runs."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Disarm:
    """Stop a timer."""

    timer: Timer


Action = Do | EndClip | Arm | Disarm


@dataclass(frozen=True, slots=True)
class Transition:
    """The state after an event, and what is done on the way, in this order."""

    state: State
    actions: tuple[Action, ...] = ()


def _to(state: State, *actions: Action) -> Transition:
    return Transition(state, actions)


Table = Mapping[tuple[State, Event], Transition]

_SHOW_LIVE = _to(State.LIVE, Arm(Timer.LIVE))
_WARN_AND_RETRY_CAMERA = _to(State.FAULT, Do.WARN, Arm(Timer.CAMERA_RETRY))
_WAIT_FOR_CAMERA = _to(State.FAULT, Arm(Timer.CAMERA_RETRY))
_WARN = _to(State.FAULT, Do.WARN)
_RECORD = _to(State.RECORDING, Do.SIGNAL_START, Arm(Timer.LONGEST_CLIP), Arm(Timer.REMINDER))
_DOCK = _to(State.DOCKED, Do.STOP_CAMERA, Do.OFFLOAD)
_SWITCH_OFF = _to(State.OFF, Do.STOP_CAMERA)


def _end(ended_by: EndedBy, then: Transition) -> Transition:
    return Transition(then.state, (EndClip(ended_by), Do.SIGNAL_STOP, *then.actions))


def _break_off(ended_by: EndedBy, then: Transition) -> Transition:
    return Transition(then.state, (EndClip(ended_by), *then.actions))  # its warning is what is to be heard


def _while_writing(state: State) -> dict[tuple[State, Event], Transition]:
    """Return what ends a clip in either of the two states in which one is written."""
    return {
        (state, Event.STORAGE_FULL): _break_off("storage-full", _WARN),
        (state, Event.STORAGE_FAILED): _break_off("storage-failed", _WARN),
        (state, Event.STORAGE_SLOW): _break_off("storage-slow", _to(State.FAULT, Do.WARN, Arm(Timer.RECORD_AGAIN))),
        (state, Event.DOCKED): _end("docked", _DOCK),
        (state, Event.SHUT_DOWN): _end("shutdown", _SWITCH_OFF),
    }


def _while_dark_or_live(state: State) -> dict[tuple[State, Event], Transition]:
    """Return what standby and live have in common: the camera runs, and nothing is written."""
    return {
        (state, Event.CLIP_BEGUN): _RECORD,
        (state, Event.CLIP_REFUSED): _WARN,
        (state, Event.CAMERA_FAILED): _WARN_AND_RETRY_CAMERA,
        (state, Event.TOUCH_LOST): _WARN,
        # A clip is closed after the state has moved on: its end can still fail.
        (state, Event.STORAGE_FULL): _WARN,
        (state, Event.STORAGE_SLOW): _WARN,
        (state, Event.STORAGE_FAILED): _WARN,
        (state, Event.DOCKED): _DOCK,
        (state, Event.SHUT_DOWN): _SWITCH_OFF,
    }


def _with_parts(state: State) -> dict[tuple[State, Event], Transition]:
    """Return what each state does when the touch panel, the display or the microphone goes, or comes.

    Without a display or a microphone everything goes on. Without a touch panel a clip goes on, but one that cannot be
    begun is a fault. A finger that was on the panel or the display when it went or came no longer holds anything.
    """
    return {
        (state, Event.TOUCH_LOST): _to(state, Disarm(Timer.HOLD), Do.WARN),
        (state, Event.TOUCH_FOUND): _to(state),
        (state, Event.DISPLAY_LOST): _to(state, Do.WARN),
        (state, Event.DISPLAY_FOUND): _to(state, Disarm(Timer.HOLD), Do.OPEN_SCREEN),
        (state, Event.NO_MICROPHONE): _to(state, Do.WARN),
        (state, Event.MICROPHONE_FOUND): _to(state),
    }


_COMMON: Table = {
    **{pair: then for state in State if state is not State.OFF for pair, then in _with_parts(state).items()},
    (State.STARTING, Event.CAMERA_READY): _to(State.STANDBY),
    (State.STARTING, Event.RESUMED): _to(State.STARTING, Do.BEGIN_CLIP),
    (State.STARTING, Event.CLIP_BEGUN): _RECORD,
    (State.STARTING, Event.CLIP_REFUSED): _WARN,
    (State.STARTING, Event.STORAGE_FULL): _WARN,
    (State.STARTING, Event.CAMERA_FAILED): _WARN_AND_RETRY_CAMERA,
    (State.STARTING, Event.NOT_READY): _WARN_AND_RETRY_CAMERA,
    (State.STARTING, Event.DOCKED): _DOCK,
    (State.STARTING, Event.SHUT_DOWN): _SWITCH_OFF,
    **_while_dark_or_live(State.STANDBY),
    **_while_dark_or_live(State.LIVE),
    (State.LIVE, Event.TOUCHED): _to(State.LIVE, Do.BEGIN_CLIP),
    (State.LIVE, Event.LIVE_TIMED_OUT): _to(State.STANDBY),
    **_while_writing(State.RECORDING),
    (State.RECORDING, Event.CAMERA_FAILED): _break_off("camera-failed", _WARN_AND_RETRY_CAMERA),
    (State.RECORDING, Event.TOUCHED): _to(State.RECORDING, Arm(Timer.HOLD)),
    (State.RECORDING, Event.RELEASED): _to(State.RECORDING, Disarm(Timer.HOLD)),
    (State.RECORDING, Event.REMINDER_DUE): _to(State.RECORDING, Do.REMIND, Arm(Timer.REMINDER)),
    (State.RECORDING, Event.CLIP_LONG_ENOUGH): _to(State.RECORDING, EndClip("longest-clip"), Do.BEGIN_CLIP),
    (State.RECORDING, Event.CLIP_BEGUN): _to(State.RECORDING, Arm(Timer.LONGEST_CLIP)),
    (State.RECORDING, Event.CLIP_REFUSED): _WARN,
    **_while_writing(State.POST_RECORDING),
    # The wearer has ended it, and so it does not go on when the camera is back.
    (State.POST_RECORDING, Event.CAMERA_FAILED): _break_off("wearer", _WARN_AND_RETRY_CAMERA),
    (State.POST_RECORDING, Event.TOUCHED): _to(State.RECORDING),
    (State.POST_RECORDING, Event.REMINDER_DUE): _to(State.POST_RECORDING, Arm(Timer.REMINDER)),
    (State.POST_RECORDING, Event.POST_RECORD_OVER): _end("wearer", _to(State.STANDBY)),
    (State.POST_RECORDING, Event.CLIP_LONG_ENOUGH): _end("wearer", _to(State.STANDBY)),
    (State.DOCKED, Event.CLIPS_CLOSED): _to(State.DOCKED, Disarm(Timer.OFFLOAD_RETRY), Do.STOP_OFFLOAD, Do.OFFLOAD),
    (State.DOCKED, Event.OFFLOADED): _to(State.DOCKED),
    (State.DOCKED, Event.OFFLOAD_FAILED): _to(State.DOCKED, Arm(Timer.OFFLOAD_RETRY)),
    (State.DOCKED, Event.OFFLOAD_RETRY_DUE): _to(State.DOCKED, Do.OFFLOAD),
    (State.DOCKED, Event.UNDOCKED): _to(State.STARTING, Do.STOP_OFFLOAD, Do.START_CAMERA),
    (State.DOCKED, Event.SHUT_DOWN): _to(State.OFF, Do.STOP_OFFLOAD),
    # Whatever is wrong, a touch tries to record: what still stands in the way is told again.
    (State.FAULT, Event.TOUCHED): _to(State.FAULT, Do.BEGIN_CLIP),
    (State.FAULT, Event.RECORD_AGAIN_DUE): _to(State.FAULT, Arm(Timer.RECORD_AGAIN), Do.BEGIN_CLIP),
    (State.FAULT, Event.CLIP_BEGUN): _RECORD,
    (State.FAULT, Event.CLIP_REFUSED): _WARN,
    (State.FAULT, Event.CAMERA_FAILED): _WAIT_FOR_CAMERA,
    (State.FAULT, Event.NOT_READY): _WAIT_FOR_CAMERA,
    (State.FAULT, Event.CAMERA_RETRY_DUE): _to(State.FAULT, Do.START_CAMERA),
    (State.FAULT, Event.CAMERA_READY): _to(State.STANDBY),
    (State.FAULT, Event.TOUCH_FOUND): _to(State.STANDBY),
    (State.FAULT, Event.RESUMED): _to(State.FAULT, Do.BEGIN_CLIP),
    (State.FAULT, Event.STORAGE_FULL): _to(State.FAULT, Disarm(Timer.RECORD_AGAIN), Do.WARN),
    (State.FAULT, Event.STORAGE_SLOW): _WARN,
    (State.FAULT, Event.STORAGE_FAILED): _WARN,
    (State.FAULT, Event.DOCKED): _DOCK,
    (State.FAULT, Event.SHUT_DOWN): _SWITCH_OFF,
}


def table_for(policy: Policy) -> Table:
    """Return the table as this policy wants it: what the first touch does, and whether a clip runs on after its end."""
    first_touch = _to(State.STANDBY, Do.BEGIN_CLIP) if policy.on_touch == "live+record" else _SHOW_LIVE
    runs_on = policy.post_record_seconds > 0
    held = _to(State.POST_RECORDING, Arm(Timer.POST_RECORD)) if runs_on else _end("wearer", _to(State.STANDBY))
    return {**_COMMON, (State.STANDBY, Event.TOUCHED): first_touch, (State.RECORDING, Event.HELD): held}


_STARTED = {Event.CAMERA_READY, Event.RESUMED, Event.NOT_READY}
_CLIP = {Event.CLIP_BEGUN, Event.CLIP_REFUSED}
_STORAGE = {Event.STORAGE_FULL, Event.STORAGE_SLOW, Event.STORAGE_FAILED}
_DOCKING_OVER = {Event.UNDOCKED, Event.CLIPS_CLOSED, Event.OFFLOADED, Event.OFFLOAD_FAILED}

# What a state takes no notice of: a finger where there is nothing to start or stop, and news that comes too late.
_NO_NOTICE: Mapping[State, set[Event]] = {
    State.STARTING: {Event.TOUCHED, Event.RELEASED, *_STORAGE - {Event.STORAGE_FULL}, *_DOCKING_OVER},
    State.STANDBY: {Event.RELEASED, *_STARTED, *_DOCKING_OVER},
    State.LIVE: {Event.RELEASED, *_STARTED, *_DOCKING_OVER},
    State.RECORDING: {*_STARTED, *_DOCKING_OVER},
    State.POST_RECORDING: {Event.RELEASED, *_STARTED, *_CLIP, *_DOCKING_OVER},
    State.DOCKED: {Event.TOUCHED, Event.RELEASED, Event.DOCKED, Event.CAMERA_FAILED, *_STARTED, *_CLIP, *_STORAGE},
    State.FAULT: {Event.RELEASED, *_DOCKING_OVER},
    State.OFF: set(Event),
}


def _stale_timers(state: State) -> set[Event]:
    return {timer.event for timer, states in RUNS_IN.items() if state not in states}


# The events that change nothing in a state: a pair that is neither here nor in the table is a mistake of ours.
IGNORED: Mapping[State, frozenset[Event]] = {
    state: frozenset(events | _stale_timers(state)) for state, events in _NO_NOTICE.items()
}


def faults_after(faults: Set[Fault], state: State, event: Event) -> frozenset[Fault]:
    """Return which of `faults` are still there after an event, and the one that it brings."""
    if event in IGNORED[state]:
        return frozenset(faults)
    brought = {BRINGS[event]} if event in BRINGS else set()
    return frozenset((faults - _ENDS.get(event, set())) | brought)


def follow(table: Table, state: State, event: Event, faults: Set[Fault] = _NO_FAULTS) -> Transition:
    """Return what `event` leads to in `state`: the same state and no action where it is ignored.

    `faults` are those that are there after it. Where the table leads into readiness while one is there, it is a fault.
    """
    if event in IGNORED[state]:
        return Transition(state)
    transition = table[state, event]
    if not faults or transition.state not in _READY:
        return transition
    # Told anew to the wearer who has just taken the unit off the dock; anywhere else it was told when it came.
    warning = (Do.WARN,) if state is State.STARTING else ()
    return Transition(State.FAULT, (*transition.actions, *warning))
