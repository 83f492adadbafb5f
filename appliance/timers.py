"""The clocks that the table of states arms: which run, which have run out, and how far one has come."""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.states import RUNS_IN, State, Timer


@dataclass(frozen=True, slots=True)
class _Run:
    began: float
    due: float


class Timers:
    """Keeps at most one run of each timer; all moments are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._running: dict[Timer, _Run] = {}

    def arm(self, timer: Timer, *, now: float, seconds: float) -> None:
        """Start `timer`, anew if it runs."""
        self._running[timer] = _Run(now, now + seconds)

    def disarm(self, timer: Timer) -> None:
        """Stop `timer`; harmless when it does not run."""
        self._running.pop(timer, None)

    def keep_for(self, state: State) -> None:
        """Stop every timer that may not run in `state`."""
        self._running = {timer: run for timer, run in self._running.items() if state in RUNS_IN[timer]}

    def run_out(self, until: float) -> Iterator[Timer]:
        """Yield the timers that have run out by `until`, in that order; each is stopped before it is yielded."""
        while due := [timer for timer, run in self._running.items() if run.due <= until]:
            first = min(due, key=lambda timer: self._running[timer].due)
            self.disarm(first)
            yield first

    def part(self, timer: Timer, now: float) -> float:
        """Return how far `timer` has come, 0 (or not running) to 1."""
        run = self._running.get(timer)
        if run is None or run.due <= run.began:
            return 0.0
        return max(0.0, min(1.0, (now - run.began) / (run.due - run.began)))
