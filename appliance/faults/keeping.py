"""The faults that the unit itself notices go into the fault log, on a thread that nobody waits for."""

import queue
import threading
from collections.abc import Callable, Mapping

from appliance.faults.fault import What
from appliance.faults.log import FaultLog

# By the `kind` of a journal's fault (docs/unit-log.md). What only a dock makes of a clip is no fault of the unit.
KINDS: Mapping[str, tuple[str, What]] = {
    "camera_failed": ("camera", What.FAILED),
    "not_ready": ("camera", What.NOT_READY),
    "no_microphone": ("microphone", What.LOST),
    "storage_full": ("storage", What.FULL),
    "storage_slow": ("storage", What.SLOW),
    "storage_failed": ("storage", What.FAILED),
    "touch_lost": ("touch", What.LOST),
    "display_lost": ("display", What.LOST),
    "update_failed": ("update", What.FAILED),
}
_PATIENCE = 2.0  # seconds at the end; a storage that has failed may keep the thread for ever


class FaultKeeper:
    """Keeps faults one after the other. A storage that refuses costs the line, never the recording.

    `complain` is told in one sentence, on the keeper's thread, where a fault could not be kept.
    """

    def __init__(self, log: FaultLog, complain: Callable[[str], None]) -> None:
        self._log, self._complain = log, complain
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def keep(self, kind: str) -> None:
        """Keep a fault of this kind, soon; kinds that are no fault of the unit are passed over."""
        if kind not in KINDS:
            return
        self._waiting.put(kind)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="faults", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait a moment until all that was given is kept."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_PATIENCE)

    def _work(self) -> None:
        while (kind := self._waiting.get()) is not None:
            try:
                self._log.note(*KINDS[kind])
            except OSError as error:
                self._complain(f"A fault could not be kept on the storage ({error.strerror}).")
