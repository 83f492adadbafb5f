"""Clips that came in when the dock's clock may have been wrong, whose time therefore counts from a later moment."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, literal, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.entries import Entry
from dock_station.catalogue.tables import clips, custody_entries


def newest(connection: Connection, action: str, subject: str) -> Entry | None:
    """Return the newest custody entry that says so of `subject`, or None."""
    found = select(custody_entries).where(custody_entries.c.subject == subject, custody_entries.c.action == action)
    return rows.one(Entry, connection.execute(found.order_by(custody_entries.c.number.desc()).limit(1)).first())


def clips_received_since(connection: Connection, number: int) -> list[Clip]:
    """Return the clips in the vault that the custody log has accepted after its entry `number`."""
    return _received(connection, custody_entries.c.number > number)


def clips_received_between(connection: Connection, since: datetime, number: int) -> list[Clip]:
    """Return the clips in the vault that the custody log has accepted at `since` or later, but before `number`."""
    return _received(connection, custody_entries.c.at >= since, custody_entries.c.number < number)


def _received(connection: Connection, *which: ColumnElement[bool]) -> list[Clip]:
    accepted = select(custody_entries.c.subject).where(custody_entries.c.action == "clip-accepted", *which)
    found = select(clips).where((literal("clip:") + clips.c.clip_id).in_(accepted), clips.c.deleted_at.is_(None))
    return rows.many(Clip, connection.execute(found))


def keep_from(connection: Connection, clip: Clip, start: datetime) -> None:
    """Let the clip's time run from `start`, and as long as was promised when it came in."""
    changed = update(clips).where(clips.c.clip_id == clip.clip_id)
    connection.execute(changed.values(retained_from=start, due_at=start + (clip.due_at - clip.retained_from)))
