"""The catalogue as it is at one moment, copied while the dock works, and put back: SQLite and PostgreSQL."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from dock_station.catalogue.database import Catalogue
from evidence.errors import EnvironmentalError


class ToolMissingError(EnvironmentalError):
    """A program of PostgreSQL's is not installed."""

    def __init__(self, tool: str) -> None:
        super().__init__(f"{tool} is missing: install Debian's package postgresql-client, and try again.")


class ToolFailedError(EnvironmentalError):
    """A program of PostgreSQL's refused."""

    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(f"{tool} refused ({reason}): see to it, and try again.")


class CatalogueDamagedError(EnvironmentalError):
    """SQLite says that the catalogue's file is damaged."""

    def __init__(self, shown_url: str, reason: str) -> None:
        super().__init__(
            f"The catalogue at {shown_url} is damaged ({reason}), so no backup was made: keep the newest good one."
        )


class CopyFailedError(EnvironmentalError):
    """SQLite could not copy the catalogue."""

    def __init__(self, shown_url: str, reason: str) -> None:
        super().__init__(
            f"The catalogue at {shown_url} could not be copied ({reason}): see that there is room where it goes."
        )


class CatalogueThereError(EnvironmentalError):
    """A catalogue is where one is to be restored."""

    def __init__(self, shown_url: str) -> None:
        super().__init__(f"The database at {shown_url} holds something already: name an empty one in catalogue_url.")


class OtherDatabaseError(EnvironmentalError):
    """The settings want another kind of database than the one that the backup is of."""

    def __init__(self, wanted: str, found: str) -> None:
        super().__init__(
            f"The settings' catalogue_url is of {wanted}, and this backup's catalogue is of {found}: give settings "
            "with --settings whose database is of the same kind."
        )


@contextmanager
def frozen(catalogue: Catalogue, target: Path) -> Iterator[Connection]:
    """Write the catalogue to `target`, and give a connection that sees the very state that was written."""
    if catalogue.engine.url.get_backend_name() == "sqlite":
        _copy_sqlite(catalogue, target)
        with closing(Catalogue(f"sqlite:///{target}")) as copy, copy.reading() as connection:
            yield connection
        return
    with catalogue.reading() as connection:
        snapshot = str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())
        _run_tool(
            *("pg_dump", "--format=custom", "--no-owner", "--no-privileges"),
            *(f"--snapshot={snapshot}", f"--file={target}"),
            url=catalogue.engine.url,
        )
        yield connection


def require_empty(catalogue: Catalogue) -> None:
    """Raise CatalogueThereError where a database holds anything, or CatalogueError where it cannot be reached."""
    url = catalogue.engine.url
    if url.get_backend_name() == "sqlite":
        if Path(url.database or "").exists():
            raise CatalogueThereError(catalogue.shown_url)
        return
    with catalogue.reading() as connection:
        if inspect(connection).get_table_names():
            raise CatalogueThereError(catalogue.shown_url)


def load(dump: Path, catalogue: Catalogue) -> None:
    """Put a dump of PostgreSQL's into the empty database, all of it or nothing."""
    _run_tool(
        *("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"),
        str(dump),
        url=catalogue.engine.url,
    )


def _copy_sqlite(catalogue: Catalogue, target: Path) -> None:
    target.touch(mode=0o600)
    try:
        with closing(catalogue.engine.raw_connection()) as source, closing(sqlite3.connect(target)) as copy:
            cast(sqlite3.Connection, source.driver_connection).backup(copy)
            (answer,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise CopyFailedError(catalogue.shown_url, str(error)) from error
    if answer != "ok":
        raise CatalogueDamagedError(catalogue.shown_url, str(answer))


def _run_tool(tool: str, *options: str, url: URL) -> None:
    """Run a program of PostgreSQL's; the password goes by the environment, which no process list shows."""
    if shutil.which(tool) is None:
        raise ToolMissingError(tool)
    wanted = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    password = str(wanted.pop("password", ""))
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    place = make_conninfo(**{name: str(value) for name, value in wanted.items()})
    done = subprocess.run(
        [tool, "--no-password", *options, f"--dbname={place}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ToolFailedError(tool, lines[0].partition("error: ")[2] or lines[0] if lines else "it said nothing")
