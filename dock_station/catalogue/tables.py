"""The catalogue's tables: what the dock knows of units, clips, people and of all that was done."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

# Names of constraints are fixed here, so that both databases and every migration call them the same.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

CLIP_ID = String(36)
NAME = String(32)  # a unit's or a dock's, evidence.identifiers.NAME_PATTERN
PSEUDONYM = String(64)
SHA256 = String(64)
ACTOR = String(128)  # `person:<login>`, `unit:<id>`, `dock`, or `shell:<system user>` for the command line


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC with microseconds; goes in and comes out aware, whichever database keeps it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware moment into what the database keeps; raises ValueError for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without its time zone was given to the catalogue")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn what the database kept into an aware moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Certificates that signed something which the dock keeps: needed as long as that thing is.
certificates = Table(
    "certificates",
    metadata,
    Column("sha256", SHA256, primary_key=True),  # of the DER bytes
    Column("holder", String(128), nullable=False),  # urn:mirrorcam:<role>:<name>
    Column("pem", Text, nullable=False),
)

units = Table(
    "units",
    metadata,
    Column("unit_id", NAME, primary_key=True),
    Column("wearer", PSEUDONYM),  # to whom it is issued now
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("software", String(64)),
    Column("battery_percent", Integer),
    Column("temperature_celsius", Float),
    Column("storage_free_bytes", BigInteger),
    Column("storage_total_bytes", BigInteger),
    Column("clips_waiting", BigInteger),
    Column("clock_offset_seconds", Float),  # the unit's clock minus the dock's, at its newest greeting
    Column("greeted_at", UtcDateTime),  # its newest greeting
    Column("certificate_ends_at", UtcDateTime),  # of the certificate that it last showed or was given
    Column("certificate_serial", String(40)),  # hex, RFC 5280 §4.1.2.2: 20 octets at most
)

# Requests of units to be. What nobody confirms goes again; what somebody confirmed stays, as the record of who did.
enrolments = Table(
    "enrolments",
    metadata,
    Column("request_id", String(32), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),  # unless it is confirmed before
    Column("dock_nonce", LargeBinary(32), nullable=False),
    Column("certificate_sha256", LargeBinary(32), nullable=False),  # of the TLS certificate that the dock has shown
    Column("bay", String(64)),  # the USB port that it came from, where that is known
    Column("requested_at", UtcDateTime),  # NULL: the unit has not sent its request yet, nor anything below
    Column("csr", LargeBinary),
    Column("unit_nonce", LargeBinary(32)),
    Column("key_sha256", SHA256),
    Column("wrong_codes", Integer, nullable=False, server_default="0"),
    Column("dropped_at", UtcDateTime),
    Column("unit_id", NAME),
    Column("confirmed_by", ACTOR),
    Column("confirmed_at", UtcDateTime),
    Column("enrolled_at", UtcDateTime),  # when the certificate was handed over
    Index(None, "key_sha256"),
)

# The newest word of each unit about an update that it has tried or refused.
update_outcomes = Table(
    "update_outcomes",
    metadata,
    Column("unit_id", NAME, primary_key=True),
    Column("release", String(32), nullable=False),
    Column("outcome", String(16), nullable=False),  # one of evidence.docking.Outcome
    Column("reason", Text, nullable=False),
    Column("told_at", UtcDateTime, nullable=False),
)

# What is plugged in now, as the device itself says by USB: nothing is decided by it, it is shown to people.
bays = Table(
    "bays",
    metadata,
    Column("bay", String(64), primary_key=True),  # the USB port, as the kernel names it
    Column("unit_id", NAME),  # NULL: its serial number is no unit's
    Column("since", UtcDateTime, nullable=False),
    Column("refused_at", UtcDateTime),  # when the bays' door last refused the certificate of that unit
)

# The newest link of each unit's chain of manifests, and whether the next clip may leave a gap behind it.
chains = Table(
    "chains",
    metadata,
    Column("unit_id", NAME, ForeignKey("units.unit_id"), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("manifest_sha256", SHA256, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# Gaps in a chain that a person accepted; `closed_by_clip` is the clip that came after the gap.
gaps = Table(
    "gaps",
    metadata,
    Column("gap_id", Integer, primary_key=True),
    Column("unit_id", NAME, ForeignKey("units.unit_id"), nullable=False),
    Column("expected_sequence", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("accepted_by", ACTOR, nullable=False),
    Column("accepted_at", UtcDateTime, nullable=False),
    Column("closed_by_clip", CLIP_ID, ForeignKey("clips.clip_id")),
    Index(
        "ix_gaps_open",
        "unit_id",
        unique=True,
        sqlite_where=text("closed_by_clip IS NULL"),
        postgresql_where=text("closed_by_clip IS NULL"),
    ),
)

clips = Table(
    "clips",
    metadata,
    Column("clip_id", CLIP_ID, primary_key=True),
    Column("unit_id", NAME, ForeignKey("units.unit_id"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("wearer", PSEUDONYM, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),  # the unit's wall clock at the touch
    Column("ended_at", UtcDateTime),  # NULL: cut, unknown
    Column("duration_seconds", Float),  # of the picture, pre-record included; NULL: cut, unknown
    Column("pre_record_seconds", Float, nullable=False),
    Column("clock_error_seconds", Float),  # as the unit estimated it; NULL: it did not know
    Column("complete", Boolean, nullable=False),
    Column("ended_by", String(32), nullable=False),
    Column("has_audio", Boolean, nullable=False),
    Column("frames_lost", BigInteger),
    Column("ciphertext_bytes", BigInteger, nullable=False),
    Column("ciphertext_sha256", SHA256, nullable=False),
    Column("manifest_sha256", SHA256, nullable=False),
    Column("certificate_sha256", SHA256, ForeignKey("certificates.sha256"), nullable=False),
    Column("policy_id", String(64), nullable=False),
    Column("vault_key", String(128), nullable=False, unique=True),
    Column("received_at", UtcDateTime, nullable=False),
    Column("retained_from", UtcDateTime, nullable=False),  # the latest moment at which it can have been recorded
    Column("due_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    UniqueConstraint("unit_id", "sequence"),
    Index(None, "started_at"),
    Index(None, "deleted_at", "due_at"),
    Index(None, "unit_id", "received_at"),
)

# Uploads under way (tus); the row goes when the clip is sealed, expires or is terminated.
uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String(32), primary_key=True),
    Column("unit_id", NAME, ForeignKey("units.unit_id"), nullable=False),
    Column("clip_id", CLIP_ID, nullable=False),
    Column("metadata", String(1024), nullable=False),  # Upload-Metadata as the client gave it; tus hands it back
    Column("length_bytes", BigInteger, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),  # durable: what was acknowledged
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    UniqueConstraint("unit_id", "clip_id"),
)

holds = Table(
    "holds",
    metadata,
    Column("hold_id", Integer, primary_key=True),
    Column("clip_id", CLIP_ID, ForeignKey("clips.clip_id"), nullable=False),
    Column("case_number", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("review_on", Date, nullable=False),
    Column("set_by", ACTOR, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
    Column("released_by", ACTOR),
    Column("released_at", UtcDateTime),
    Column("release_reason", Text),
    Index(None, "clip_id"),
)

# What remains of a deleted clip. Written with `deleted_at` NULL before the first file goes: an intent to finish.
deletions = Table(
    "deletions",
    metadata,
    Column("clip_id", CLIP_ID, ForeignKey("clips.clip_id"), primary_key=True),
    Column("cause", String(32), nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("ciphertext_bytes", BigInteger, nullable=False),
    Column("ciphertext_sha256", SHA256, nullable=False),
    Column("manifest_sha256", SHA256, nullable=False),
    Column("intended_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
)

# Append-only: triggers in both databases refuse UPDATE and DELETE. dock_station.custody has the byte-exact form.
custody_entries = Table(
    "custody_entries",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(128), nullable=False),  # `clip:<id>`, `unit:<id>`, `person:<login>`, `dock:<id>`
    Column("details", Text, nullable=False),  # canonical JSON, the very bytes that were hashed
    Column("previous_sha256", SHA256, nullable=False),
    Column("sha256", SHA256, nullable=False, unique=True),
    Column("signature", LargeBinary(64), nullable=False),
    Column("signer_sha256", SHA256, ForeignKey("certificates.sha256"), nullable=False),
    Index(None, "subject"),
)

# What needs a person's eye and stays visible until one has dealt with it.
alarms = Table(
    "alarms",
    metadata,
    Column("alarm_id", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),  # one of dock_station.catalogue.alarms
    Column("subject", String(128), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("cleared_at", UtcDateTime),
    Column("cleared_by", ACTOR),
    Index(
        "ix_alarms_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("cleared_at IS NULL"),
        postgresql_where=text("cleared_at IS NULL"),
    ),
)

ROLES = ("officer", "evidence-officer", "supervisor", "it", "auditor")

people = Table(
    "people",
    metadata,
    Column("person_id", Integer, primary_key=True),
    Column("login", String(64), nullable=False, unique=True),
    Column("display_name", String(128), nullable=False),
    Column("role", String(32), nullable=False),
    Column("wearer", PSEUDONYM, unique=True),  # the pseudonym under which this person's units record
    Column("password_hash", Text, nullable=False),
    Column("password_changed_at", UtcDateTime, nullable=False),  # sessions from before it are over
    Column("failed_attempts", Integer, nullable=False, server_default="0"),
    Column("locked_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    CheckConstraint("role IN ({})".format(", ".join(f"'{role}'" for role in ROLES)), name="role"),
)
