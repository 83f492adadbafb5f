"""The bays: what is plugged into each, what its unit has handed over since, and what was refused."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.alarms import CLIP_REFUSED
from dock_station.catalogue.tables import alarms, bays, clips, custody_entries, uploads
from dock_station.catalogue.units import Unit


@dataclass(frozen=True)
class Bay:
    """One bay that is taken, by the unit that it says it is; `unit_id` None: by something that is no unit."""

    bay: str
    unit_id: str | None
    since: datetime
    refused_at: datetime | None


@dataclass(frozen=True)
class Newest:
    """A unit's upload at which something was last done."""

    length_bytes: int
    offset_bytes: int
    expires_at: datetime


def taken(connection: Connection) -> list[Bay]:
    """Return the bays that are taken."""
    return rows.many(Bay, connection.execute(select(bays).order_by(bays.c.bay)))


def plug_in(connection: Connection, bay: str, unit_id: str | None, since: datetime) -> None:
    """Note that a bay is taken, by whatever was there before."""
    unplug(connection, bay)
    connection.execute(insert(bays).values(bay=bay, unit_id=unit_id, since=since))


def unplug(connection: Connection, bay: str) -> None:
    """Note that a bay is free."""
    connection.execute(delete(bays).where(bays.c.bay == bay))


def clear(connection: Connection) -> None:
    """Note that all bays are free."""
    connection.execute(delete(bays))


def refuse(connection: Connection, bay: str, at: datetime) -> None:
    """Note that the certificate of what is in a bay was refused."""
    connection.execute(update(bays).where(bays.c.bay == bay).values(refused_at=at))


def count_received(connection: Connection, unit_id: str, since: datetime, before: datetime | None = None) -> int:
    """Return how many clips of a unit came in since a moment, up to another one if there is one."""
    found = select(func.count()).select_from(clips).where(clips.c.unit_id == unit_id, clips.c.received_at >= since)
    if before:
        found = found.where(clips.c.received_at < before)
    return connection.execute(found).scalar_one()


def still_waiting(connection: Connection, unit: Unit) -> int | None:
    """Return how many clips a unit has yet: those that it told of when it greeted, without what came in since."""
    if unit.clips_waiting is None or unit.greeted_at is None:
        return None
    return max(0, unit.clips_waiting - count_received(connection, unit.unit_id, unit.greeted_at))


def newest_received(connection: Connection, unit_id: str) -> datetime | None:
    """Return when the newest clip of a unit came in."""
    found = select(clips.c.received_at).where(clips.c.unit_id == unit_id)
    return connection.execute(found.order_by(clips.c.received_at.desc()).limit(1)).scalar()


def count_refused(connection: Connection, unit_id: str) -> int:
    """Return how many clips of a unit were refused, about which an alarm is still open."""
    found = (
        select(func.count(alarms.c.alarm_id.distinct()))
        .join_from(alarms, custody_entries, custody_entries.c.subject == alarms.c.subject)
        .where(
            alarms.c.kind == CLIP_REFUSED,
            alarms.c.cleared_at.is_(None),
            custody_entries.c.action == "clip-refused",
            custody_entries.c.actor == f"unit:{unit_id}",
        )
    )
    return connection.execute(found).scalar_one()


def newest_upload(connection: Connection, unit_id: str) -> Newest | None:
    """Return the upload of a unit at which something was last done."""
    found = select(uploads.c.length_bytes, uploads.c.offset_bytes, uploads.c.expires_at)
    found = found.where(uploads.c.unit_id == unit_id).order_by(uploads.c.expires_at.desc()).limit(1)
    return rows.one(Newest, connection.execute(found).first())
