"""`mirrorcam-dock unit`, `alarms` and `clock`: what IT looks after at the shell."""

from typing import Annotated

import typer

from dock_station import decisions
from dock_station.catalogue import alarms, bays, units
from dock_station.catalogue.units import Unit
from dock_station.catalogue.updates import Told
from dock_station.commands.common import (
    FolderOption,
    ReasonOption,
    actor,
    moment,
    opened,
    print_rows,
    say,
)
from dock_station.updates.standing import Standing, read_updates
from evidence.certificates import Authority
from evidence.commandline import examples, group, pseudonym

_BECAME = {"confirmed": "is confirmed", "rolled-back": "was rolled back", "refused": "was refused"}

unit_app = group("The worn cameras that come to this dock: who wears which, and gaps in what they recorded.")
alarms_app = group("What needs a person's eye, until one has dealt with it.")
clock_app = group("The dock's clock, without which nothing may be deleted.")


@unit_app.command("list")
def _list_units(folder: FolderOption) -> None:
    """Show every unit that has come, to whom it is issued, how it was when it was last here, and its certificate's end.

    A certificate that was revoked is said to be so by the list that this dock has. Below stand the release that is
    offered, and what became of each unit's newest update.
    """
    with opened(folder) as dock, dock.catalogue.reading() as connection:
        known, authority = units.everyone(connection), dock.authority()
        waiting = {unit.unit_id: bays.still_waiting(connection, unit) for unit in known}
        updates = read_updates(connection, dock.folder.updates)
    headings = (
        "Unit", "Issued to", "Last here (UTC)", "Clips waiting", "Battery", "Storage free", "Software", "Certificate",
    )  # fmt: skip
    rows = [
        (
            unit.unit_id,
            unit.wearer or "nobody",
            moment(unit.last_seen_at),
            "–" if waiting[unit.unit_id] is None else str(waiting[unit.unit_id]),
            "–" if unit.battery_percent is None else f"{unit.battery_percent} %",
            _storage(unit),
            _software(unit, updates.of(unit)),
            _certificate(unit, authority),
        )
        for unit in known
    ]
    if rows:
        print_rows(headings, rows)
    else:
        say("No unit has come to this dock yet.")
    if updates.trouble:
        say(updates.trouble)
    if updates.offer:
        say(f"Offered to the units: release {updates.offer.release} for {updates.offer.compatible}.")
    for told in updates.told.values():
        say(_outcome(told))


def _software(unit: Unit, standing: Standing) -> str:
    runs = str(standing.release or unit.software or "–")
    return f"{runs}, {standing.waiting.release} waits for it" if standing.waiting else runs


def _outcome(told: Told) -> str:
    return f"{told.unit_id}: release {told.release} {_BECAME[told.outcome]}, {moment(told.told_at)} UTC. {told.reason}"


def _storage(unit: Unit) -> str:
    if unit.storage_free_bytes is None or unit.storage_total_bytes is None:
        return "–"
    return f"{unit.storage_free_bytes / 1e9:.1f} of {unit.storage_total_bytes / 1e9:.1f} GB"


def _certificate(unit: Unit, authority: Authority) -> str:
    if unit.certificate_ends_at is None or unit.certificate_serial is None:
        return "–"
    if authority.has_revoked(int(unit.certificate_serial, 16)):
        return "revoked"
    return f"until {unit.certificate_ends_at:%Y-%m-%d}"


@unit_app.command(
    "issue",
    epilog=examples(
        "mirrorcam-dock unit issue unit-01 --to wearer-7 --folder dock",
        "mirrorcam-dock unit issue unit-01 --to-nobody --folder dock",
    ),
)
def _issue_unit(
    unit_id: Annotated[str, typer.Argument(metavar="UNIT", help="The unit, as in 'unit-01'.")],
    folder: FolderOption,
    wearer: Annotated[
        str | None,
        typer.Option("--to", metavar="PSEUDONYM", callback=pseudonym, help="Its wearer. Never a real name."),
    ] = None,
    to_nobody: Annotated[bool, typer.Option("--to-nobody", help="Take it back.")] = False,
) -> None:
    """Issue a unit to a wearer; it learns of it when it next docks, and its clips carry that pseudonym from then on."""
    if (wearer is None) != to_nobody:
        raise typer.BadParameter("give either --to PSEUDONYM or --to-nobody")
    with opened(folder) as dock:
        decisions.issue(dock, unit_id, wearer, actor=actor())
    say(f"Unit {unit_id} is issued to {wearer or 'nobody'} from its next docking on.")


@unit_app.command(
    "accept-gap",
    epilog=examples('mirrorcam-dock unit accept-gap unit-01 --reason "its storage was replaced" --folder dock'),
)
def _accept_gap(
    unit_id: Annotated[str, typer.Argument(metavar="UNIT", help="The unit, as in 'unit-01'.")],
    reason: ReasonOption,
    folder: FolderOption,
) -> None:
    """Let a unit's next clip in although clips before it are missing, for good: after its storage died, say.

    Until somebody has accepted the gap, the dock refuses what comes after it, and the unit keeps it.
    """
    with opened(folder) as dock:
        expected = decisions.accept_gap(dock, unit_id, actor=actor(), reason=reason)
    say(f"The next clip of unit {unit_id} may leave a gap: clips from number {expected} on may be missing before it.")


@alarms_app.command("list")
def _list_alarms(folder: FolderOption) -> None:
    """Show the alarms that are open, the oldest first."""
    with opened(folder) as dock, dock.catalogue.reading() as connection:
        found = alarms.still_open(connection)
    for alarm in found:
        say(f"{alarm.alarm_id:>4}  {moment(alarm.raised_at)} UTC  {alarm.kind}  {alarm.subject}")
        say(f"      {alarm.sentence}")
    if not found:
        say("No alarm is open.")


@alarms_app.command(
    "clear", epilog=examples('mirrorcam-dock alarms clear 3 --reason "the unit was repaired" --folder dock')
)
def _clear_alarm(
    alarm_id: Annotated[int, typer.Argument(metavar="NUMBER", help="The alarm, as 'alarms list' numbers it.")],
    reason: ReasonOption,
    folder: FolderOption,
) -> None:
    """Close an alarm that you have dealt with; who did, and why, stays in the custody log."""
    with opened(folder) as dock:
        decisions.clear_alarm(dock, alarm_id, actor=actor(), reason=reason)
    say(f"Alarm {alarm_id} is closed.")


@clock_app.command(
    "vouch", epilog=examples('mirrorcam-dock clock vouch --reason "switched on after the holidays" --folder dock')
)
def _vouch(reason: ReasonOption, folder: FolderOption) -> None:
    """Say that the dock's clock is right, now, after it was in doubt: compare it with another one first.

    The clock is in doubt after a jump, and when the dock was off for more than two days. Until somebody vouches for
    it, nothing is deleted. What is due then goes at the next run.
    """
    with opened(folder) as dock:
        decisions.vouch_for_clock(dock, actor=actor(), reason=reason)
        now = dock.clock()
    say(f"You vouched for {moment(now)} UTC; retention goes on.")
