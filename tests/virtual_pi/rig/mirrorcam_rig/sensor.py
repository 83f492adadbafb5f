"""The virtual sensor: exposes at an exact rate whether anybody has room for the picture or not."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from .switches import Log, Switches


class Capture(NamedTuple):
    """Which picture since the start, and when it was taken on the monotonic clock."""

    number: int
    moment_ns: int


class Sensor:
    """Takes a picture each `period_ns`, into the request that has waited longest; without one the picture is lost.

    The moments are exact, as a sensor's are. Where the emulated processor was late the pictures of the meantime are
    taken at once, as long as there are requests: a real sensor writes into memory without asking the processor.
    """

    def __init__(self, expose: Callable[[Any, Capture], None], switches: Switches, log: Log) -> None:
        """`expose` has libcamera fill a request."""
        self._expose = expose
        self._switches = switches
        self._log = log
        self._waiting: deque[Any] = deque()
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, period_ns: int) -> None:
        self._waiting.clear()
        self._is_stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(period_ns,), name="virtual sensor", daemon=True)
        self._thread.start()

    def queue(self, request: Any) -> None:
        self._waiting.append(request)

    def stop(self) -> None:
        self._is_stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._waiting.clear()

    def _run(self, period_ns: int) -> None:
        begin_ns = time.monotonic_ns()
        self._log.write("start", 0, begin_ns)
        number = 0
        while True:
            number += 1
            capture = Capture(number, begin_ns + number * period_ns)
            if self._is_stopping.wait(max(0, capture.moment_ns - time.monotonic_ns()) / 1e9):
                return
            self._take(capture, period_ns)

    def _take(self, capture: Capture, period_ns: int) -> None:
        if self._switches.is_dark():
            self._log.write("dark", *capture)
        elif self._switches.is_lost(capture.moment_ns, period_ns=period_ns):
            self._log.write("lost", *capture)
        elif not self._waiting:
            self._log.write("late", *capture)
        else:
            self._expose(self._waiting.popleft(), capture)
