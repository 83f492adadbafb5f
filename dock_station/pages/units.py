"""The units that this dock knows: how each was when it was last here, and which of its clips were refused."""

from collections import defaultdict
from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from dock_station.catalogue import alarms, bays, clips, entries, units
from dock_station.catalogue.alarms import Alarm
from dock_station.catalogue.clips import Wanted
from dock_station.catalogue.units import Unit
from dock_station.catalogue.updates import Told
from dock_station.pages.site import Site, asking_with
from dock_station.rights import Right
from dock_station.updates.standing import Standing, read_updates
from evidence.docking import Outcome

CLOCK_OFF_SECONDS = (
    5.0  # a unit set by a dock drifts by 8.6 s a day at worst: more than this after hours is worth a look
)


@dataclass(frozen=True)
class ShownUnit:
    """One unit with what the catalogue knows of its clips."""

    unit: Unit
    clips_here: int
    clips_waiting: int | None
    refused: tuple[Alarm, ...]
    software: Standing

    @property
    def clock_is_off(self) -> bool:
        """Whether its clock was further off than a healthy one gets."""
        return abs(self.unit.clock_offset_seconds or 0) > CLOCK_OFF_SECONDS

    @property
    def told(self) -> Told | None:
        """What became of its newest update; nothing is said of one that was confirmed, for its release shows that."""
        told = self.software.told
        return told if told and told.outcome != Outcome.CONFIRMED else None


def blueprint(site: Site) -> Blueprint:
    """Return the page `/units`."""
    pages = Blueprint("units", __name__)

    @pages.get("/units")
    def listed() -> ResponseReturnValue:
        asking_with(Right.SEE_UNITS)
        with site.dock.catalogue.reading() as connection:
            refused, updates = _refused_by_unit(connection), read_updates(connection, site.dock.folder.updates)
            found = [
                ShownUnit(
                    unit,
                    clips.count(connection, Wanted(unit_id=unit.unit_id)),
                    bays.still_waiting(connection, unit),
                    tuple(refused.pop(unit.unit_id, ())),
                    updates.of(unit),
                )
                for unit in units.everyone(connection)
            ]
        return render_template("units.html", units=found, updates=updates)

    return pages


def _refused_by_unit(connection: Connection) -> dict[str, list[Alarm]]:
    refused: dict[str, list[Alarm]] = defaultdict(list)
    for alarm in alarms.still_open(connection):
        if alarm.kind == alarms.CLIP_REFUSED:
            tried = [each for each in entries.of_subject(connection, alarm.subject) if each.action == "clip-refused"]
            unit_id = tried[-1].actor.removeprefix("unit:") if tried else ""
            refused[unit_id].append(alarm)
    return refused
