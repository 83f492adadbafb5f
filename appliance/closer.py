"""The closer: what a power cut or a failing storage left of clips is measured and closed on a thread of its own."""

import threading
from collections.abc import Callable
from typing import Self

from appliance.recovered import Recovered
from appliance.spool import Spool

_LOOK_SECONDS = 0.5
_STOP_SECONDS = 1.0  # a storage that hangs may keep the thread for ever


class Closer:
    """Closes the spool's left clips one after the other, as long as its block runs; nobody waits for it to record.

    Reading back a clip of an hour takes minutes. So the thread rests after each piece as long as that took: a clip that
    is recorded meanwhile has at least half of the storage's time. Its priority is no lower than the others': whoever
    waits for a processor may hold the interpreter's lock, for which the camera's thread would wait. A clip that it has
    not come to is found by the next start.

    `report` is told of each clip on the closer's thread; `complain` gets a sentence where the storage takes nothing,
    and then it is tried again when a clip was ended, begun or handed over.
    """

    def __init__(self, spool: Spool, *, report: Callable[[Recovered], None], complain: Callable[[str], None]) -> None:
        self._spool = spool
        self._report = report
        self._complain = complain
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="closer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopping.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            if self._spool.wait_left(_LOOK_SECONDS):
                self._close_all()

    def _close_all(self) -> None:
        try:
            while (closed := self._spool.close_next(self._is_stopping.wait)) is not None:
                self._report(closed)
        except OSError as error:
            self._complain(f"A clip that was cut cannot be closed yet ({error.strerror or error}); it is kept.")
