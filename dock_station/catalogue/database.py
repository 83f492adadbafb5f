"""One way into the catalogue, whichever database keeps it: many may read at a time, one writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from evidence.errors import EnvironmentalError

BUSY_SECONDS = 30  # how long a writer waits for another one before it gives up
WRITER_LOCK = 0x6D6972726F72  # "mirror": the PostgreSQL advisory lock that all writers of a catalogue take


class CatalogueError(EnvironmentalError):
    """The catalogue's database cannot be reached."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"The catalogue at {url} cannot be opened ({reason}); check catalogue_url in dock.toml.")


class CatalogueFailsError(EnvironmentalError):
    """The database refuses in the middle of something."""

    def __init__(self, error: SQLAlchemyError) -> None:
        super().__init__(
            f"The catalogue's database fails ({_first_line(error)}): what was begun was taken back; have IT look at it."
        )


class Catalogue:
    """The catalogue's database, by its SQLAlchemy URL (SQLite or PostgreSQL).

    Contract: what happens inside one `writing()` is there whole and durable once the block has ended, or not at all
    when it raised or the machine stopped. Writers come one after the other, also from other processes, so a writer may
    read, decide and write without anyone coming in between.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.engine = _engine(self._url)

    @property
    def shown_url(self) -> str:
        """The URL without its password, for people and logs."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the catalogue from beginning to end."""
        with self._connected() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are kept, all of them, when the block ends without an error."""
        with self._connected() as connection:
            connection.execution_options(mirrorcam_writes=True)
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITER_LOCK})
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self.engine.connect()
        except OperationalError as error:
            raise CatalogueError(self.shown_url, _first_line(error)) from error
        with connection:
            yield connection


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise CatalogueError("its URL", "it is no database URL") from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise CatalogueError("its URL", "SQLite and PostgreSQL are what it can be")
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def _engine(url: URL) -> Engine:
    # An error says what was asked of the database and not with which values: names and hashes are among them.
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transactions start too late for a reader's one view; `_begin_sqlite` starts them instead.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("mirrorcam_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).splitlines()[0]
