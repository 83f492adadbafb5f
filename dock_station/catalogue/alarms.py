"""Alarms: what needs a person's eye, visible until one has dealt with it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import alarms

CUSTODY_REWRITTEN = "custody-rewritten"
CLOCK_JUMPED = "clock-jumped"
CLIP_REFUSED = "clip-refused"
SET_BACK = "set-back"  # restored: nothing is deleted until somebody has closed it
RETENTION_STOPPED = "retention-stopped"
DELETION_FAILED = "deletion-failed"
HELD_TOO_LATE = "held-too-late"
HOLD_LOST = "hold-lost"


@dataclass(frozen=True)
class Alarm:
    """One alarm; it is open until `cleared_at`."""

    alarm_id: int
    kind: str
    subject: str
    sentence: str
    raised_at: datetime
    cleared_at: datetime | None
    cleared_by: str | None


def still_open(connection: Connection) -> list[Alarm]:
    """Return the open alarms, the oldest first."""
    found = select(alarms).where(alarms.c.cleared_at.is_(None)).order_by(alarms.c.raised_at)
    return rows.many(Alarm, connection.execute(found))


def find(connection: Connection, alarm_id: int) -> Alarm | None:
    """Return the alarm with this number, also a cleared one."""
    return rows.one(Alarm, connection.execute(select(alarms).where(alarms.c.alarm_id == alarm_id)).first())


def find_open(connection: Connection, kind: str, subject: str) -> Alarm | None:
    """Return the open alarm of this kind about this subject."""
    found = select(alarms).where(alarms.c.kind == kind, alarms.c.subject == subject, alarms.c.cleared_at.is_(None))
    return rows.one(Alarm, connection.execute(found).first())


def count_open(connection: Connection, kind: str) -> int:
    """Return how many alarms of this kind are open."""
    found = select(func.count()).select_from(alarms).where(alarms.c.kind == kind, alarms.c.cleared_at.is_(None))
    return connection.execute(found).scalar_one()


def raise_alarm(connection: Connection, *, kind: str, subject: str, sentence: str, at: datetime) -> bool:
    """Open an alarm; False where one of this kind about this subject is open already."""
    if find_open(connection, kind, subject):
        return False
    connection.execute(insert(alarms).values(kind=kind, subject=subject, sentence=sentence, raised_at=at))
    return True


def clear(connection: Connection, alarm_id: int, *, cleared_by: str, at: datetime) -> bool:
    """Close the alarm; False where it was not open."""
    closed = update(alarms).where(alarms.c.alarm_id == alarm_id, alarms.c.cleared_at.is_(None))
    return connection.execute(closed.values(cleared_at=at, cleared_by=cleared_by)).rowcount == 1
