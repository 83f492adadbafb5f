"""The unit at work: takes what happens, asks the table of states what follows, and has the parts carry it out."""

import time
from collections import deque
from collections.abc import Callable

from appliance.docking.delivery import Delivery
from appliance.front import messages
from appliance.front.face import Face
from appliance.front.touch import Input, TouchPanel
from appliance.front.view import WITH_PICTURE
from appliance.inbox import Happening, Inbox
from appliance.journal import Journal
from appliance.recording import Recording
from appliance.states import (
    BRINGS,
    IGNORED,
    Action,
    Arm,
    Disarm,
    Do,
    EndClip,
    Event,
    Fault,
    News,
    State,
    Timer,
    faults_after,
    follow,
    table_for,
)
from appliance.timers import Timers
from appliance.updates.signs import Sign, Signs
from evidence.errors import EnvironmentalError
from evidence.supervisor import Supervisor

LIVE_SECONDS = 30.0  # the live picture without a recording: long enough to show somebody himself, then dark again
CAMERA_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)  # after the first failure in a row, the second, and so on
CAMERA_RETRIES = 2  # with a camera that had worked; then a new process has it, for what holds it may be in this one
RECORD_AGAIN_SECONDS = 5.0
OFFLOAD_RETRY_SECONDS = 15.0

# How often the unit looks up: a touch waits for the first at most, the picture for the second; until a clip's first
# bytes are durable the third tells when that was.
_DARK_TICK, _PICTURE_TICK, _FIRST_BYTES_TICK = 0.02, 0.008, 0.001

_WRITING = {State.RECORDING, State.POST_RECORDING}  # in these the writer itself meets whatever is wrong with the disk
_READY_TO_WRITE = {State.STANDBY, State.LIVE}
_EVENTS = {
    Input.DOWN: Event.TOUCHED,
    Input.UP: Event.RELEASED,
    Input.DOCK: Event.DOCKED,
    Input.UNDOCK: Event.UNDOCKED,
    Input.QUIT: Event.SHUT_DOWN,
}


class CameraLostError(EnvironmentalError):
    """A camera that had worked does not come back in this process."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"The camera did not come back, so this process makes way for a new one. {sentence}")


class Unit:
    """Runs on one thread; what others have to tell comes through the inbox.

    Only the table of states decides. A hold ends when it has lasted long enough by the moments of touching and letting
    go, however late the unit gets round to them. The REC mark follows what the recorder says is being written.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        recording: Recording,
        delivery: Delivery,
        face: Face,
        panel: TouchPanel,
        journal: Journal,
        wearer: Callable[[], str],
        supervisor: Supervisor,
        signs: Signs,
    ) -> None:
        self._inbox = inbox
        self._recording = recording
        self._delivery = delivery
        self._face = face
        self._panel = panel
        self._journal = journal
        self._wearer = wearer
        self._supervisor = supervisor
        self._signs = signs
        self._state = State.STARTING
        self._faults: frozenset[Fault] = frozenset()
        self._timers = Timers()
        self._now = self._looked_at = time.monotonic()
        self._pending: deque[News] = deque()
        self._camera_failures = 0
        self._has_had_camera = False
        self._is_resuming = False
        self._is_deaf = False
        self._actions: dict[Do, Callable[[], News | None]] = {
            Do.START_CAMERA: recording.start_camera,
            Do.STOP_CAMERA: recording.stop_camera,
            Do.BEGIN_CLIP: lambda: recording.begin_clip(self._wearer()),
            Do.OFFLOAD: delivery.start,
            Do.STOP_OFFLOAD: delivery.stop,
            Do.OPEN_SCREEN: face.open_screen,
        }

    def run(self) -> None:
        """Work until the unit is switched off; then every clip is closed and the screen dark.

        Raises CameraLostError, after the same, where somebody starts the unit again.
        """
        try:
            self._face.entered(self._state)
            self._face.show(self._state, self._recording.status(), None, is_mirrored=True, hold=0)
            self._perform(Do.START_CAMERA)
            self._follow_pending()
            self._supervisor.ready()
            while self._state is not State.OFF:
                self._turn()
                self._supervisor.alive()  # nothing else of the unit gives a sign of life: if this loop hangs, it ends
        finally:
            self._supervisor.stopping()
            self._recording.stop_camera()
            self._delivery.stop()
            self._face.close()
            self._journal.stopped()

    # What happens

    def _turn(self) -> None:
        for happening in self._happenings():
            self._pass_time(until=happening.at)
            self._pending.append(self._news_of(happening.what))
            self._follow_pending()
        self._pass_time(until=time.monotonic())
        trouble = self._recording.observe()
        if trouble is None and self._state in _READY_TO_WRITE:
            trouble = self._recording.check_storage()
        if trouble:
            self._pending.append(trouble)
            self._follow_pending()
        self._show()

    def _happenings(self) -> list[Happening]:
        came = self._inbox.wait(self._tick())
        before, self._looked_at = self._looked_at, time.monotonic()
        # Nobody tells when between two looks a finger moved: so each touch is taken to be as short as it can have been.
        moments = {Input.UP: before}
        return came + [Happening(moments.get(done, self._looked_at), done) for done in self._panel.poll()]

    def _tick(self) -> float:
        if self._recording.awaits_first_bytes:
            return _FIRST_BYTES_TICK
        return _PICTURE_TICK if self._state in WITH_PICTURE else _DARK_TICK

    def _news_of(self, what: News | Input) -> News:
        if isinstance(what, News):
            return what
        if what is Input.DOCK_KEY:
            return News(Event.UNDOCKED if self._state is State.DOCKED else Event.DOCKED)
        return News(_EVENTS[what])

    def _pass_time(self, *, until: float) -> None:
        for timer in self._timers.run_out(until):
            self._pending.append(News(timer.event))
            self._follow_pending()
        self._now = max(self._now, until)

    # What follows from it

    def _follow_pending(self) -> None:
        """Follow the table for what has come, and for all that its actions bring about."""
        while self._pending:
            self._follow(self._pending.popleft())

    def _follow(self, news: News) -> None:
        before = self._state
        self._faults = faults_after(self._faults, before, news.event)
        transition = follow(table_for(self._recording.policy), before, news.event, self._faults)
        self._note(news, before)
        self._state = transition.state
        self._timers.keep_for(self._state)
        for action in transition.actions:
            self._perform(action)
        if self._state is not before:
            self._entered(before)

    def _perform(self, action: Action) -> None:
        match action:
            case EndClip(ended_by):
                self._recording.end_clip(ended_by)
            case Arm(timer):
                self._timers.arm(timer, now=self._now, seconds=self._seconds(timer))
            case Disarm(timer):
                self._timers.disarm(timer)
            case Do():
                self._face.signal(action)
                answer = self._actions[action]() if action in self._actions else None
                if answer:
                    self._pending.append(answer)

    def _seconds(self, timer: Timer) -> float:
        policy = self._recording.policy
        return {
            Timer.HOLD: policy.stop_hold_seconds,
            Timer.LIVE: LIVE_SECONDS,
            Timer.LONGEST_CLIP: policy.max_clip_minutes * 60.0,
            Timer.REMINDER: float(policy.reminder_seconds),
            Timer.POST_RECORD: float(policy.post_record_seconds),
            Timer.CAMERA_RETRY: CAMERA_RETRY_SECONDS[min(self._camera_failures, len(CAMERA_RETRY_SECONDS)) - 1],
            Timer.RECORD_AGAIN: RECORD_AGAIN_SECONDS,
            Timer.OFFLOAD_RETRY: OFFLOAD_RETRY_SECONDS,
        }[timer]

    # What is told of it

    def _note(self, news: News, before: State) -> None:
        """Keep what the wearer is to read of it."""
        if news.event in (Event.CAMERA_READY, Event.RESUMED):
            self._camera_failures = 0
            self._has_had_camera = True
        elif news.event in (Event.CAMERA_FAILED, Event.NOT_READY):
            self._camera_failures += 1
            self._recording.pause_camera()
            if news.event is Event.CAMERA_FAILED and self._is_camera_given_up:
                raise CameraLostError(news.sentence)
        elif news.event is Event.TOUCH_FOUND:
            self._journal.touch_found()
        elif news.event is Event.DISPLAY_FOUND:
            self._journal.display_found()
        self._note_sound(news)
        self._face.keep_troubles(self._faults)
        self._note_resuming(news.event)
        is_retry = before is State.FAULT and self._camera_failures > 1 and BRINGS.get(news.event) is Fault.CAMERA
        if not is_retry and news.event not in IGNORED[before]:  # a retry has been told
            self._note_trouble(news, before)

    def _note_sound(self, news: News) -> None:
        was_deaf = self._is_deaf
        if news.event is Event.NO_MICROPHONE:
            self._is_deaf = True
        elif news.event in (Event.MICROPHONE_FOUND, Event.DOCKED):  # off the dock it is tried anew
            self._is_deaf = False
        self._face.hear(is_deaf=self._is_deaf)
        if self._is_deaf and not was_deaf:
            self._journal.fault("no_microphone", news.sentence)
        elif was_deaf and news.event is Event.MICROPHONE_FOUND:
            self._journal.microphone_found()

    @property
    def _is_camera_given_up(self) -> bool:
        """Whether a new process would be worth a try; one that has never had a camera would be like this one."""
        return self._has_had_camera and self._camera_failures > CAMERA_RETRIES and self._supervisor.starts_again

    def _note_resuming(self, event: Event) -> None:
        if event is Event.RESUMED:
            self._is_resuming = True
        elif self._is_resuming:
            self._is_resuming = False
            if event is Event.CLIP_BEGUN:
                self._face.announce(messages.GOES_ON)

    def _note_trouble(self, news: News, before: State) -> None:
        trouble = messages.trouble(news, was_recording=before is State.RECORDING)
        if trouble:
            self._face.trouble(BRINGS.get(news.event), trouble)
        if trouble or news.event is Event.DISPLAY_LOST:  # which nobody could read
            self._journal.fault(news.event.name.lower(), news.sentence)

    def _entered(self, before: State) -> None:
        state = self._state
        (self._signs.give if state in _WRITING else self._signs.take_back)(Sign.RECORDING)
        if before is State.DOCKED and state is not State.OFF:
            self._journal.undocked()
        if state in (State.STANDBY, State.LIVE, State.POST_RECORDING):
            self._journal.entered(state)
        self._recording.show_frames(wanted=state in WITH_PICTURE)
        self._face.entered(state)

    def _show(self) -> None:
        in_picture = self._state in WITH_PICTURE
        self._face.show(
            self._state,
            self._recording.status(),
            self._recording.newest_frame() if in_picture else None,
            is_mirrored=self._recording.policy.mirror,
            hold=self._timers.part(Timer.HOLD, time.monotonic()),
        )
