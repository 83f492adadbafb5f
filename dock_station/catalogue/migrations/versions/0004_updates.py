"""A table for the newest word of each unit about an update.

Revision 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

from dock_station.catalogue.tables import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "update_outcomes",
        sa.Column("unit_id", sa.String(32), nullable=False),
        sa.Column("release", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("unit_id", name="pk_update_outcomes"),
    )


def downgrade() -> None:
    op.drop_table("update_outcomes")
