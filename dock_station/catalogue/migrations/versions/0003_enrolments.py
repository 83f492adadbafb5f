"""Requests of units to be, and until when each unit's certificate is good.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

from dock_station.catalogue.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enrolments",
        sa.Column("request_id", sa.String(32), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("dock_nonce", sa.LargeBinary(32), nullable=False),
        sa.Column("certificate_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("bay", sa.String(64)),
        sa.Column("requested_at", UtcDateTime()),
        sa.Column("csr", sa.LargeBinary()),
        sa.Column("unit_nonce", sa.LargeBinary(32)),
        sa.Column("key_sha256", sa.String(64)),
        sa.Column("wrong_codes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("dropped_at", UtcDateTime()),
        sa.Column("unit_id", sa.String(32)),
        sa.Column("confirmed_by", sa.String(128)),
        sa.Column("confirmed_at", UtcDateTime()),
        sa.Column("enrolled_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("request_id", name="pk_enrolments"),
    )
    op.create_index("ix_enrolments_key_sha256", "enrolments", ["key_sha256"])
    op.add_column("units", sa.Column("certificate_ends_at", UtcDateTime()))
    op.add_column("units", sa.Column("certificate_serial", sa.String(40)))


def downgrade() -> None:
    op.drop_column("units", "certificate_serial")
    op.drop_column("units", "certificate_ends_at")
    op.drop_index("ix_enrolments_key_sha256", "enrolments")
    op.drop_table("enrolments")
