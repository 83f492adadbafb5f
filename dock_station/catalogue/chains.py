"""The newest link of each unit's chain of manifests, and the gaps that a person accepted."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import chains, gaps
from evidence.chain import Link


@dataclass(frozen=True)
class Gap:
    """A gap that a person accepted: clips from `expected_sequence` on may be missing."""

    gap_id: int
    unit_id: str
    expected_sequence: int
    reason: str
    accepted_by: str
    accepted_at: datetime
    closed_by_clip: str | None


def newest(connection: Connection, unit_id: str) -> Link | None:
    """Return the unit's newest link, or None if none of its clips came yet."""
    found = select(chains.c.sequence, chains.c.manifest_sha256).where(chains.c.unit_id == unit_id)
    return rows.one(Link, connection.execute(found).first())


def advance(connection: Connection, unit_id: str, link: Link, at: datetime) -> None:
    """Make `link` the unit's newest."""
    values = {"sequence": link.sequence, "manifest_sha256": link.manifest_sha256, "updated_at": at}
    if connection.execute(update(chains).where(chains.c.unit_id == unit_id).values(values)).rowcount == 0:
        connection.execute(insert(chains).values(unit_id=unit_id, **values))


def open_gap(connection: Connection, unit_id: str) -> Gap | None:
    """Return the accepted gap that no clip has closed yet."""
    found = select(gaps).where(gaps.c.unit_id == unit_id, gaps.c.closed_by_clip.is_(None))
    return rows.one(Gap, connection.execute(found).first())


def accept_gap(
    connection: Connection, unit_id: str, *, expected_sequence: int, reason: str, accepted_by: str, at: datetime
) -> None:
    """Let the unit's next clip leave a gap behind it."""
    connection.execute(
        insert(gaps).values(
            unit_id=unit_id,
            expected_sequence=expected_sequence,
            reason=reason,
            accepted_by=accepted_by,
            accepted_at=at,
        )
    )


def close_gap(connection: Connection, gap: Gap, clip_id: str) -> None:
    """Note which clip came after the gap: the next gap must be accepted anew."""
    connection.execute(update(gaps).where(gaps.c.gap_id == gap.gap_id).values(closed_by_clip=clip_id))
