"""The unit's face: brings together what screen and tones tell the wearer, moment by moment."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from appliance.camera import Frame
from appliance.front import messages
from appliance.front.gauges import Gauges
from appliance.front.indicators import Indicator, Signal, tell
from appliance.front.messages import Message
from appliance.front.screen import Screen
from appliance.front.view import Facts, view_of
from appliance.journal import Journal
from appliance.recorder import RecorderStatus
from appliance.states import Do, State

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

    `trouble` is what a fault has to say, and stays until another one comes.
    """

    def __init__(
        self,
        screen: Screen,
        indicators: Sequence[Indicator],
        gauges: Gauges,
        journal: Journal,
        *,
        utc: Callable[[], datetime],
        docking: Callable[[], Message],
    ) -> None:
        self.trouble = messages.STARTING
        self._screen = screen
        self._indicators = indicators
        self._gauges = gauges
        self._journal = journal
        self._utc = utc
        self._docking = docking
        self._banner_until = float("-inf")
        self._drawn_at = float("-inf")
        self._drawn: tuple[State, int | None] | None = None

    def signal(self, action: Do) -> None:
        """Tell by tone what an action of the table wants told; harmless for other actions."""
        if action in _SIGNALS:
            tell(self._indicators, _SIGNALS[action])

    def entered(self, state: State) -> None:
        """Take note of a new state."""
        self._screen.title(messages.window_title(state))
        if state is State.RECORDING and self._gauges.storage_is_low:
            self._banner_until = time.monotonic() + _BANNER_SECONDS

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

    def _look_at_gauges(self, now: float) -> None:
        if self._gauges.look() and self._gauges.storage_minutes is not None:
            self._journal.storage_low(self._gauges.storage_minutes)
            self._banner_until = now + _BANNER_SECONDS
            tell(self._indicators, Signal.WARNING)

    def _facts(self, state: State, status: RecorderStatus, now: float, *, is_mirrored: bool, hold: float) -> Facts:
        pages = {State.STARTING: messages.STARTING, State.DOCKED: self._docking(), State.FAULT: self.trouble}
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
            hold=hold,
            page=pages.get(state),
            banner=self._banner(now),
        )

    def _banner(self, now: float) -> Message | None:
        minutes = self._gauges.storage_minutes
        return messages.storage_low(minutes) if minutes is not None and now < self._banner_until else None
