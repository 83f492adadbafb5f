"""The thread of a camera or microphone: runs until it is stopped, and tells once why it broke off."""

import threading
from collections.abc import Callable

from appliance.camera import CameraError

# A driver that hangs must not hang the unit: its thread is then left to die with the process.
_STOP_SECONDS = 2.0


class SourceThread:
    """Runs one loop at a time; the loop looks at the event that it is given, and ends when that is set."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._left: list[threading.Thread] = []

    def start(self, loop: Callable[[threading.Event], None], on_failure: Callable[[CameraError], None]) -> None:
        """Run `loop` on a new thread; a CameraError out of it goes to `on_failure` unless `stop` came first.

        So does a mistake of ours or of a library's: a microphone's must cost no picture, and a camera is tried again.
        """
        self.stop()
        is_stopping = self._is_stopping = threading.Event()

        def run() -> None:
            try:
                loop(is_stopping)
            except Exception as error:
                if not is_stopping.is_set():
                    on_failure(error if isinstance(error, CameraError) else self._mistake(error))

        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()

    def _mistake(self, error: Exception) -> CameraError:
        kind = type(error).__name__
        return CameraError(f"What reads the {self._name} has failed ({kind}): have IT look at this unit.")

    def stop(self) -> None:
        """End the loop and wait for it; harmless when nothing runs, and from the loop's own callbacks."""
        self._is_stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_SECONDS)
            self._left = [thread for thread in (*self._left, self._thread) if thread.is_alive()]
            self._thread = None

    @property
    def hanging(self) -> int:
        """How many loops were told to end and have not."""
        return sum(thread.is_alive() for thread in self._left)
