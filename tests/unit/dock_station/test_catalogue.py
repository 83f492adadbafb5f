"""The catalogue's contract, on SQLite and on a real PostgreSQL: the same tables, the same refusals, the same job."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, inspect, text, update
from sqlalchemy.exc import DBAPIError

from dock_station import custody
from dock_station.catalogue import alarms, bays, entries, schema, units, updates
from dock_station.catalogue.bays import Bay
from dock_station.catalogue.database import Catalogue, CatalogueError
from dock_station.catalogue.tables import custody_entries, metadata
from dock_station.catalogue.updates import Told
from tests.dock import NO_RESERVE, RunningDock, running_dock
from tests.postgresql import PostgreSql, postgresql

AT = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)  # where a local clock would have been set

OLD = "%Y-%m-%d %H:%M:%S.%f"  # how SQLite keeps a moment
OLD_UNIT = "INSERT INTO units (unit_id, first_seen_at, last_seen_at, battery_percent) VALUES ('unit-1', :at, :at, 42)"


def raise_one(connection: Connection) -> None:
    alarms.raise_alarm(connection, kind="clock", subject="dock:dock-1", sentence="The clock jumped.", at=AT)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.sqlite3'}"
    server: PostgreSql = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def catalogue(url: str) -> Iterator[Catalogue]:
    opened = Catalogue(url)
    schema.migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def dock(url: str, tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path / "dock", settings=f'{NO_RESERVE}\ncatalogue_url = "{url}"') as running:
        yield running


def test_the_migrations_make_the_tables_of_the_model(catalogue: Catalogue) -> None:
    assert schema.differences(catalogue) == []
    assert set(metadata.tables) < set(inspect(catalogue.engine).get_table_names())


def test_a_difference_from_the_model_would_be_found(catalogue: Catalogue) -> None:
    with catalogue.writing() as connection:
        connection.execute(text("ALTER TABLE alarms ADD COLUMN surplus INTEGER"))
    assert "surplus" in str(schema.differences(catalogue))


def test_migrating_again_changes_nothing_and_going_back_leaves_no_table(catalogue: Catalogue) -> None:
    version = schema.revision(catalogue)
    schema.migrate(catalogue)
    assert schema.revision(catalogue) == version
    schema.go_back(catalogue, "base")
    assert inspect(catalogue.engine).get_table_names() == ["alembic_version"]
    with pytest.raises(schema.SchemaOutdatedError, match="mirrorcam-dock migrate"):
        schema.require_current(catalogue)
    schema.migrate(catalogue)
    schema.require_current(catalogue)


def test_a_catalogue_of_the_first_version_keeps_what_it_has_when_the_bays_come_in_and_when_they_go(url: str) -> None:
    catalogue = Catalogue(url)
    schema.migrate(catalogue, "0001")
    with catalogue.writing() as connection:
        connection.execute(text(OLD_UNIT), {"at": AT if connection.dialect.name == "postgresql" else f"{AT:{OLD}}"})
        raise_one(connection)
    schema.migrate(catalogue)
    assert schema.differences(catalogue) == []
    with catalogue.writing() as connection:
        (unit,) = units.everyone(connection)
        assert (unit.unit_id, unit.first_seen_at, unit.battery_percent, unit.greeted_at) == ("unit-1", AT, 42, None)
        bays.plug_in(connection, "1-1.3", "unit-1", AT)
        assert bays.taken(connection) == [Bay("1-1.3", "unit-1", AT, None)]
    schema.go_back(catalogue, "0001")
    with catalogue.reading() as connection:
        assert connection.execute(text("SELECT unit_id, battery_percent FROM units")).all() == [("unit-1", 42)]
        assert len(alarms.still_open(connection)) == 1
    catalogue.close()


def test_the_newest_word_of_a_unit_about_an_update_is_kept_on_both_databases(catalogue: Catalogue) -> None:
    told = Told("unit-1", "0.1.0+20261120T000000Z", "refused", "It is older.", AT)
    with catalogue.writing() as connection:
        assert updates.note(connection, told)
        assert not updates.note(connection, replace(told, told_at=AT + timedelta(days=1)))
        assert updates.everyone(connection) == [told]
        assert updates.note(connection, replace(told, outcome="confirmed"))
        assert updates.everyone(connection) == [replace(told, outcome="confirmed")]


def test_what_fails_in_the_middle_of_writing_was_never_there(catalogue: Catalogue) -> None:
    def write_and_fail() -> None:
        with catalogue.writing() as connection:
            raise_one(connection)
            raise LookupError

    with pytest.raises(LookupError):
        write_and_fail()
    with catalogue.reading() as connection:
        assert alarms.still_open(connection) == []


def test_a_reader_sees_one_state_while_another_writes(catalogue: Catalogue) -> None:
    with catalogue.reading() as reader:
        assert alarms.still_open(reader) == []
        with catalogue.writing() as writer:
            raise_one(writer)
        assert alarms.still_open(reader) == []
    with catalogue.reading() as reader:
        assert [alarm.raised_at for alarm in alarms.still_open(reader)] == [AT]


def test_two_writers_come_one_after_the_other(catalogue: Catalogue) -> None:
    order: list[str] = []

    def second() -> None:
        with catalogue.writing():
            order.append("second")

    with catalogue.writing() as connection:
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        raise_one(connection)
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]


def test_a_clip_comes_in_and_its_custody_entries_cannot_be_touched(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    clip = camera.clip()
    dock.receipt(unit.bring(clip))
    assert dock.is_stored(clip)
    dock.receipt(unit.seal(clip))
    catalogue = dock.dock.catalogue
    for change in (update(custody_entries).values(actor="nobody"), delete(custody_entries)):
        with pytest.raises(DBAPIError, match="append-only"), catalogue.writing() as connection:
            connection.execute(change)
    with catalogue.reading() as connection:
        checked = list(custody.checked(connection, dock.dock.authority(), "dock-1"))
        assert len(checked) == entries.count(connection) > 0


@pytest.mark.parametrize("url", ["nonsense", "mysql://dock:secret@localhost/dock", "oracle:///"])
def test_another_kind_of_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(CatalogueError, match=r"catalogue_url in dock\.toml") as refused:
        Catalogue(url)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_one_sentence_without_its_password() -> None:
    with pytest.raises(CatalogueError, match="cannot be opened") as refused:
        schema.migrate(Catalogue("postgresql://dock:secret@127.0.0.1:1/dock"))
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
