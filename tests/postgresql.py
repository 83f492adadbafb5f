"""A real PostgreSQL server for tests: a throw-away one, with a fresh database for whoever asks."""

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

# The program behind Debian's own package tests: it makes a server in a temporary folder, also for root.
SERVER = ["pg_virtualenv", "-t", "-o", "fsync=off", "sh", "-c"]
TELL = 'echo "server $PGUSER $PGPASSWORD $PGHOST $PGPORT" && read _'


@dataclass
class PostgreSql:
    """A running server, by the URL of its own first database."""

    url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        name = f"dock_{next(self._numbers)}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"{self.url}/{name}"


@contextmanager
def postgresql() -> Iterator[PostgreSql]:
    """Run a server as long as the block runs."""
    with subprocess.Popen([*SERVER, TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        words = next(line.split() for line in server.stdout if line.startswith("server "))
        _, user, password, host, port = words
        yield PostgreSql(f"postgresql://{user}:{password}@{host}:{port}")
        server.communicate("\n")
