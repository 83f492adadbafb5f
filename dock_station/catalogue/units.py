"""The units that a dock knows, and what each last said of itself."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlalchemy import Connection, insert, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import units
from evidence.docking import Greeting


@dataclass(frozen=True)
class Unit:
    """One unit; `None` stands for what it has not said yet."""

    unit_id: str
    wearer: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    software: str | None
    battery_percent: int | None
    temperature_celsius: float | None
    storage_free_bytes: int | None
    storage_total_bytes: int | None
    clips_waiting: int | None
    clock_offset_seconds: float | None
    greeted_at: datetime | None
    certificate_ends_at: datetime | None
    certificate_serial: str | None


def find(connection: Connection, unit_id: str) -> Unit | None:
    """Return the unit, or None if it never came."""
    return rows.one(Unit, connection.execute(select(units).where(units.c.unit_id == unit_id)).first())


def everyone(connection: Connection) -> list[Unit]:
    """Return all units by name."""
    return rows.many(Unit, connection.execute(select(units).order_by(units.c.unit_id)))


def seen(connection: Connection, unit_id: str, at: datetime) -> None:
    """Note that the unit is here; a unit that comes for the first time is added."""
    found = connection.execute(update(units).where(units.c.unit_id == unit_id).values(last_seen_at=at))
    if found.rowcount == 0:
        connection.execute(insert(units).values(unit_id=unit_id, first_seen_at=at, last_seen_at=at))


def greeted(connection: Connection, greeting: Greeting, at: datetime) -> Unit:
    """Note what a unit says of itself at docking, and return it."""
    seen(connection, greeting.unit_id, at)
    connection.execute(
        update(units)
        .where(units.c.unit_id == greeting.unit_id)
        .values(
            software=greeting.software,
            battery_percent=greeting.battery_percent,
            temperature_celsius=greeting.temperature_celsius,
            storage_free_bytes=greeting.storage_free_bytes,
            storage_total_bytes=greeting.storage_total_bytes,
            clips_waiting=greeting.clips_waiting,
            clock_offset_seconds=(greeting.sent_at - at).total_seconds(),
            greeted_at=at,
        )
    )
    return rows.many(Unit, connection.execute(select(units).where(units.c.unit_id == greeting.unit_id)))[0]


def certified(connection: Connection, unit_id: str, certificate: x509.Certificate) -> None:
    """Note by which certificate a unit that is known is here."""
    values = {
        "certificate_ends_at": certificate.not_valid_after_utc,
        "certificate_serial": f"{certificate.serial_number:x}",
    }
    connection.execute(update(units).where(units.c.unit_id == unit_id).values(values))


def issue(connection: Connection, unit_id: str, wearer: str | None) -> bool:
    """Issue the unit to a wearer (None: to nobody); False where there is no such unit."""
    return connection.execute(update(units).where(units.c.unit_id == unit_id).values(wearer=wearer)).rowcount == 1
