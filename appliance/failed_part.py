"""A thread that dies of a mistake of ours ends the process: whoever starts the unit again lets its recording go on."""

import os
import threading
import traceback
from pathlib import Path

from appliance.journal import Journal
from evidence.errors import ExitCode

_OURS = Path(__file__).parent


def end_process_with_any_thread(journal: Journal) -> None:
    """Let no thread of ours die unnoticed from now on; those of libraries are watched by the modules that use them.

    The process ends at once: what would close a clip may be the part that is gone, and the next start closes it. The
    exception's own words are not told, for nobody knows what stands in them.
    """

    def end(failed: threading.ExceptHookArgs) -> None:
        frames = traceback.extract_tb(failed.exc_traceback)
        if not _is_ours(frames):
            threading.__excepthook__(failed)
            return
        try:
            part = failed.thread.name if failed.thread else "unknown"
            journal.fault("part_failed", _sentence(part, failed.exc_type.__name__, frames[-1]))
        finally:
            os._exit(ExitCode.FAILED)

    threading.excepthook = end


def _is_ours(frames: traceback.StackSummary) -> bool:
    begins = next((Path(frame.filename) for frame in frames if frame.filename != threading.__file__), Path())
    return begins.is_relative_to(_OURS)


def _sentence(part: str, kind: str, place: traceback.FrameSummary) -> str:
    at = f"{Path(place.filename).name}:{place.lineno}"
    return f"A part of the unit ({part}) has failed by {kind} at {at}: the unit ends, to be started again."
