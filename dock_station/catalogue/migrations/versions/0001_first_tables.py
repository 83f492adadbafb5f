"""The first tables.

Revision 0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op

from dock_station.catalogue.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "certificates",
    "units",
    "chains",
    "clips",
    "gaps",
    "uploads",
    "holds",
    "deletions",
    "custody_entries",
    "alarms",
    "people",
)

# The custody log is append-only for everyone who comes by SQL, whatever program they come with.
SQLITE_GUARD = """
CREATE TRIGGER custody_entries_no_{word} BEFORE {word} ON custody_entries
BEGIN SELECT RAISE(ABORT, 'the custody log is append-only'); END
"""
POSTGRESQL_REFUSAL = """
CREATE FUNCTION refuse_custody_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the custody log is append-only'; END $$
"""
POSTGRESQL_GUARD = """
CREATE TRIGGER custody_entries_no_{word} BEFORE {word} ON custody_entries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_custody_change()
"""


def upgrade() -> None:
    _create_units()
    _create_clips()
    _create_what_happens_to_clips()
    _create_custody()
    _create_people()
    _guard_custody()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_custody_change()")


def _create_units() -> None:
    op.create_table(
        "certificates",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_certificates"),
    )
    op.create_table(
        "units",
        sa.Column("unit_id", sa.String(32), nullable=False),
        sa.Column("wearer", sa.String(64)),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("software", sa.String(64)),
        sa.Column("battery_percent", sa.Integer()),
        sa.Column("temperature_celsius", sa.Float()),
        sa.Column("storage_free_bytes", sa.BigInteger()),
        sa.Column("storage_total_bytes", sa.BigInteger()),
        sa.Column("clips_waiting", sa.BigInteger()),
        sa.Column("clock_offset_seconds", sa.Float()),
        sa.PrimaryKeyConstraint("unit_id", name="pk_units"),
    )
    op.create_table(
        "chains",
        sa.Column("unit_id", sa.String(32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_chains_unit_id"),
        sa.PrimaryKeyConstraint("unit_id", name="pk_chains"),
    )


def _create_clips() -> None:
    op.create_table(
        "clips",
        sa.Column("clip_id", sa.String(36), nullable=False),
        sa.Column("unit_id", sa.String(32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("wearer", sa.String(64), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("duration_seconds", sa.Float()),
        sa.Column("pre_record_seconds", sa.Float(), nullable=False),
        sa.Column("clock_error_seconds", sa.Float()),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("ended_by", sa.String(32), nullable=False),
        sa.Column("has_audio", sa.Boolean(), nullable=False),
        sa.Column("frames_lost", sa.BigInteger()),
        sa.Column("ciphertext_bytes", sa.BigInteger(), nullable=False),
        sa.Column("ciphertext_sha256", sa.String(64), nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("certificate_sha256", sa.String(64), nullable=False),
        sa.Column("policy_id", sa.String(64), nullable=False),
        sa.Column("vault_key", sa.String(128), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("retained_from", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.ForeignKeyConstraint(["certificate_sha256"], ["certificates.sha256"], name="fk_clips_certificate_sha256"),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_clips_unit_id"),
        sa.PrimaryKeyConstraint("clip_id", name="pk_clips"),
        sa.UniqueConstraint("unit_id", "sequence", name="uq_clips_unit_id_sequence"),
        sa.UniqueConstraint("vault_key", name="uq_clips_vault_key"),
    )
    op.create_index("ix_clips_deleted_at_due_at", "clips", ["deleted_at", "due_at"])
    op.create_index("ix_clips_started_at", "clips", ["started_at"])
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.String(32), nullable=False),
        sa.Column("unit_id", sa.String(32), nullable=False),
        sa.Column("clip_id", sa.String(36), nullable=False),
        sa.Column("metadata", sa.String(1024), nullable=False),
        sa.Column("length_bytes", sa.BigInteger(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_uploads_unit_id"),
        sa.PrimaryKeyConstraint("upload_id", name="pk_uploads"),
        sa.UniqueConstraint("unit_id", "clip_id", name="uq_uploads_unit_id_clip_id"),
    )


def _create_what_happens_to_clips() -> None:
    op.create_table(
        "gaps",
        sa.Column("gap_id", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.String(32), nullable=False),
        sa.Column("expected_sequence", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("accepted_by", sa.String(128), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=False),
        sa.Column("closed_by_clip", sa.String(36)),
        sa.ForeignKeyConstraint(["closed_by_clip"], ["clips.clip_id"], name="fk_gaps_closed_by_clip"),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_gaps_unit_id"),
        sa.PrimaryKeyConstraint("gap_id", name="pk_gaps"),
    )
    still_open = sa.text("closed_by_clip IS NULL")
    op.create_index(
        "ix_gaps_open", "gaps", ["unit_id"], unique=True, sqlite_where=still_open, postgresql_where=still_open
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.Integer(), nullable=False),
        sa.Column("clip_id", sa.String(36), nullable=False),
        sa.Column("case_number", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("review_on", sa.Date(), nullable=False),
        sa.Column("set_by", sa.String(128), nullable=False),
        sa.Column("set_at", UtcDateTime(), nullable=False),
        sa.Column("released_by", sa.String(128)),
        sa.Column("released_at", UtcDateTime()),
        sa.Column("release_reason", sa.Text()),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name="fk_holds_clip_id"),
        sa.PrimaryKeyConstraint("hold_id", name="pk_holds"),
    )
    op.create_index("ix_holds_clip_id", "holds", ["clip_id"])
    op.create_table(
        "deletions",
        sa.Column("clip_id", sa.String(36), nullable=False),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("ciphertext_bytes", sa.BigInteger(), nullable=False),
        sa.Column("ciphertext_sha256", sa.String(64), nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("intended_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name="fk_deletions_clip_id"),
        sa.PrimaryKeyConstraint("clip_id", name="pk_deletions"),
    )


def _create_custody() -> None:
    op.create_table(
        "custody_entries",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous_sha256", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.Column("signer_sha256", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["signer_sha256"], ["certificates.sha256"], name="fk_custody_entries_signer_sha256"),
        sa.PrimaryKeyConstraint("number", name="pk_custody_entries"),
        sa.UniqueConstraint("sha256", name="uq_custody_entries_sha256"),
    )
    op.create_index("ix_custody_entries_subject", "custody_entries", ["subject"])
    op.create_table(
        "alarms",
        sa.Column("alarm_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("raised_at", UtcDateTime(), nullable=False),
        sa.Column("cleared_at", UtcDateTime()),
        sa.Column("cleared_by", sa.String(128)),
        sa.PrimaryKeyConstraint("alarm_id", name="pk_alarms"),
    )
    still_open = sa.text("cleared_at IS NULL")
    op.create_index(
        "ix_alarms_open",
        "alarms",
        ["kind", "subject"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )


def _create_people() -> None:
    op.create_table(
        "people",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(128), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("wearer", sa.String(64)),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("password_changed_at", UtcDateTime(), nullable=False),
        sa.Column("failed_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("locked_until", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("disabled_at", UtcDateTime()),
        sa.CheckConstraint(
            "role IN ('officer', 'evidence-officer', 'supervisor', 'it', 'auditor')", name=op.f("ck_people_role")
        ),
        sa.PrimaryKeyConstraint("person_id", name="pk_people"),
        sa.UniqueConstraint("login", name="uq_people_login"),
        sa.UniqueConstraint("wearer", name="uq_people_wearer"),
    )


def _guard_custody() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL_REFUSAL)
        for word in ("UPDATE", "DELETE", "TRUNCATE"):
            op.execute(POSTGRESQL_GUARD.format(word=word))
    else:
        for word in ("UPDATE", "DELETE"):
            op.execute(SQLITE_GUARD.format(word=word))
