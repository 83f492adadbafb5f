"""Holds: what keeps a clip from deletion."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import holds


@dataclass(frozen=True)
class Hold:
    """One hold; it is in force until `released_at`."""

    hold_id: int
    clip_id: str
    case_number: str
    reason: str
    review_on: date
    set_by: str
    set_at: datetime
    released_by: str | None
    released_at: datetime | None
    release_reason: str | None


def of_clip(connection: Connection, clip_id: str) -> list[Hold]:
    """Return all holds of a clip, also released ones, the newest first."""
    found = select(holds).where(holds.c.clip_id == clip_id).order_by(holds.c.set_at.desc(), holds.c.hold_id.desc())
    return rows.many(Hold, connection.execute(found))


def find(connection: Connection, hold_id: int) -> Hold | None:
    """Return the hold, or None where there is none of this number."""
    return rows.one(Hold, connection.execute(select(holds).where(holds.c.hold_id == hold_id)).first())


def in_force(connection: Connection) -> list[Hold]:
    """Return all holds in force, those to be reviewed first at the beginning."""
    found = select(holds).where(holds.c.released_at.is_(None)).order_by(holds.c.review_on)
    return rows.many(Hold, connection.execute(found))


def held_clips(connection: Connection) -> frozenset[str]:
    """Return the ids of all clips that are held now."""
    return frozenset(connection.execute(select(holds.c.clip_id).where(holds.c.released_at.is_(None))).scalars())


def is_held(connection: Connection, clip_id: str) -> bool:
    """Say whether the clip is held now."""
    found = select(holds.c.hold_id).where(holds.c.clip_id == clip_id, holds.c.released_at.is_(None))
    return connection.execute(found).first() is not None


def set_hold(
    connection: Connection,
    clip_id: str,
    *,
    case_number: str,
    reason: str,
    review_on: date,
    set_by: str,
    at: datetime,
) -> int:
    """Hold the clip and return the hold's number."""
    added = insert(holds).values(
        clip_id=clip_id, case_number=case_number, reason=reason, review_on=review_on, set_by=set_by, set_at=at
    )
    return int(connection.execute(added.returning(holds.c.hold_id)).scalar_one())


def release(connection: Connection, hold_id: int, *, released_by: str, reason: str, at: datetime) -> bool:
    """End the hold; False where it was not in force."""
    ended = update(holds).where(holds.c.hold_id == hold_id, holds.c.released_at.is_(None))
    ended = ended.values(released_by=released_by, released_at=at, release_reason=reason)
    return connection.execute(ended).rowcount == 1
