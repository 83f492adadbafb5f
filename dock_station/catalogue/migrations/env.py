"""What Alembic runs to migrate: on the connection that dock_station.catalogue.schema hands it, in one transaction."""

from alembic import context

from dock_station.catalogue.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
