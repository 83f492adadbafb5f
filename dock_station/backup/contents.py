"""What is in a backup: its facts, the vault's index, and which of the dock's files go with them."""

from typing import Annotated, Literal

import msgspec

from dock_station.catalogue.clips import Clip
from evidence.identifiers import ClipId, DockId, Sha256Hex
from evidence.receipt import CustodyHead
from evidence.strict import Utc

SCHEMA: Literal["mirrorcam/backup/1"] = "mirrorcam/backup/1"
FACTS, INDEX = "backup.json", "vault.json"
CATALOGUES = {"sqlite": "catalogue.sqlite3", "postgresql": "catalogue.pgdump"}
DOCK, VAULT = "dock/", "vault/"  # the dock's own files; sealed clips, where the backup has them

# The dock's folder without what a running dock makes anew (locks, sockets) and without the vault.
FILES = (
    "dock.toml",
    "dock.key",
    "dock.crt",
    "signer.key",
    "signer.crt",
    "session.key",
    "authority.crt",
    "revocations.pem",
    "policy.toml",
    "policy.toml.sig",
    "policy.toml.crt",
)
KEYSLOTS = "keyslots/"

Size = Annotated[int, msgspec.Meta(ge=0)]
Database = Literal["sqlite", "postgresql"]


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backup says of itself; `custody` is the head of the log in it (None: the log is empty)."""

    schema: Literal["mirrorcam/backup/1"] = SCHEMA
    dock_id: DockId
    made_at: Utc
    software: str
    database: Database
    revision: str  # of the catalogue's tables
    custody: CustodyHead | None
    with_clips: bool


class IndexedClip(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One clip of the vault: what its files must be, and when its time is over."""

    clip_id: ClipId
    vault_key: str
    ciphertext_bytes: Size
    ciphertext_sha256: Sha256Hex
    manifest_sha256: Sha256Hex
    due_at: Utc


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every clip that was in the vault."""

    clips: tuple[IndexedClip, ...]


def indexed(clip: Clip) -> IndexedClip:
    """Return a clip's line in the index."""
    return IndexedClip(
        clip_id=clip.clip_id,
        vault_key=clip.vault_key,
        ciphertext_bytes=clip.ciphertext_bytes,
        ciphertext_sha256=clip.ciphertext_sha256,
        manifest_sha256=clip.manifest_sha256,
        due_at=clip.due_at,
    )
