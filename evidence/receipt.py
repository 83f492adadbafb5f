"""The receipt: the dock's signed statement that a clip is durably stored, with the custody log's head at that time."""

from typing import Annotated, Literal

import msgspec

from evidence.errors import NotGenuineError
from evidence.identifiers import ClipId, DockId, Sha256Hex, UnitId
from evidence.manifest import Count, Manifest
from evidence.strict import Utc, read_json, write_json

SCHEMA: Literal["mirrorcam/receipt/1"] = "mirrorcam/receipt/1"


class CustodyHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A custody log at one moment: how many entries it has, and the hash of the newest."""

    entries: Annotated[int, msgspec.Meta(ge=1)]
    sha256: Sha256Hex


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the dock states; only against this does a unit delete its copy."""

    schema: Literal["mirrorcam/receipt/1"] = SCHEMA
    dock_id: DockId
    unit_id: UnitId
    clip_id: ClipId
    manifest_sha256: Sha256Hex
    ciphertext_bytes: Count
    ciphertext_sha256: Sha256Hex
    stored_at: Utc
    custody: CustodyHead


class ReceiptDiffersError(NotGenuineError):
    """A receipt speaks of another clip, or of other bytes, than the one that was sent."""

    def __init__(self, clip_id: str, field: str) -> None:
        super().__init__(
            f"The dock's receipt for clip {clip_id} has another {field} than the clip; it is kept on the unit: "
            "have IT look at the dock."
        )


def encode(receipt: Receipt) -> bytes:
    """Return the bytes that are signed and handed out."""
    return write_json(receipt)


def decode(content: bytes) -> Receipt:
    """Read a receipt's bytes; raises SchemaError with the field's name."""
    return read_json(content, Receipt, "receipt")


def check_speaks_of(receipt: Receipt, manifest: Manifest, manifest_sha256: str) -> None:
    """Check that a receipt is for just this clip; raises ReceiptDiffersError with the first field that differs."""
    stated = {
        "unit_id": manifest.unit_id,
        "clip_id": manifest.clip_id,
        "manifest_sha256": manifest_sha256,
        "ciphertext_bytes": manifest.ciphertext_bytes,
        "ciphertext_sha256": manifest.ciphertext_sha256,
    }
    for field, value in stated.items():
        if getattr(receipt, field) != value:
            raise ReceiptDiffersError(manifest.clip_id, field)
