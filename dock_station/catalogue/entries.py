"""The custody log's rows: only adding and reading, for the database refuses all else."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from dock_station.catalogue import rows
from dock_station.catalogue.tables import custody_entries

BATCH = 1000  # rows in memory at a time while the whole log is read


@dataclass(frozen=True)
class Entry:
    """One entry of the custody log; dock_station.custody says what each field is and how `sha256` comes about."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: str
    previous_sha256: str
    sha256: str
    signature: bytes
    signer_sha256: str


def add(connection: Connection, entry: Entry) -> None:
    """Add an entry."""
    connection.execute(insert(custody_entries).values(asdict(entry)))


def newest(connection: Connection) -> Entry | None:
    """Return the newest entry, or None in an empty log."""
    return rows.one(
        Entry, connection.execute(select(custody_entries).order_by(custody_entries.c.number.desc()).limit(1)).first()
    )


def at_number(connection: Connection, number: int) -> Entry | None:
    """Return the entry with this number."""
    return rows.one(
        Entry, connection.execute(select(custody_entries).where(custody_entries.c.number == number)).first()
    )


def all_in_order(connection: Connection) -> Iterator[Entry]:
    """Yield the whole log from its first entry on, a batch in memory at a time."""
    found = select(custody_entries).order_by(custody_entries.c.number)
    with connection.execution_options(yield_per=BATCH).execute(found) as result:
        for row in result:
            yield Entry(**row._mapping)


def of_subject(connection: Connection, subject: str) -> list[Entry]:
    """Return everything that was done to one subject, in order."""
    found = select(custody_entries).where(custody_entries.c.subject == subject).order_by(custody_entries.c.number)
    return rows.many(Entry, connection.execute(found))


def latest(connection: Connection, *, limit: int, offset: int = 0) -> list[Entry]:
    """Return the newest entries, the newest first."""
    found = select(custody_entries).order_by(custody_entries.c.number.desc()).limit(limit).offset(offset)
    return rows.many(Entry, connection.execute(found))


def count_between(
    connection: Connection, subject: str, actions: Collection[str], since: datetime, until: datetime
) -> int:
    """Return how many entries say one of `actions` of the subject, from `since` to `until`."""
    counted = select(func.count()).where(
        custody_entries.c.subject == subject,
        custody_entries.c.action.in_(actions),
        custody_entries.c.at.between(since, until),
    )
    return connection.execute(counted).scalar_one()


def count(connection: Connection) -> int:
    """Return how many entries there are."""
    return connection.execute(select(func.count()).select_from(custody_entries)).scalar_one()
