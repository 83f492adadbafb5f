"""The people who may use the dock: accounts, their roles, and the state of their sign-ins."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, func, insert, or_, select, update

from dock_station.catalogue import rows
from dock_station.catalogue.tables import people


@dataclass(frozen=True)
class Person:
    """One account."""

    person_id: int
    login: str
    display_name: str
    role: str
    wearer: str | None
    password_hash: str = field(repr=False)
    password_changed_at: datetime
    failed_attempts: int
    locked_until: datetime | None
    created_at: datetime
    disabled_at: datetime | None

    @property
    def active(self) -> bool:
        """Whether the person may sign in, a lock-out aside."""
        return self.disabled_at is None


def find(connection: Connection, person_id: int) -> Person | None:
    """Return the person with this number."""
    return rows.one(Person, connection.execute(select(people).where(people.c.person_id == person_id)).first())


def find_by_login(connection: Connection, login: str) -> Person | None:
    """Return the person with this login."""
    return rows.one(Person, connection.execute(select(people).where(people.c.login == login)).first())


def is_taken(connection: Connection, name: str) -> bool:
    """Say whether the name is anybody's login or pseudonym: who has no pseudonym records under the login."""
    found = select(people.c.person_id).where(or_(people.c.login == name, people.c.wearer == name))
    return connection.execute(found).first() is not None


def everyone(connection: Connection) -> list[Person]:
    """Return all people by login, also disabled ones."""
    return rows.many(Person, connection.execute(select(people).order_by(people.c.login)))


def count(connection: Connection) -> int:
    """Return how many people there are, disabled ones included."""
    return connection.execute(select(func.count()).select_from(people)).scalar_one()


def add(
    connection: Connection,
    *,
    login: str,
    display_name: str,
    role: str,
    password_hash: str,
    at: datetime,
    wearer: str | None = None,
) -> int:
    """Add a person and return the number; raises IntegrityError where the login or the pseudonym is taken."""
    added = insert(people).values(
        login=login,
        display_name=display_name,
        role=role,
        wearer=wearer,
        password_hash=password_hash,
        password_changed_at=at,
        created_at=at,
    )
    return int(connection.execute(added.returning(people.c.person_id)).scalar_one())


def set_password(connection: Connection, person_id: int, password_hash: str, at: datetime) -> None:
    """Give the person a new password; sessions from before it are over, and a lock-out ends."""
    changed = update(people).where(people.c.person_id == person_id)
    connection.execute(
        changed.values(
            password_hash=password_hash,
            password_changed_at=at,
            failed_attempts=0,
            locked_until=None,
        )
    )


def rehash_password(connection: Connection, person_id: int, password_hash: str) -> None:
    """Keep the same password under a newer hash; sessions go on."""
    connection.execute(update(people).where(people.c.person_id == person_id).values(password_hash=password_hash))


def attempt_failed(connection: Connection, person_id: int, locked_until: datetime | None) -> int:
    """Count a failed sign-in and lock the account until `locked_until`; returns the failures in a row."""
    changed = update(people).where(people.c.person_id == person_id)
    changed = changed.values(failed_attempts=people.c.failed_attempts + 1, locked_until=locked_until)
    return int(connection.execute(changed.returning(people.c.failed_attempts)).scalar_one())


def attempt_succeeded(connection: Connection, person_id: int) -> None:
    """Forget the failed sign-ins."""
    changed = update(people).where(people.c.person_id == person_id)
    connection.execute(changed.values(failed_attempts=0, locked_until=None))


def disable(connection: Connection, person_id: int, at: datetime) -> bool:
    """Let the person in no more; False where they were disabled before."""
    changed = update(people).where(people.c.person_id == person_id, people.c.disabled_at.is_(None))
    return connection.execute(changed.values(disabled_at=at)).rowcount == 1
