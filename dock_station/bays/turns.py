"""Whose turn it is at an upload: one connection at a time, and the newest one wins."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evidence.errors import MirrorcamError


class UploadBusyError(MirrorcamError):
    """Another connection is at this upload and did not stop."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"Upload {upload_id} is busy on another connection; try again in a few seconds.")


class Turns:
    """Gives turns at uploads.

    A unit whose cable was pulled comes back on a new connection while the old one still seems alive: the old one is
    told to stop, and the new one goes on once it has.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._stops: dict[str, Callable[[], None]] = {}
        self._ended = threading.Condition()

    @contextmanager
    def take(self, upload_id: str, stop: Callable[[], None]) -> Iterator[None]:
        """Hold the turn; `stop` is called, from another thread, when a newer one wants it.

        Raises UploadBusyError if the one before did not stop in time.
        """
        deadline = time.monotonic() + self._patience_seconds
        with self._ended:
            while upload_id in self._stops:
                self._stops[upload_id]()
                if not self._ended.wait(deadline - time.monotonic()):
                    raise UploadBusyError(upload_id)
            self._stops[upload_id] = stop
        try:
            yield
        finally:
            with self._ended:
                del self._stops[upload_id]
                self._ended.notify_all()
