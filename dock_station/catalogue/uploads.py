"""Uploads under way: how many bytes of which clip are durably here."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import uploads


@dataclass(frozen=True)
class Upload:
    """One upload; its first `offset_bytes` of `length_bytes` are durable."""

    upload_id: str
    unit_id: str
    clip_id: str
    metadata: str
    length_bytes: int
    offset_bytes: int
    created_at: datetime
    expires_at: datetime

    @property
    def complete(self) -> bool:
        """Whether every announced byte is here."""
        return self.offset_bytes == self.length_bytes


def find(connection: Connection, upload_id: str) -> Upload | None:
    """Return the upload, or None where there is none of this name."""
    return rows.one(Upload, connection.execute(select(uploads).where(uploads.c.upload_id == upload_id)).first())


def of_clip(connection: Connection, unit_id: str, clip_id: str) -> Upload | None:
    """Return the unit's upload of this clip."""
    found = select(uploads).where(uploads.c.unit_id == unit_id, uploads.c.clip_id == clip_id)
    return rows.one(Upload, connection.execute(found).first())


def expired(connection: Connection, now: datetime) -> list[Upload]:
    """Return the uploads whose time is over."""
    return rows.many(Upload, connection.execute(select(uploads).where(uploads.c.expires_at <= now)))


def under_way(connection: Connection) -> list[Upload]:
    """Return all uploads."""
    return rows.many(Upload, connection.execute(select(uploads).order_by(uploads.c.created_at)))


def bytes_still_to_come(connection: Connection) -> int:
    """Return how many bytes all uploads together still want to bring."""
    missing = func.coalesce(func.sum(uploads.c.length_bytes - uploads.c.offset_bytes), 0)
    return int(connection.execute(select(missing)).scalar_one())


def add(connection: Connection, upload: Upload) -> None:
    """Add an upload."""
    connection.execute(insert(uploads).values(asdict(upload)))


def acknowledge(connection: Connection, upload_id: str, offset_bytes: int, expires_at: datetime) -> None:
    """Note how many bytes are durable now."""
    changed = update(uploads).where(uploads.c.upload_id == upload_id)
    connection.execute(changed.values(offset_bytes=offset_bytes, expires_at=expires_at))


def remove(connection: Connection, upload_id: str) -> None:
    """Forget the upload."""
    connection.execute(delete(uploads).where(uploads.c.upload_id == upload_id))
