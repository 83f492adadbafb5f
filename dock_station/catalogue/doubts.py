"""Clips that came in while the dock's clock was in doubt, whose time therefore counts from the end of the doubt."""

from datetime import datetime

from sqlalchemy import Connection, func, literal, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.tables import clips, custody_entries


def newest_number(connection: Connection, action: str, subject: str) -> int | None:
    """Return the number of the newest custody entry that says so of `subject`, or None."""
    found = select(func.max(custody_entries.c.number)).where(
        custody_entries.c.subject == subject, custody_entries.c.action == action
    )
    number: int | None = connection.execute(found).scalar_one()
    return number


def clips_received_since(connection: Connection, number: int) -> list[Clip]:
    """Return the clips in the vault that the custody log has accepted after its entry `number`."""
    accepted = select(custody_entries.c.subject).where(
        custody_entries.c.number > number, custody_entries.c.action == "clip-accepted"
    )
    found = select(clips).where((literal("clip:") + clips.c.clip_id).in_(accepted), clips.c.deleted_at.is_(None))
    return rows.many(Clip, connection.execute(found))


def keep_from(connection: Connection, clip: Clip, start: datetime) -> None:
    """Let the clip's time run from `start`, and as long as was promised when it came in."""
    changed = update(clips).where(clips.c.clip_id == clip.clip_id)
    connection.execute(changed.values(retained_from=start, due_at=start + (clip.due_at - clip.retained_from)))
