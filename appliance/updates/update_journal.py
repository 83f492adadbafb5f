"""What root's programs say of an update while they work, in lines like the unit's own; docs/unit-log.md lists them."""

from typing import TextIO

from appliance.journal import event_log


class UpdateJournal:
    """Writes one line for each step of an update, so that whoever reads the log sees where it stands."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._log = event_log(output)

    def bundle_found(self, *, running: str, slot: str) -> None:
        """Tell that a bundle is being looked at, on which release, in which slot."""
        self._log.info("update_found", running=running, slot=slot)

    def writing(self, release: str, *, slot: str) -> None:
        """Tell that a good bundle is being written to a slot."""
        self._log.info("update_writing", release=release, slot=slot)

    def written(self, release: str, *, slot: str) -> None:
        """Tell that the slot holds the release as a whole."""
        self._log.info("update_written", release=release, slot=slot)

    def refused(self, sentence: str) -> None:
        """Tell why a bundle was not taken; it is gone."""
        self._log.error("update_refused", sentence=sentence)

    def waits(self, why: str) -> None:
        """Tell why nothing is done now; all stays as it is until the next docking."""
        self._log.info("update_waits", sentence=why)

    def note_put_aside(self, sentence: str) -> None:
        """Tell that a note could not be read, and that updates go on without it."""
        self._log.error("update_note_put_aside", sentence=sentence)

    def trial_asked(self, release: str, *, slot: str, start: int) -> None:
        """Tell that the firmware was asked for one start of a slot, which comes at once."""
        self._log.info("trial_asked", release=release, slot=slot, start=start)

    def trial_runs(self, release: str, *, slot: str) -> None:
        """Tell that this start is the trial of a release."""
        self._log.info("trial_runs", release=release, slot=slot)

    def trial_sign(self, sign: str) -> None:
        """Tell that one of the things which confirm a trial is there."""
        self._log.info("trial_sign", sign=sign)

    def confirmed(self, release: str, *, slot: str) -> None:
        """Tell that the slot on trial is the permanent one from now on."""
        self._log.info("update_confirmed", release=release, slot=slot)

    def given_up(self, release: str, reason: str) -> None:
        """Tell why a trial is ended; the restart that follows takes the slot from before."""
        self._log.error("trial_given_up", release=release, sentence=reason)

    def unheard(self, release: str, *, starts: int) -> None:
        """Tell that the slot from before runs, and that nobody knows how the trial ended; it is tried once more."""
        self._log.warning("trial_unheard", release=release, starts=starts)

    def rolled_back(self, release: str, reason: str) -> None:
        """Tell that a release is never tried again on this unit."""
        self._log.error("update_rolled_back", release=release, sentence=reason)
