"""The clips in the vault, and those that were there: finding, listing, adding, marking as deleted."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, func, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import certificates, clips, holds


@dataclass(frozen=True)
class Clip:
    """One clip, as its manifest states it and as the dock keeps it; `None` is what a cut clip left unknown."""

    clip_id: str
    unit_id: str
    sequence: int
    wearer: str
    started_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    pre_record_seconds: float
    clock_error_seconds: float | None
    complete: bool
    ended_by: str
    has_audio: bool
    frames_lost: int | None
    ciphertext_bytes: int
    ciphertext_sha256: str
    manifest_sha256: str
    certificate_sha256: str
    policy_id: str
    vault_key: str
    received_at: datetime
    retained_from: datetime
    due_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True)
class ListedClip:
    """A clip with what a list shows beside it."""

    clip: Clip
    held: bool


@dataclass(frozen=True)
class Wanted:
    """Which clips a list shows; `None` is any. `started_since` is inside, `started_before` is not."""

    unit_id: str | None = None
    wearer: str | None = None
    started_since: datetime | None = None
    started_before: datetime | None = None
    held: bool | None = None
    deleted: bool | None = False


def is_held() -> ColumnElement[bool]:
    """Return the condition that a clip is held now."""
    return exists().where(holds.c.clip_id == clips.c.clip_id, holds.c.released_at.is_(None)).correlate(clips)


def find(connection: Connection, clip_id: str) -> Clip | None:
    """Return the clip, also a deleted one, or None if it never came."""
    return rows.one(Clip, connection.execute(select(clips).where(clips.c.clip_id == clip_id)).first())


def find_by_sequence(connection: Connection, unit_id: str, sequence: int) -> Clip | None:
    """Return the unit's clip with this sequence number, also a deleted one."""
    found = select(clips).where(clips.c.unit_id == unit_id, clips.c.sequence == sequence)
    return rows.one(Clip, connection.execute(found).first())


def listed(connection: Connection, wanted: Wanted, *, limit: int, offset: int = 0) -> list[ListedClip]:
    """Return the wanted clips, the newest first."""
    found = select(clips, is_held().label("held")).where(*_conditions(wanted))
    found = found.order_by(clips.c.started_at.desc(), clips.c.clip_id.desc()).limit(limit).offset(offset)
    result = []
    for row in connection.execute(found):
        values = dict(row._mapping)
        held = bool(values.pop("held"))
        result.append(ListedClip(Clip(**values), held))
    return result


def count(connection: Connection, wanted: Wanted) -> int:
    """Return how many clips are wanted."""
    counted = select(func.count()).select_from(clips).where(*_conditions(wanted))
    return connection.execute(counted).scalar_one()


def kept(connection: Connection) -> list[Clip]:
    """Return all clips that are in the vault."""
    return rows.many(Clip, connection.execute(select(clips).where(clips.c.deleted_at.is_(None))))


def kept_bytes(connection: Connection) -> int:
    """Return the size of all sealed files in the vault together."""
    total = select(func.coalesce(func.sum(clips.c.ciphertext_bytes), 0)).where(clips.c.deleted_at.is_(None))
    return int(connection.execute(total).scalar_one())


def add(connection: Connection, clip: Clip) -> None:
    """Add a clip whose file is durably in the vault."""
    connection.execute(insert(clips).values(asdict(clip)))


def mark_deleted(connection: Connection, clip_id: str, at: datetime) -> None:
    """Note that the clip's files are gone."""
    connection.execute(update(clips).where(clips.c.clip_id == clip_id).values(deleted_at=at))


def keep_certificate(connection: Connection, *, sha256: str, holder: str, pem: str) -> None:
    """Keep a certificate that signed something we keep, once."""
    if connection.execute(select(certificates.c.sha256).where(certificates.c.sha256 == sha256)).first() is None:
        connection.execute(insert(certificates).values(sha256=sha256, holder=holder, pem=pem))


def certificate(connection: Connection, sha256: str) -> str:
    """Return a kept certificate as PEM."""
    return str(connection.execute(select(certificates.c.pem).where(certificates.c.sha256 == sha256)).scalar_one())


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.unit_id is not None:
        conditions.append(clips.c.unit_id == wanted.unit_id)
    if wanted.wearer is not None:
        conditions.append(clips.c.wearer == wanted.wearer)
    if wanted.started_since is not None:
        conditions.append(clips.c.started_at >= wanted.started_since)
    if wanted.started_before is not None:
        conditions.append(clips.c.started_at < wanted.started_before)
    if wanted.held is not None:
        conditions.append(is_held() if wanted.held else ~is_held())
    if wanted.deleted is not None:
        conditions.append(clips.c.deleted_at.is_not(None) if wanted.deleted else clips.c.deleted_at.is_(None))
    return conditions
