"""A thread that dies of a mistake of ours ends the process: whoever starts the unit again lets its recording go on."""

import os
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from appliance.journal import Journal
from evidence.errors import ExitCode


def end_process_with_any_thread(journal: Journal) -> None:
    """Let no thread die unnoticed from now on.

    The process ends at once: what would close a clip may be the part that is gone, and the next start closes it. The
    exception's own words are not told, for nobody knows what stands in them.
    """

    def end(failed: threading.ExceptHookArgs) -> NoReturn:
        try:
            name = failed.thread.name if failed.thread else "unknown"
            journal.fault("part_failed", _sentence(name, failed.exc_type.__name__, _place(failed)))
        finally:
            os._exit(ExitCode.FAILED)

    threading.excepthook = end


def _sentence(part: str, kind: str, place: str) -> str:
    return f"A part of the unit ({part}) has failed by {kind} at {place}: the unit ends, to be started again."


def _place(failed: threading.ExceptHookArgs) -> str:
    frames = traceback.extract_tb(failed.exc_traceback)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
