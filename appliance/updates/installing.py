"""Root's part of an update on the dock: checks the bundle, writes it to the other slot, and asks for its trial."""

import subprocess
from collections.abc import Callable
from contextlib import suppress

import msgspec

from appliance.updates.notes import Notes, Trial
from appliance.updates.places import UpdatePlaces
from appliance.updates.rauc import BundleRefusedError, NotInstalledError, PermitWithdrawnError, Rauc
from appliance.updates.signs import Sign, Signs
from appliance.updates.slots import BootChoice
from appliance.updates.taking import drop_taken, give_back, take
from appliance.updates.update_journal import UpdateJournal
from evidence.docking import Outcome, UpdateOffer
from evidence.errors import EnvironmentalError, MirrorcamError, reason_of
from evidence.release import Installed, Release
from evidence.strict import SchemaError, read_json

_NOT_CONFIRMED = "The release that runs is still on trial: the slot from before is not written over."
_IS_OVER = "The trial of what is in the other slot is over: how it ended is noted at the next start."
_IN_USE = "The unit is off its dock or at work: it is not restarted."


class NotRestartedError(EnvironmentalError):
    """The service manager does not restart the machine."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The unit was not restarted ({reason}): switch it off and on again.")


def restart(argument: str | None = None) -> None:
    """Restart the machine in order, with reboot(2)'s argument; raises NotRestartedError."""
    command = ["systemctl", "--no-block", "reboot"]
    if argument is not None:
        command.append(f"--reboot-argument={argument}")
    try:
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise NotRestartedError(error.strerror or str(error)) from error
    except subprocess.CalledProcessError as error:
        raise NotRestartedError(f"exit code {error.returncode}") from error


class Installing:
    """Does one update as far as the permit of the unit's process lasts.

    Contract: the slot that runs is the permanent one, and no trial, before anything is written, and stays so. The
    firmware is asked for the trial last, when the other slot is whole and the note says so. A power cut before that
    leaves the unit as it was, with the bundle or the note to go on from; one after it starts the other slot once, or
    not at all.

    A bundle is taken over before it is looked at, so that it stays what it was. It leaves in one of two ways: refused,
    with the reason for the dock, or written; broken off it goes back, and a cut leaves it to the next run. The permit
    is taken back at the end, so that one permit is one run.
    """

    def __init__(
        self,
        places: UpdatePlaces,
        *,
        running: Installed,
        choice: BootChoice,
        signs: Signs,
        rauc: Rauc,
        journal: UpdateJournal,
        restart: Callable[[str | None], None] = restart,
    ) -> None:
        self._places = places
        self._notes = Notes(places)
        self._running = running
        self._choice = choice
        self._signs = signs
        self._rauc = rauc
        self._journal = journal
        self._restart = restart

    def run(self) -> None:
        """Install what has arrived, if it may be; raises BootChoiceError, NotRestartedError or OSError.

        What is raised is noted for the dock too, if it can be: nobody can log in to a unit.
        """
        try:
            self._work()
        except (MirrorcamError, OSError) as error:
            self._note_failure(error)
            raise
        finally:
            self._signs.take_back(Sign.PERMIT)

    def _note_failure(self, error: MirrorcamError | OSError) -> None:
        if isinstance(error, MirrorcamError):
            sentence = str(error)
        else:
            sentence = f"The unit cannot read or write what an update needs ({reason_of(error)}): have IT look at it."
        with suppress(MirrorcamError, OSError):
            release = self._release_at_hand()
            if release is not None:
                self._notes.conclude(release, Outcome.REFUSED, sentence)

    def _release_at_hand(self) -> str | None:
        if self._places.has_bundle:
            offer = self._offer()
            return offer.release if offer else None
        trial = self._notes.trial()
        return trial.release if trial else None

    def _work(self) -> None:
        for error in self._notes.mend(self._running.release):
            self._journal.note_put_aside(str(error))
        if self._is_trial():
            self._journal.waits(_NOT_CONFIRMED)
            return
        if self._places.has_bundle and not self._install():
            return
        trial = self._notes.trial()
        if trial is not None:
            self._try(trial)

    def _is_trial(self) -> bool:
        """Tell whether this start is a trial, by the firmware, and where that has forgotten it by the note."""
        current, trial = self._choice.current(), self._notes.trial()
        is_noted = trial is not None and trial.is_running(current, self._running.release)
        return is_noted or self._choice.permanent() not in (current, None)

    def _install(self) -> bool:
        """Write the bundle to the other slot and note the trial; False where there is nothing to be tried."""
        try:
            release = self._written()
        except PermitWithdrawnError as error:
            give_back(self._places)
            self._journal.waits(str(error))
            return False
        except (BundleRefusedError, NotInstalledError) as error:
            self._refuse(error)
            return False
        slot = self._choice.current().other
        self._notes.keep_trial(Trial(release=str(release), slot=slot))
        drop_taken(self._places)
        self._journal.written(str(release), slot=slot)
        return True

    def _written(self) -> Release:
        self._journal.bundle_found(running=str(self._running.release), slot=self._choice.current())
        take(self._places)
        facts = self._rauc.facts(self._places.taken)
        if facts.compatible != self._running.compatible:
            raise BundleRefusedError(f"it is for {facts.compatible}, and this unit is {self._running.compatible}")
        if facts.release <= self._running.release:
            raise BundleRefusedError(f"{facts.release} is not newer than {self._running.release}, which runs")
        if str(facts.release) in self._notes.outcomes().rolled_back:
            raise BundleRefusedError(f"{facts.release} was rolled back on this unit before")
        self._notes.forget_trial()  # its slot is written over
        self._places.rauc.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal.writing(str(facts.release), slot=self._choice.current().other)
        self._rauc.install(self._places.taken, self._is_permitted)
        return facts.release

    def _refuse(self, error: BundleRefusedError | NotInstalledError) -> None:
        """Note why a bundle was not taken. A card that failed may not fail again; a bad bundle stays as it is."""
        self._journal.refused(str(error))
        offer = self._offer()
        if offer is not None:
            refused = offer.sha256 if isinstance(error, BundleRefusedError) else None
            self._notes.conclude(offer.release, Outcome.REFUSED, str(error), refused=refused)
        drop_taken(self._places)

    def _offer(self) -> UpdateOffer | None:
        """Return what the dock said of the bundle, which itself may be unreadable; None where that is not known."""
        try:
            return read_json(self._places.offer.read_bytes(), UpdateOffer, "offer")
        except (OSError, SchemaError):
            return None

    def _try(self, trial: Trial) -> None:
        if trial.is_over:
            self._journal.waits(_IS_OVER)
            return
        asked = msgspec.structs.replace(trial, starts=trial.starts + 1)
        if not self._is_permitted():
            self._journal.waits(_IN_USE)
            return
        self._notes.keep_trial(asked)
        try:
            argument = self._choice.try_once(trial.slot)
            self._journal.trial_asked(trial.release, slot=trial.slot, start=asked.starts)
            self._restart(argument)
        except (MirrorcamError, OSError):
            self._notes.keep_trial(trial)  # what never came is no start of which nothing was heard
            raise

    def _is_permitted(self) -> bool:
        return self._signs.is_given(Sign.PERMIT)
