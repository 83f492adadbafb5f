"""The unit's face: brings together what screen and tones tell the wearer, moment by moment."""

import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from datetime import datetime

from appliance.camera import Frame
from appliance.front import messages
from appliance.front.gauges import Gauges
from appliance.front.indicators import Indicator, Signal, tell
from appliance.front.messages import Message
from appliance.front.screen import Screen
from appliance.front.view import WITH_PICTURE, Facts, view_of
from appliance.journal import Journal
from appliance.recorder import RecorderStatus
from appliance.states import Do, Fault, State

_BANNER_SECONDS = 8.0
_REDRAW_SECONDS = 0.05  # for what changes without a new picture: clocks, a hold, a bar
_SIGNALS = {
    Do.SIGNAL_START: Signal.STARTED,
    Do.SIGNAL_STOP: Signal.STOPPED,
    Do.REMIND: Signal.REMINDER,
    Do.WARN: Signal.WARNING,
}


class Face:
    """Shows and sounds; decides nothing.

    What a fault has to say is shown as long as it is there; of several the newest, and when that is gone the one
    before. What is announced stands over the picture for a few seconds, from the next time that there is one.
    """

    def __init__(
        self,
        open_screen: Callable[[], Screen],
        indicators: Sequence[Indicator],
        gauges: Gauges,
        journal: Journal,
        *,
        utc: Callable[[], datetime],
        docking: Callable[[], Message],
    ) -> None:
        self._open_screen = open_screen
        self._screen = open_screen()
        self._indicators = indicators
        self._gauges = gauges
        self._journal = journal
        self._utc = utc
        self._docking = docking
        self._troubles: dict[Fault | None, Message] = {}
        self._to_announce: deque[Message] = deque()
        self._announced: Message | None = None
        self._announced_until = self._low_until = float("-inf")
        self._drawn_at = float("-inf")
        self._drawn: tuple[State, int | None] | None = None
        self._is_deaf = False

    @property
    def is_on_panel(self) -> bool:
        """Whether the screen is a device's own, or the device waits for one."""
        return self._screen.display.is_panel

    @property
    def is_in_window(self) -> bool:
        """Whether the screen is a window on a desktop."""
        return self._screen.display.is_window

    def signal(self, action: Do) -> None:
        """Tell by tone what an action of the table wants told; harmless for other actions."""
        if action in _SIGNALS:
            tell(self._indicators, _SIGNALS[action])

    def entered(self, state: State) -> None:
        """Take note of a new state."""
        self._screen.title(messages.window_title(state))
        if state is not State.FAULT:
            self._troubles.pop(None, None)
        if state is State.RECORDING and self._gauges.storage_is_low:
            self._low_until = time.monotonic() + _BANNER_SECONDS

    def trouble(self, fault: Fault | None, message: Message) -> None:
        """Take note of what is wrong; without a fault that lasts it is told until the unit does something else."""
        self._troubles.pop(fault, None)  # the newest stands last
        self._troubles[fault] = message

    def keep_troubles(self, faults: Set[Fault]) -> None:
        """Forget what is wrong no longer; `faults` are those that are there."""
        self._troubles = {fault: told for fault, told in self._troubles.items() if fault is None or fault in faults}

    def announce(self, message: Message) -> None:
        """Show `message` for a few seconds as soon as somebody looks at a picture."""
        self._to_announce.append(message)

    def hear(self, *, is_deaf: bool) -> None:
        """Take note whether sound is wanted and none comes: that stands over every picture."""
        if is_deaf and not self._is_deaf:
            self.announce(messages.NO_SOUND)
        elif self._is_deaf and not is_deaf:
            self._take_back(messages.NO_SOUND)
        self._is_deaf = is_deaf

    def open_screen(self) -> None:
        """Open the screen anew, as after a display was plugged in; what is to be seen is shown at once."""
        self._screen.close()
        self._screen = self._open_screen()
        self._drawn = None

    def show(
        self, state: State, status: RecorderStatus, frame: Frame | None, *, is_mirrored: bool, hold: float
    ) -> None:
        """Bring the screen up to date, if there is anything new to see."""
        now = time.monotonic()
        wanted = (state, frame.sequence if frame else None)
        if wanted == self._drawn and now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn, self._drawn_at = wanted, now
        self._look_at_gauges(now)
        self._screen.show(view_of(self._facts(state, status, now, is_mirrored=is_mirrored, hold=hold)), frame)

    def close(self) -> None:
        """Let the last tone be heard, and leave a dark screen."""
        for indicator in self._indicators:
            indicator.close()
        self._screen.close()

    def _take_back(self, message: Message) -> None:
        self._to_announce = deque(each for each in self._to_announce if each is not message)
        if self._announced is message:
            self._announced_until = float("-inf")

    def _look_at_gauges(self, now: float) -> None:
        if self._gauges.look() and self._gauges.storage_minutes is not None:
            self._journal.storage_low(self._gauges.storage_minutes)
            self._low_until = now + _BANNER_SECONDS
            tell(self._indicators, Signal.WARNING)

    def _facts(self, state: State, status: RecorderStatus, now: float, *, is_mirrored: bool, hold: float) -> Facts:
        pages = {State.STARTING: messages.STARTING, State.DOCKED: self._docking(), State.FAULT: self._newest_trouble()}
        gauges = self._gauges
        return Facts(
            state=state,
            is_mirrored=is_mirrored,
            is_writing=status.writing,
            seconds_since_touch=None if status.started is None else max(0.0, now - status.started),
            local_time=self._utc().astimezone(),
            storage_minutes=gauges.storage_minutes,
            storage_is_low=gauges.storage_is_low,
            battery_percent=gauges.battery_percent,
            is_deaf=self._is_deaf,
            hold=hold,
            page=pages.get(state),
            banner=self._banner(now, is_seen=state in WITH_PICTURE),
            warning=messages.RECORDS_UNTOUCHED if Fault.TOUCH in self._troubles else None,
        )

    def _newest_trouble(self) -> Message:
        return next(reversed(self._troubles.values()), messages.STARTING)

    def _banner(self, now: float, *, is_seen: bool) -> Message | None:
        if is_seen and self._to_announce and now >= self._announced_until:
            self._announced = self._to_announce.popleft()
            self._announced_until = now + _BANNER_SECONDS
            self._journal.told(self._announced.headline)
        if now < self._announced_until:
            return self._announced
        minutes = self._gauges.storage_minutes
        return messages.storage_low(minutes) if minutes is not None and now < self._low_until else None
