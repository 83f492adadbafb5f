"""Requests of units to be: begun, waiting for somebody's word, confirmed, enrolled."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import enrolments


@dataclass(frozen=True)
class Enrolment:
    """One request; what is None has not happened yet, and `bay` is None where nobody knows it."""

    request_id: str
    expires_at: datetime
    dock_nonce: bytes
    certificate_sha256: bytes
    bay: str | None
    requested_at: datetime | None
    csr: bytes | None
    unit_nonce: bytes | None
    key_sha256: str | None
    wrong_codes: int
    dropped_at: datetime | None
    unit_id: str | None
    confirmed_by: str | None
    confirmed_at: datetime | None
    enrolled_at: datetime | None


_UNCONFIRMED = enrolments.c.confirmed_at.is_(None) & enrolments.c.dropped_at.is_(None)
_CONFIRMED = enrolments.c.confirmed_at.is_not(None) & enrolments.c.dropped_at.is_(None)


def begin(
    connection: Connection,
    *,
    request_id: str,
    expires_at: datetime,
    dock_nonce: bytes,
    certificate_sha256: bytes,
    bay: str | None,
) -> None:
    """Add a request that has only begun."""
    connection.execute(
        insert(enrolments).values(
            request_id=request_id,
            expires_at=expires_at,
            dock_nonce=dock_nonce,
            certificate_sha256=certificate_sha256,
            bay=bay,
        )
    )


def find(connection: Connection, request_id: str) -> Enrolment | None:
    """Return a request."""
    found = select(enrolments).where(enrolments.c.request_id == request_id)
    return rows.one(Enrolment, connection.execute(found).first())


def count_tries(connection: Connection, at: datetime, wrong_codes: int) -> int:
    """Return how many requests nobody confirmed whose time is not over.

    One that was taken back counts as well: each is a try at a certain code. One that was dropped after so many
    `wrong_codes` does not: a person has done that, and its unit is to ask again.
    """
    found = select(func.count()).select_from(enrolments)
    found = found.where(enrolments.c.confirmed_at.is_(None), enrolments.c.wrong_codes < wrong_codes)
    return connection.execute(found.where(enrolments.c.expires_at > at)).scalar_one()


def forget_before(connection: Connection, moment: datetime) -> None:
    """Forget requests that were dropped, or that nobody confirmed, and whose time was over before a moment."""
    is_over = or_(enrolments.c.confirmed_at.is_(None), enrolments.c.dropped_at.is_not(None))
    connection.execute(delete(enrolments).where(is_over, enrolments.c.expires_at <= moment))


def request(
    connection: Connection,
    request_id: str,
    *,
    csr: bytes,
    unit_nonce: bytes,
    key_sha256: str,
    at: datetime,
    expires_at: datetime,
) -> None:
    """Note what the unit asks for. An older request for the same key that waits is taken back by it."""
    older = enrolments.c.key_sha256 == key_sha256
    connection.execute(update(enrolments).where(older, _UNCONFIRMED).values(dropped_at=at))
    values = {"csr": csr, "unit_nonce": unit_nonce, "key_sha256": key_sha256}
    connection.execute(
        update(enrolments)
        .where(enrolments.c.request_id == request_id)
        .values(requested_at=at, expires_at=expires_at, **values)
    )


def waiting(connection: Connection, at: datetime) -> list[Enrolment]:
    """Return the requests that wait for somebody's word, the oldest first."""
    found = select(enrolments).where(_UNCONFIRMED, enrolments.c.requested_at.is_not(None), enrolments.c.expires_at > at)
    return rows.many(Enrolment, connection.execute(found.order_by(enrolments.c.requested_at)))


def confirmed_key(connection: Connection, key_sha256: str) -> Enrolment | None:
    """Return the newest confirmed request for a key."""
    found = select(enrolments).where(_CONFIRMED, enrolments.c.key_sha256 == key_sha256)
    return rows.one(Enrolment, connection.execute(found.order_by(enrolments.c.confirmed_at.desc()).limit(1)).first())


def was_enrolled(connection: Connection, key_sha256: str) -> bool:
    """Say whether a certificate was handed over by any of the confirmed requests for a key."""
    found = select(enrolments.c.request_id).where(_CONFIRMED, enrolments.c.key_sha256 == key_sha256)
    return connection.execute(found.where(enrolments.c.enrolled_at.is_not(None)).limit(1)).first() is not None


def newest_confirmed(connection: Connection, limit: int) -> list[Enrolment]:
    """Return the confirmed requests, the newest first."""
    found = select(enrolments).where(_CONFIRMED)
    return rows.many(Enrolment, connection.execute(found.order_by(enrolments.c.confirmed_at.desc()).limit(limit)))


def unissued(connection: Connection) -> list[Enrolment]:
    """Return the confirmed requests whose certificate was not handed over yet."""
    found = select(enrolments).where(_CONFIRMED, enrolments.c.enrolled_at.is_(None))
    return rows.many(Enrolment, connection.execute(found))


def count_wrong(connection: Connection, at: datetime) -> None:
    """Count a wrong code at each request that waits."""
    connection.execute(
        update(enrolments)
        .where(_UNCONFIRMED, enrolments.c.requested_at.is_not(None), enrolments.c.expires_at > at)
        .values(wrong_codes=enrolments.c.wrong_codes + 1)
    )


def drop(connection: Connection, request_id: str, at: datetime) -> None:
    """Drop a request."""
    connection.execute(update(enrolments).where(enrolments.c.request_id == request_id).values(dropped_at=at))


def drop_confirmed(connection: Connection, key_sha256: str, at: datetime) -> None:
    """Drop the confirmed requests for a key."""
    connection.execute(
        update(enrolments).where(_CONFIRMED, enrolments.c.key_sha256 == key_sha256).values(dropped_at=at)
    )


def drop_unissued(connection: Connection, at: datetime) -> None:
    """Drop the confirmed requests whose certificate was not handed over yet."""
    pending = _CONFIRMED & enrolments.c.enrolled_at.is_(None)
    connection.execute(update(enrolments).where(pending).values(dropped_at=at))


def confirm(connection: Connection, request_id: str, *, unit_id: str, by: str, at: datetime) -> None:
    """Note who has confirmed a request, and what the unit is to be called."""
    connection.execute(
        update(enrolments)
        .where(enrolments.c.request_id == request_id)
        .values(unit_id=unit_id, confirmed_by=by, confirmed_at=at)
    )


def enrolled(connection: Connection, request_id: str, at: datetime) -> None:
    """Note that the certificate was handed over."""
    connection.execute(update(enrolments).where(enrolments.c.request_id == request_id).values(enrolled_at=at))
