"""The catalogue's schema: bringing its tables up to this software's version, and refusing to work on another one."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from dock_station.catalogue.database import Catalogue
from dock_station.catalogue.tables import metadata
from evidence.errors import EnvironmentalError


class SchemaOutdatedError(EnvironmentalError):
    """The catalogue has other tables than this software's version wants."""

    def __init__(self, found: str | None, wanted: str | None) -> None:
        state = f"has version {found}" if found else "is empty"
        super().__init__(f"The catalogue {state}, version {wanted} is wanted: run 'mirrorcam-dock migrate' first.")


def migrate(catalogue: Catalogue, revision: str = "head") -> None:
    """Bring the tables up to `revision`, all steps or none."""
    with catalogue.writing() as connection:
        command.upgrade(_config(connection), revision)


def go_back(catalogue: Catalogue, revision: str) -> None:
    """Take the tables back to an earlier `revision` ("base": nothing at all); what newer columns held is lost."""
    with catalogue.writing() as connection:
        command.downgrade(_config(connection), revision)


def revision(catalogue: Catalogue) -> str | None:
    """Return the version of the tables, or None where there are none yet; changes nothing."""
    url = catalogue.engine.url
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None  # SQLite makes an empty file of one that is asked
    with catalogue.reading() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """Return the version of the tables that a connection sees, or None where there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def is_known(revision: str) -> bool:
    """Say whether this software knows tables of a version: its own, and every earlier one."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def require_current(catalogue: Catalogue) -> None:
    """Raise SchemaOutdatedError unless the tables are those of this software's version; changes nothing."""
    found = revision(catalogue)
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if found != wanted:
        raise SchemaOutdatedError(found, wanted)


def differences(catalogue: Catalogue) -> list[str]:
    """Say in what the database's tables differ from the model; empty where they do not."""
    with catalogue.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return [str(difference) for difference in compare_metadata(context, metadata)]


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "dock_station.catalogue:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
