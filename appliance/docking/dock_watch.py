"""Tells the unit when it is on its dock: as long as a dock of its own authority answers over the cable."""

import select
import socket
import threading
from collections.abc import Callable

from appliance.docking.client import DockClient, DockUnreachableError
from appliance.journal import Journal
from appliance.states import Event, News
from evidence.errors import MirrorcamError

KNOCK_SECONDS = 1.0  # how often an undocked unit looks whether there is a dock
BEAT_SECONDS = 2.0  # how often a docked one asks whether it is still there
_FIRST_PICTURE_SECONDS = 0.2  # how often it is looked whether it is time to begin
_FAILURES = 2  # in a row: one alone is a dock that was busy, or has closed a connection for reasons of its own


class DockWatch:
    """Asks on a thread of its own, over a connection of its own, which the dock serves beside any upload.

    Contract: `tell` gets DOCKED once when a dock has shown itself by its certificate and answers, and UNDOCKED once
    when it does not any more; they take turns. A cable alone, or a computer that charges the unit, is no dock. Undocked
    means that two questions in a row went unanswered; the first of them is asked as soon as the connection ends, so a
    pulled cable is noticed at once. While an upload gets on, the dock is there, however slow its answers are.
    """

    def __init__(
        self,
        open_client: Callable[[], DockClient],
        *,
        journal: Journal,
        tell: Callable[[News], None],
        progress: Callable[[], int],
        beat: float = BEAT_SECONDS,
        after: threading.Event | None = None,
    ) -> None:
        """Watch through clients that `open_client` gives, a new one for each docking.

        It may raise MirrorcamError. `progress` is a number that grows as long as an upload gets on. `beat` is how many
        seconds a docked unit asks no question. Where `after` is given nobody is called before it is set.
        """
        self._open_client = open_client
        self._journal = journal
        self._tell = tell
        self._progress = progress
        self._beat = beat
        self._after = after
        self._told = ""
        self._is_stopping = threading.Event()
        self._bell, self._ringer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="dock watch", daemon=True)

    def start(self) -> None:
        """Begin to watch; the unit is taken to be undocked."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer, and tell nothing more."""
        self._is_stopping.set()
        self._ringer.send(b"\0")
        self._thread.join()
        self._bell.close()
        self._ringer.close()

    def _run(self) -> None:
        while self._after is not None and not self._after.is_set() and not self._is_stopping.is_set():
            self._pause(_FIRST_PICTURE_SECONDS)
        while not self._is_stopping.is_set():
            try:
                with self._open_client() as dock:
                    self._wait_for(dock)
                    self._stay_with(dock)
            except MirrorcamError as error:
                self._say_foreign(error)
                self._pause(KNOCK_SECONDS)

    def _wait_for(self, dock: DockClient) -> None:
        while not self._is_stopping.is_set() and not self._answers(dock):
            self._pause(KNOCK_SECONDS)

    def _stay_with(self, dock: DockClient) -> None:
        if self._is_stopping.is_set():
            return
        self._tell(News(Event.DOCKED))
        try:
            self._wait_for_the_end_of(dock)
        finally:  # a mistake of ours that ends this thread must not leave the unit docked
            if not self._is_stopping.is_set():
                self._tell(News(Event.UNDOCKED))

    def _wait_for_the_end_of(self, dock: DockClient) -> None:
        failures = 0
        while failures < _FAILURES:
            if not failures:
                self._pause(self._beat, dock.connection)
            if self._is_stopping.is_set():
                return
            before = self._progress()
            is_there = self._answers(dock) or self._progress() != before
            failures = 0 if is_there else failures + 1

    def _answers(self, dock: DockClient) -> bool:
        try:
            dock.discover()
        except DockUnreachableError:
            self._told = ""
            return False
        except MirrorcamError as error:
            self._say_foreign(error)
            return False
        self._told = ""
        return True

    def _say_foreign(self, error: MirrorcamError) -> None:
        """Say what is wrong with whoever answers: once, for it is asked every second."""
        if str(error) != self._told:
            self._told = str(error)
            self._journal.dock_foreign(self._told)

    def _pause(self, seconds: float, connection: socket.socket | None = None) -> None:
        """Wait so long, less when the connection ends or `stop` is called."""
        select.select([self._bell, *([connection] if connection else [])], [], [], seconds)
