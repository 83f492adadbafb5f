"""A trial: the one start of a slot that is not permanent yet, watched until it is confirmed or given up."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from appliance.updates.installing import restart
from appliance.updates.notes import Notes, Trial, one_line
from appliance.updates.places import UpdatePlaces
from appliance.updates.signs import Sign, Signs
from appliance.updates.slots import BootChoice
from appliance.updates.update_journal import UpdateJournal
from appliance.usb.cable import INTERFACE
from evidence.docking import Outcome
from evidence.release import Installed

FIRST_SIGNS_SECONDS = 300.0  # until camera and screen must have been reached
SILENT_DOCK_SECONDS = 600.0  # how long a cable may be in without a dock that answers
LOOK_SECONDS = 1.0

CONFIRMED = "Camera, screen and dock were reached."
UNHEARD = (
    "It was started, and nothing was heard of it: it did not start up, or was switched off before it was confirmed."
)
_CARRIER = Path("/sys/class/net") / INTERFACE / "carrier"


def is_plugged(carrier: Path = _CARRIER) -> bool:
    """Tell whether there is another end at the cable, as the kernel says."""
    try:
        return carrier.read_text(encoding="ascii").strip() == "1"
    except (OSError, ValueError):  # a card that is down says EINVAL
        return False


class Patience:
    """How long a trial is waited for: what was reached, and since when a cable has been in without a dock."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._was_well = False
        self._plugged_since: float | None = None

    def failure(self, *, camera: bool, screen: bool, dock: bool, plugged: bool, now: float) -> str | None:
        """Return why the trial is to be given up, None while it may go on; `now` in monotonic seconds."""
        self._was_well = self._was_well or (camera and screen)
        if not self._was_well and now - self._began >= FIRST_SIGNS_SECONDS:
            missing = " and ".join(name for name, there in (("camera", camera), ("screen", screen)) if not there)
            return f"No {missing} was reached within {FIRST_SIGNS_SECONDS / 60:.0f} minutes of the start."
        if dock or not plugged:
            self._plugged_since = None
        elif self._plugged_since is None:
            self._plugged_since = now
        elif now - self._plugged_since >= SILENT_DOCK_SECONDS:
            return f"A cable was in for {SILENT_DOCK_SECONDS / 60:.0f} minutes, and no dock answered over it."
        return None


class TrialWatch:
    """Watches the trial, or, back in the slot from before, notes what became of it.

    Contract: the slot is made permanent when camera, screen and dock have all been reached in this start, and never
    otherwise. A unit that works is never restarted; one that records neither. After a cut at any line the same
    conclusion is drawn again.
    """

    def __init__(
        self,
        places: UpdatePlaces,
        *,
        running: Installed,
        choice: BootChoice,
        signs: Signs,
        journal: UpdateJournal,
        restart: Callable[[str | None], None] = restart,
        is_plugged: Callable[[], bool] = is_plugged,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._notes = Notes(places)
        self._running = running
        self._choice = choice
        self._signs = signs
        self._journal = journal
        self._restart = restart
        self._is_plugged = is_plugged
        self._monotonic = monotonic
        self._sleep = sleep

    def run(self) -> None:
        """Watch until the trial has ended; raises BootChoiceError, NotRestartedError or OSError."""
        for error in self._notes.mend(self._running.release):
            self._journal.note_put_aside(str(error))
        trial = self._notes.trial()
        if trial is None:
            return
        if not trial.is_running(self._choice.current(), self._running.release):
            self._settle(trial)
            return
        if self._choice.permanent() is not trial.slot:
            self._journal.trial_runs(trial.release, slot=trial.slot)
            reason = self._watch()
            if reason is not None:
                self._give_up(trial, reason)
                return
            self._choice.make_permanent(trial.slot)
        self._notes.end_trial(Outcome.CONFIRMED, CONFIRMED)
        self._journal.confirmed(trial.release, slot=trial.slot)

    def _settle(self, trial: Trial) -> None:
        """Back in the slot from before: note a roll back, unless it may be that the trial has never begun."""
        if not trial.is_over:
            if trial.starts:
                self._journal.unheard(trial.release, starts=trial.starts)
            return
        reason = trial.failure or UNHEARD
        self._notes.end_trial(Outcome.ROLLED_BACK, reason)
        self._journal.rolled_back(trial.release, reason)

    def _watch(self) -> str | None:
        """Return None when all is reached, or else why the trial is to be given up."""
        patience = Patience(self._monotonic())
        told: set[Sign] = set()
        wanted = (Sign.CAMERA, Sign.SCREEN, Sign.DOCK)
        while True:
            given = {sign for sign in wanted if self._signs.is_given(sign)}
            for sign in sorted(given - told):
                self._journal.trial_sign(sign)
            told |= given
            if given == set(wanted):
                return None
            failure = patience.failure(
                camera=Sign.CAMERA in given,
                screen=Sign.SCREEN in given,
                dock=Sign.DOCK in given,
                plugged=self._is_plugged(),
                now=self._monotonic(),
            )
            if failure is not None and not self._signs.is_given(Sign.RECORDING):
                return failure
            self._sleep(LOOK_SECONDS)

    def _give_up(self, trial: Trial, reason: str) -> None:
        self._notes.keep_trial(msgspec.structs.replace(trial, failure=one_line(reason)))
        self._journal.given_up(trial.release, reason)
        self._restart(None)
