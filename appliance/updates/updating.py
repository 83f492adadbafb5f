"""The unit's part of updates: docked and idle it looks for one, fetches it, permits it, and tells how it went."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from appliance.front import messages
from appliance.front.messages import Message
from appliance.journal import Journal
from appliance.spool import Spool
from appliance.updates.fetching import BundleDiffersError, NoRoomForUpdateError, drop_parts, fetch
from appliance.updates.notes import Notes, NotesDamagedError, Outcomes, Trial, one_line
from appliance.updates.places import UpdatePlaces
from appliance.updates.rauc import BundleRefusedError
from appliance.updates.signs import Sign, Signs
from evidence.docking import Outcome, UpdateOffer, UpdateOutcome
from evidence.durable import write_durably
from evidence.errors import MirrorcamError
from evidence.release import Installed, Release
from evidence.strict import write_json

LOOK_SECONDS = 180.0  # between two questions whether there is an update
TURN_SECONDS = 1.0  # between two looks at what root has noted
RESTART_SECONDS = 60.0  # within which a restart that root has asked for ends this process


class UpdatingDock(Protocol):
    """A connection to a dock that hands updates on; all methods raise as DockClient does."""

    def update_offer(self) -> UpdateOffer | None:
        """Return what the dock offers."""

    def bundle(self, sha256: str, start: int) -> Generator[bytes]:
        """Yield a bundle's bytes from byte `start` on."""

    def tell_outcome(self, outcome: UpdateOutcome) -> None:
        """Tell what became of an update."""


class Updating:
    """Runs on the thread of the delivery, after it, until the unit is taken off its dock.

    Contract: nothing is fetched, installed or restarted but while `run` runs, which is when the unit is docked, all
    clips that the dock takes are there, and nothing is recorded. `withdraw` ends the permit at once, from any thread;
    afterwards none is given until the next run. Each bundle is permitted once in a run, and fetched once, however that
    ends. Why the unit does not take what is offered is told to the dock: nobody can log in to a unit.

    What it says of a release is a courtesy that saves time: it is root that decides, by the bundle's signature.
    """

    def __init__(
        self,
        places: UpdatePlaces,
        *,
        running: Installed,
        spool: Spool,
        bits_per_second: int,
        signs: Signs,
        open_dock: Callable[[], AbstractContextManager[UpdatingDock]],
        journal: Journal,
        look_seconds: float = LOOK_SECONDS,
        turn_seconds: float = TURN_SECONDS,
        restart_seconds: float = RESTART_SECONDS,
    ) -> None:
        self._places = places
        self._notes = Notes(places)
        self._running = running
        self._spool = spool
        self._bits_per_second = bits_per_second
        self._signs = signs
        self._open_dock = open_dock
        self._journal = journal
        self._look_seconds = look_seconds
        self._turn_seconds = turn_seconds
        self._restart_seconds = restart_seconds
        self._permission = threading.Lock()

    def run(self, is_stopping: threading.Event, say: Callable[[Message | None], None]) -> None:
        """Look, fetch, permit and tell until `is_stopping` is set; never raises what a person is shown in a log."""
        docking = _Docking()
        while not is_stopping.is_set():
            try:
                self._turn(docking, is_stopping, say)
            except MirrorcamError as error:  # the dock's, for it is asked for all but the notes
                self._complain(docking, "update_delayed", str(error), say)
            except OSError as error:
                self._complain(docking, "update_failed", error.strerror or str(error), say)
            is_stopping.wait(self._turn_seconds)
        self.leave_room()

    def leave_room(self) -> None:
        """Remove what was fetched where the storage is short: recordings come before an update.

        Also for the start, because root gives a bundle back some time after the unit was taken off its dock.
        """
        with self._telling_of_storage():
            if self._spool.is_on_reserve(self._bits_per_second):
                drop_parts(self._places)

    def make_room(self) -> None:
        """Remove what was fetched, for a clip that was refused because the storage is full."""
        with self._telling_of_storage():
            drop_parts(self._places)

    def withdraw(self) -> None:
        """End the permit: from now on the unit is in use."""
        with self._permission:
            self._signs.take_back(Sign.PERMIT)

    def is_trial(self) -> bool:
        """Tell whether this start is one that root watches: camera, screen and dock are to be reached in it."""
        try:
            return self._is_running(self._notes.trial())
        except (MirrorcamError, OSError):
            return False

    def _turn(self, docking: "_Docking", is_stopping: threading.Event, say: Callable[[Message | None], None]) -> None:
        is_permitted = self._signs.is_given(Sign.PERMIT)  # asked before the notes: when it has gone, these are the last
        outcomes, trial = self._read(docking)
        if time.monotonic() >= docking.quiet_until and outcomes.newest and not self._is_told(outcomes.newest):
            self._tell(outcomes.newest, say)
        if self._is_running(trial):
            return
        if time.monotonic() >= max(docking.look_at, docking.quiet_until) and not self._places.has_bundle:
            docking.look_at = time.monotonic() + self._look_seconds
            self._look(docking, outcomes, trial, is_stopping, say)
        is_to_be_tried = trial is not None and not trial.is_over
        if (is_to_be_tried or self._places.has_bundle) and not docking.has_permitted:
            self._permit(docking, is_stopping, say)
        elif is_permitted:
            docking.restart_by = time.monotonic() + self._restart_seconds
        elif docking.is_installing and (trial is None or time.monotonic() >= docking.restart_by):
            docking.is_installing = False
            say(self._closing(outcomes.newest))

    def _read(self, docking: "_Docking") -> tuple[Outcomes, Trial | None]:
        """Return root's notes; one that is damaged is root's to put aside, and keeps no update from this unit."""
        try:
            return self._notes.outcomes(), self._notes.trial()
        except NotesDamagedError as error:
            self._log_once(docking, "update_failed", str(error))
            return Outcomes(), None

    def _closing(self, newest: UpdateOutcome | None) -> Message:
        """Return what the wearer reads where root is done and restarts nothing: IT sees what the dock was told."""
        is_failure = newest is not None and newest.outcome is not Outcome.CONFIRMED
        return messages.NOT_UPDATED if is_failure and self._is_told(newest) else messages.NOT_UPDATED_YET

    def _look(
        self,
        docking: "_Docking",
        outcomes: Outcomes,
        trial: Trial | None,
        is_stopping: threading.Event,
        say: Callable[[Message | None], None],
    ) -> None:
        with self._open_dock() as dock:
            offer = dock.update_offer()
            if offer is None or offer.sha256 in docking.tried:
                return
            reason = self._why_not(offer, outcomes, trial)
            if reason:
                self._pass_over(docking, dock, offer, reason)
            else:
                self._fetch(docking, dock, offer, is_stopping, say)

    def _pass_over(self, docking: "_Docking", dock: UpdatingDock, offer: UpdateOffer, reason: str) -> None:
        """Say why an offer is not wanted: the dock knows it already, but that it is for another kind of unit."""
        if reason == docking.passed_over:
            return
        self._journal.update_passed_over(offer.release, reason)
        if offer.compatible != self._running.compatible:
            self._tell_refusal(dock, offer, BundleRefusedError(reason))
        docking.passed_over = reason

    def _fetch(
        self,
        docking: "_Docking",
        dock: UpdatingDock,
        offer: UpdateOffer,
        is_stopping: threading.Event,
        say: Callable[[Message | None], None],
    ) -> None:
        self._journal.update_fetching(offer.release, size=offer.bytes)
        docking.is_fetching = True
        try:
            is_whole = fetch(
                dock,
                offer,
                self._places,
                free_bytes=self._spool.free_bytes,
                report=lambda part: say(messages.update_arrives(part)),
                is_stopping=is_stopping,
            )
        except (NoRoomForUpdateError, BundleDiffersError) as error:
            docking.tried.add(offer.sha256)
            self._log_once(docking, "update_failed", str(error))
            self._tell_refusal(dock, offer, error)
            docking.is_fetching = False
            say(messages.NOT_UPDATED)
            return
        if is_whole:
            docking.is_fetching = False
            docking.tried.add(offer.sha256)
            docking.has_permitted = False
            self._journal.update_fetched(offer.release)

    def _why_not(self, offer: UpdateOffer, outcomes: Outcomes, trial: Trial | None) -> str:
        """Return why an offer is passed over, nothing where it is wanted."""
        if offer.compatible != self._running.compatible:
            return f"it is for {offer.compatible}, and this unit is {self._running.compatible}"
        if Release.parse(offer.release) <= self._running.release:
            return f"{self._running.release} runs, which is not older"
        if offer.sha256 == outcomes.refused:
            return "it was refused on this unit before"
        if offer.release in outcomes.rolled_back:
            return "it was rolled back on this unit before"
        if trial and trial.release == offer.release:
            return "it is in the other slot already"
        return ""

    def _permit(self, docking: "_Docking", is_stopping: threading.Event, say: Callable[[Message | None], None]) -> None:
        with self._permission:
            if is_stopping.is_set():
                return
            docking.has_permitted = docking.is_installing = True
            docking.restart_by = time.monotonic() + self._restart_seconds
            self._signs.give(Sign.PERMIT)
        self._journal.update_permitted()
        say(messages.UPDATE_INSTALLS)

    def _tell(self, outcome: UpdateOutcome, say: Callable[[Message | None], None]) -> None:
        with self._open_dock() as dock:
            dock.tell_outcome(outcome)
        self._places.arriving.mkdir(mode=0o700, exist_ok=True)
        write_durably(self._places.told, write_json(outcome))
        self._journal.update_told(outcome)
        say(messages.UPDATED if outcome.outcome is Outcome.CONFIRMED else messages.NOT_UPDATED)

    def _is_told(self, outcome: UpdateOutcome | None) -> bool:
        try:
            return outcome is not None and self._places.told.read_bytes() == write_json(outcome)
        except FileNotFoundError:
            return False

    def _tell_refusal(self, dock: UpdatingDock, offer: UpdateOffer, error: MirrorcamError) -> None:
        """Tell why this unit does not take an offer, which root never hears of."""
        outcome = UpdateOutcome(release=offer.release, outcome=Outcome.REFUSED, reason=one_line(str(error)))
        dock.tell_outcome(outcome)
        self._journal.update_told(outcome)

    def _is_running(self, trial: Trial | None) -> bool:
        return trial is not None and trial.release == str(self._running.release)

    @contextmanager
    def _telling_of_storage(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._journal.fault("update_failed", error.strerror or str(error))

    def _complain(self, docking: "_Docking", kind: str, sentence: str, say: Callable[[Message | None], None]) -> None:
        """Say what is wrong once, for it is tried again every few minutes."""
        docking.quiet_until = time.monotonic() + self._look_seconds
        if docking.is_fetching:
            docking.is_fetching = False
            say(None)
        self._log_once(docking, kind, sentence)

    def _log_once(self, docking: "_Docking", kind: str, sentence: str) -> None:
        if sentence not in docking.logged:
            docking.logged.add(sentence)
            self._journal.fault(kind, sentence)


class _Docking:
    """What one docking has come to."""

    def __init__(self) -> None:
        self.look_at = self.quiet_until = self.restart_by = float("-inf")
        self.has_permitted = False
        self.is_fetching = False  # the screen says so
        self.is_installing = False  # the same
        self.tried: set[str] = set()  # digests
        self.passed_over = ""
        self.logged: set[str] = set()
