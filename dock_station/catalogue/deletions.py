"""Deletion records: the intent before, and what remains of a clip after."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.tables import deletions


@dataclass(frozen=True)
class Deletion:
    """One deletion; while `deleted_at` is None it is intended and not finished."""

    clip_id: str
    cause: str
    due_at: datetime
    ciphertext_bytes: int
    ciphertext_sha256: str
    manifest_sha256: str
    intended_at: datetime
    deleted_at: datetime | None


def find(connection: Connection, clip_id: str) -> Deletion | None:
    """Return the clip's deletion, or None where none is even intended."""
    return rows.one(Deletion, connection.execute(select(deletions).where(deletions.c.clip_id == clip_id)).first())


def unfinished(connection: Connection) -> list[Deletion]:
    """Return the deletions that were intended and not finished."""
    return rows.many(
        Deletion,
        connection.execute(select(deletions).where(deletions.c.deleted_at.is_(None)).order_by(deletions.c.intended_at)),
    )


def intend(connection: Connection, clip: Clip, *, cause: str, due_at: datetime, at: datetime) -> None:
    """Note that the clip is going to be deleted, before its first file goes."""
    connection.execute(
        insert(deletions).values(
            clip_id=clip.clip_id,
            cause=cause,
            due_at=due_at,
            ciphertext_bytes=clip.ciphertext_bytes,
            ciphertext_sha256=clip.ciphertext_sha256,
            manifest_sha256=clip.manifest_sha256,
            intended_at=at,
        )
    )


def finish(connection: Connection, clip_id: str, at: datetime) -> None:
    """Note that the clip's files are durably gone."""
    connection.execute(update(deletions).where(deletions.c.clip_id == clip_id).values(deleted_at=at))


def withdraw(connection: Connection, clip_id: str) -> None:
    """Forget the intent: the clip's files are all there, and it is kept."""
    connection.execute(delete(deletions).where(deletions.c.clip_id == clip_id, deletions.c.deleted_at.is_(None)))
