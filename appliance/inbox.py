"""Where everything that happens to the unit comes together, from whatever thread, with the moment at which it did."""

import queue
import time
from typing import NamedTuple

from appliance.front.touch import Input
from appliance.states import News


class Happening(NamedTuple):
    """Something that happened, and when (monotonic seconds)."""

    at: float
    what: News | Input


class Inbox:
    """Takes from any thread and from signal handlers; is read by one."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Happening] = queue.SimpleQueue()

    def put(self, what: News | Input) -> None:
        """Take note of what is happening now."""
        self._queue.put(Happening(time.monotonic(), what))

    def wait(self, seconds: float) -> list[Happening]:
        """Wait until something happens, at most so long; return all that has, in order."""
        came: list[Happening] = []
        try:
            came.append(self._queue.get(timeout=seconds))
            while True:
                came.append(self._queue.get_nowait())
        except queue.Empty:
            return came
