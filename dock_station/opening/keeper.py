"""Keeps an opener running: a child process, started again whenever it ends before it is wanted to."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from dock_station.opening.opener import READY, Opener
from dock_station.settings import DockFolder
from evidence.errors import EnvironmentalError

log = structlog.get_logger()

AGAIN_SECONDS = 1.0  # between two openers: one that cannot start does not keep the processor busy


class OpenerNotStartedError(EnvironmentalError):
    """The opener ended before it was ready."""

    def __init__(self) -> None:
        super().__init__("The process that opens clips did not start: what it said before this line is why.")


@contextmanager
def start_opener(folder: DockFolder) -> Iterator[Opener]:
    """Run an opener of this dock as a child process as long as the block runs; it also ends when this process does.

    One that dies is started again; what was unlocked is locked then. Raises OpenerNotStartedError if the first one
    does not start; the child says on standard error why.
    """
    keeper = _Keeper(folder)
    keeper.start()
    try:
        yield Opener(folder.opener_socket)
    finally:
        keeper.stop()


class _Keeper:
    """One opener after the other, never two at a time; after `stop` there is none."""

    def __init__(self, folder: DockFolder) -> None:
        self._command = [sys.executable, "-m", "dock_station.opening.opener"]
        self._command += ["--folder", str(folder.path.absolute()), "--with-parent"]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="opener-keeper", daemon=True)
        self._child = self._spawned()

    def start(self) -> None:
        """Wait for the first opener, and look after it from then on; raises OpenerNotStartedError."""
        if not _is_ready(self._child):
            self._child.communicate()
            raise OpenerNotStartedError
        self._thread.start()

    def stop(self) -> None:
        """End the opener and the looking after it."""
        self._stopping.set()
        self._child.terminate()
        self._thread.join()

    def _spawned(self) -> subprocess.Popen[bytes]:
        # In a process group of its own it does not get Ctrl-C at a terminal, which is for this process to act on.
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)

    def _keep(self) -> None:
        while True:
            with self._child as child:
                child.wait()
            if self._stopping.wait(AGAIN_SECONDS):
                return
            log.error("opener_ended", status=child.returncode)
            self._child = self._spawned()
            if self._stopping.is_set():  # `stop` may have seen the one before
                self._child.terminate()
            _is_ready(self._child)  # one that does not become ready has ended, and is waited for above


def _is_ready(child: subprocess.Popen[bytes]) -> bool:
    return child.stdout is not None and child.stdout.readline() == READY
