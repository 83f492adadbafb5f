"""Which bay holds which unit, and when each unit last greeted.

Revision 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

from dock_station.catalogue.tables import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bays",
        sa.Column("bay", sa.String(64), nullable=False),
        sa.Column("unit_id", sa.String(32)),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("refused_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("bay", name="pk_bays"),
    )
    op.add_column("units", sa.Column("greeted_at", UtcDateTime()))
    op.create_index("ix_clips_unit_id_received_at", "clips", ["unit_id", "received_at"])


def downgrade() -> None:
    op.drop_index("ix_clips_unit_id_received_at", "clips")
    op.drop_column("units", "greeted_at")
    op.drop_table("bays")
