"""What a person decides at the dock's shell, each decision with its custody entry in one transaction.

`actor` is `shell:<system user>` or `person:<login>`. Free text that may name somebody stays out of the custody log,
which nobody can ever erase a name from, wherever the catalogue has another place for it.
"""

from datetime import date, timedelta

from sqlalchemy import Connection

from dock_station import custody
from dock_station.catalogue import alarms, chains, clips, holds, units
from dock_station.catalogue.clips import Clip
from dock_station.dock import Dock
from evidence.errors import MirrorcamError

LONGEST_CASE_NUMBER = 64  # catalogue.tables.holds
LONGEST_REVIEW = timedelta(days=3653)  # our choice: in ten years at the latest somebody looks at a hold again


class ClipUnknownError(MirrorcamError):
    """No clip has this id."""

    def __init__(self, clip_id: str) -> None:
        super().__init__(f"The dock has no clip {clip_id}: 'mirrorcam-dock clips list' shows those that it has.")


class ClipGoneError(MirrorcamError):
    """A clip is to be held that was deleted."""

    def __init__(self, clip: Clip) -> None:
        super().__init__(
            f"Clip {clip.clip_id} was deleted on {clip.deleted_at:%Y-%m-%d %H:%M} UTC and cannot be held any more; "
            "its record stays."
        )


class UnitUnknownError(MirrorcamError):
    """No unit of this name has ever come."""

    def __init__(self, unit_id: str) -> None:
        super().__init__(
            f"No unit {unit_id} has come to this dock yet: dock it once; 'mirrorcam-dock unit list' shows who has."
        )


class NothingToAcceptError(MirrorcamError):
    """A gap is to be accepted where there is none, or where one is accepted already."""

    def __init__(self, unit_id: str, why: str) -> None:
        super().__init__(f"There is no gap of unit {unit_id} to accept: {why}.")


class AlarmUnknownError(MirrorcamError):
    """No alarm of this number is open."""

    def __init__(self, alarm_id: int) -> None:
        super().__init__(f"No alarm {alarm_id} is open: 'mirrorcam-dock alarms list' shows those that are.")


class VouchInsteadError(MirrorcamError):
    """The alarm about the clock ends only by somebody's word for the clock."""

    def __init__(self) -> None:
        super().__init__(
            "The alarm about the clock is not cleared like others: compare the clock with another one, then say "
            "'mirrorcam-dock clock vouch'."
        )


class ClockNotInDoubtError(MirrorcamError):
    """Somebody vouches for a clock that nobody doubts."""

    def __init__(self) -> None:
        super().__init__("The dock's clock is not in doubt, so there is nothing to vouch for.")


def hold(dock: Dock, clip_id: str, *, actor: str, case_number: str, reason: str, review_on: date) -> int:
    """Hold the clip and return the hold's number; raises ClipUnknownError or ClipGoneError."""
    with dock.catalogue.writing() as connection:
        clip = clips.find(connection, clip_id)
        if clip is None:
            raise ClipUnknownError(clip_id)
        if clip.deleted_at is not None:
            raise ClipGoneError(clip)
        hold_id = holds.set_hold(
            connection,
            clip_id,
            case_number=case_number,
            reason=reason,
            review_on=review_on,
            set_by=actor,
            at=dock.clock(),
        )
        dock.custody.append(
            connection,
            actor=actor,
            action=custody.HOLD_SET,
            subject=f"clip:{clip_id}",
            details={"hold": hold_id, "case_number": case_number, "review_on": review_on.isoformat()},
        )
    return hold_id


def issue(dock: Dock, unit_id: str, wearer: str | None, *, actor: str) -> None:
    """Issue the unit to the wearer of this pseudonym (None: take it back); raises UnitUnknownError."""
    with dock.catalogue.writing() as connection:
        if not units.issue(connection, unit_id, wearer):
            raise UnitUnknownError(unit_id)
        dock.custody.append(
            connection, actor=actor, action="unit-issued", subject=f"unit:{unit_id}", details={"wearer": wearer}
        )


def accept_gap(dock: Dock, unit_id: str, *, actor: str, reason: str) -> int:
    """Let the unit's next clip leave a gap behind it, and return the sequence number from which clips are missing.

    Raises UnitUnknownError or NothingToAcceptError.
    """
    with dock.catalogue.writing() as connection:
        if units.find(connection, unit_id) is None:
            raise UnitUnknownError(unit_id)
        expected = _expected(connection, unit_id)
        chains.accept_gap(
            connection, unit_id, expected_sequence=expected, reason=reason, accepted_by=actor, at=dock.clock()
        )
        dock.custody.append(
            connection,
            actor=actor,
            action="gap-accepted",
            subject=f"unit:{unit_id}",
            details={"expected_sequence": expected},
        )
    return expected


def clear_alarm(dock: Dock, alarm_id: int, *, actor: str, reason: str) -> None:
    """Close an alarm that somebody has dealt with; raises AlarmUnknownError or VouchInsteadError."""
    with dock.catalogue.writing() as connection:
        alarm = alarms.find(connection, alarm_id)
        if alarm is None or alarm.cleared_at is not None:
            raise AlarmUnknownError(alarm_id)
        if alarm.kind == alarms.CLOCK_JUMPED:
            raise VouchInsteadError
        alarms.clear(connection, alarm_id, cleared_by=actor, at=dock.clock())
        dock.custody.append(
            connection,
            actor=actor,
            action="alarm-cleared",
            subject=alarm.subject,
            details={"alarm": alarm_id, "kind": alarm.kind, "reason": reason},
        )


def vouch_for_clock(dock: Dock, *, actor: str, reason: str) -> None:
    """Say that the dock's clock is right now, so that retention goes on; raises ClockNotInDoubtError."""
    with dock.catalogue.writing() as connection:
        vouched = dock.custody.vouch_for_clock(connection, actor=actor, reason=reason)
    if not vouched:
        raise ClockNotInDoubtError


def _expected(connection: Connection, unit_id: str) -> int:
    if chains.open_gap(connection, unit_id):
        raise NothingToAcceptError(unit_id, "one is accepted already and waits for the unit's next clip")
    newest = chains.newest(connection, unit_id)
    return newest.sequence + 1 if newest else 1
