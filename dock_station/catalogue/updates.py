"""What each unit last said became of an update."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import update_outcomes


@dataclass(frozen=True)
class Told:
    """One unit's newest word; `outcome` is one of evidence.docking.Outcome."""

    unit_id: str
    release: str
    outcome: str
    reason: str
    told_at: datetime


def everyone(connection: Connection) -> list[Told]:
    """Return the newest word of each unit that has said one, by name."""
    return rows.many(Told, connection.execute(select(update_outcomes).order_by(update_outcomes.c.unit_id)))


def note(connection: Connection, told: Told) -> bool:
    """Keep a unit's word instead of its last one; False, and nothing is changed, where it says the same again."""
    of_unit = update_outcomes.c.unit_id == told.unit_id
    before = rows.one(Told, connection.execute(select(update_outcomes).where(of_unit)).first())
    values = {"release": told.release, "outcome": told.outcome, "reason": told.reason, "told_at": told.told_at}
    if before is None:
        connection.execute(insert(update_outcomes).values(unit_id=told.unit_id, **values))
        return True
    if (before.release, before.outcome, before.reason) == (told.release, told.outcome, told.reason):
        return False
    connection.execute(update(update_outcomes).where(of_unit).values(values))
    return True
