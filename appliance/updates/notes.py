"""Root's notes of updates: which slot is on trial, which releases were rolled back, and what became of the newest."""

from pathlib import Path
from typing import Literal

import msgspec

from appliance.updates.places import UpdatePlaces
from appliance.updates.slots import Slot
from evidence.docking import Outcome, Reason, UpdateOutcome
from evidence.durable import sync_folder, write_durably
from evidence.errors import EnvironmentalError
from evidence.identifiers import Sha256Hex
from evidence.release import NotAReleaseError, Release, ReleaseText
from evidence.strict import SchemaError, read_json, write_json

MOST_STARTS = 2  # of a trial of which nothing was heard: the power may have gone before the first
MAX_REASON = 300  # of Reason; a tool's last words may be longer
_SHOWN_RELEASES = 32  # a card that has rolled back more than these has another trouble


class NotesDamagedError(EnvironmentalError):
    """A note of an update cannot be read, so nothing is known of it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The note {name} of an update is damaged ({reason}); have IT look at this unit's storage.")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """trial.json: the release in the slot that is not permanent yet, and how often the firmware was asked to start it.

    A later release may have added fields before it was rolled back: they are passed over. `failure` is why the trial
    was given up while it ran; without one nobody knows how it ended.
    """

    schema: Literal["mirrorcam/trial/1"] = "mirrorcam/trial/1"
    release: ReleaseText
    slot: Slot
    starts: int = 0
    failure: Reason | None = None

    @property
    def is_over(self) -> bool:
        """Whether its slot is not to be started again: it was given up, or not heard of often enough."""
        return self.failure is not None or self.starts >= MOST_STARTS

    def is_running(self, slot: Slot, release: Release) -> bool:
        """Whether this release, started from this slot, is the one on trial."""
        return self.slot is slot and self.release == str(release)


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """updates.json: the releases that are never tried again, and the newest outcome, for the dock.

    Fields that a later release has added are passed over, as in a trial's note.
    """

    schema: Literal["mirrorcam/updates/1"] = "mirrorcam/updates/1"
    rolled_back: tuple[ReleaseText, ...] = ()
    refused: Sha256Hex | None = None  # the newest bundle in which there was nothing to be taken, by the dock's word
    newest: UpdateOutcome | None = None


class Notes:
    """Reads and writes the notes; each of them is whole after a power cut at any line.

    An outcome is written before the trial's note goes: after a cut between both the same outcome is written again.
    All that write raise OSError.
    """

    def __init__(self, places: UpdatePlaces) -> None:
        self._places = places

    def trial(self) -> Trial | None:
        """Return what is to be tried, or is being tried; raises NotesDamagedError or OSError."""
        try:
            return read_json(self._places.trial.read_bytes(), Trial, "note of a trial")
        except FileNotFoundError:
            return None
        except SchemaError as error:
            raise NotesDamagedError(self._places.trial.name, error.reason) from error

    def outcomes(self) -> Outcomes:
        """Return what became of updates; raises NotesDamagedError or OSError."""
        try:
            return read_json(self._places.outcomes.read_bytes(), Outcomes, "note of updates")
        except FileNotFoundError:
            return Outcomes()
        except SchemaError as error:
            raise NotesDamagedError(self._places.outcomes.name, error.reason) from error

    def mend(self, running: Release) -> list[NotesDamagedError]:
        """Put each note that cannot be read aside, as `<name>.damaged`, and return what was wrong with it.

        A trial whose note still names another release than the one that runs counts as rolled back: a release after
        which this one cannot read its own notes would be tried for ever.
        """
        self._sweep()
        found = []
        try:
            self.outcomes()
        except NotesDamagedError as error:
            self._put_aside(self._places.outcomes)
            found.append(error)
        try:
            self.trial()
        except NotesDamagedError as error:
            release = _release_in(self._places.trial.read_bytes())
            if release is not None and release != running:
                self.conclude(str(release), Outcome.ROLLED_BACK, str(error))
            self._put_aside(self._places.trial)
            found.append(error)
        return found

    def keep_trial(self, trial: Trial) -> None:
        """Note what is to be tried, durably."""
        self._places.system.mkdir(mode=0o755, exist_ok=True)
        write_durably(self._places.trial, write_json(trial))

    def end_trial(self, outcome: Outcome, reason: str) -> None:
        """Note what became of the trial, and that there is none any more; harmless where there is none."""
        trial = self.trial()
        if trial is None:
            return
        self.conclude(trial.release, outcome, reason)
        self.forget_trial()

    def forget_trial(self) -> None:
        """Note that there is no trial, as before its slot is written anew."""
        self._places.trial.unlink(missing_ok=True)
        if self._places.system.is_dir():
            sync_folder(self._places.system)

    def conclude(self, release: str, outcome: Outcome, reason: str, *, refused: str | None = None) -> None:
        """Note what became of a release; one that was rolled back is never tried again, nor a bundle `refused`."""
        before = self.outcomes()
        rolled_back = before.rolled_back
        if outcome is Outcome.ROLLED_BACK and release not in rolled_back:
            rolled_back = (*rolled_back, release)[-_SHOWN_RELEASES:]
        newest = UpdateOutcome(release=release, outcome=outcome, reason=one_line(reason))
        after = Outcomes(rolled_back=rolled_back, refused=refused or before.refused, newest=newest)
        self._places.system.mkdir(mode=0o755, exist_ok=True)
        write_durably(self._places.outcomes, write_json(after))

    def _sweep(self) -> None:
        """Remove what writes left beside the notes that the power's end has cut."""
        for note in (self._places.trial, self._places.outcomes):
            for leftover in self._places.system.glob(f".{note.name}.*.new"):
                leftover.unlink(missing_ok=True)

    def _put_aside(self, note: Path) -> None:
        note.replace(note.with_name(f"{note.name}.damaged"))
        sync_folder(self._places.system)


class _Named(msgspec.Struct, frozen=True):
    release: str


def _release_in(content: bytes) -> Release | None:
    """Return the release that a note names which cannot be read as a whole, None where there is none in it."""
    try:
        return Release.parse(msgspec.json.decode(content, type=_Named).release)
    except (msgspec.MsgspecError, NotAReleaseError):
        return None


def one_line(text: str) -> str:
    """Return a text as one line that fits into an outcome."""
    shown = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return shown if len(shown) <= MAX_REASON else f"{shown[: MAX_REASON - 1]}…"
