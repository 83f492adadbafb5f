"""The manifest: what the unit states about one clip, and signs."""

from typing import Annotated, Literal

import msgspec

from evidence.errors import NotGenuineError
from evidence.identifiers import ClipId, Label, Sha256Hex, UnitId
from evidence.strict import SchemaError, Utc, read_json, write_json

SCHEMA: Literal["mirrorcam/manifest/1"] = "mirrorcam/manifest/1"
MAX_BYTES = 1 << 20  # room for some 10 000 markers; a larger one is no manifest of ours

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Pseudonym = Label
RecipientText = Annotated[str, msgspec.Meta(pattern=r"^age1[0-9a-z]+\Z", max_length=4096)]

# How a clip came to its end. All but the last are closed by the recorder; `power-lost` is found at the next start.
EndedBy = Literal[
    "wearer",
    "longest-clip",
    "docked",
    "storage-full",
    "storage-slow",
    "storage-failed",
    "camera-failed",
    "shutdown",
    "power-lost",
]

# The ends after which the sealed file may lack its final chunk.
CUT_BY = ("power-lost", "storage-full", "storage-slow", "storage-failed")


class ClockQuality(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far the wall clock can be trusted: when a dock last set it, and the error estimated since (seconds)."""

    last_sync: Utc | None
    estimated_error_seconds: Annotated[float, msgspec.Meta(ge=0)] | None


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stretch of a clip, in seconds from the clip's first frame."""

    start_seconds: Seconds
    end_seconds: Seconds


class Marker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A moment that the wearer marked, in seconds from the clip's first frame."""

    at_seconds: Seconds


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is stated about one clip; `None` stands where a cut clip left something unknown.

    `started_at` is the wall clock at the touch, `started_monotonic_seconds` the same moment on the clock that never
    jumps (seconds since the boot named by `boot_id`). The picture begins `pre_record_seconds` before it.
    """

    schema: Literal["mirrorcam/manifest/1"] = SCHEMA
    clip_id: ClipId
    unit_id: UnitId
    wearer: Pseudonym
    sequence: Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
    previous_manifest_sha256: Sha256Hex | None
    started_at: Utc
    ended_at: Utc | None
    clock: ClockQuality
    started_monotonic_seconds: Annotated[float, msgspec.Meta(ge=0)]
    boot_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
    pre_record_seconds: Seconds
    frames_written: Count | None
    frames_lost: Count | None
    has_audio: bool
    mute_spans: tuple[Span, ...]
    markers: tuple[Marker, ...]
    complete: bool
    ended_by: EndedBy
    policy_id: Label
    policy_sha256: Sha256Hex
    recipients: Annotated[tuple[RecipientText, ...], msgspec.Meta(min_length=1, max_length=16)]
    ciphertext_bytes: Count
    ciphertext_sha256: Sha256Hex
    software: Label


def encode(manifest: Manifest) -> bytes:
    """Return the bytes that are signed and stored; raises SchemaError for a manifest that `decode` would refuse."""
    content = write_json(manifest)
    decode(content)
    return content


def decode(content: bytes) -> Manifest:
    """Read a manifest's bytes; raises SchemaError with the field's name for anything that does not fit."""
    if len(content) > MAX_BYTES:
        raise SchemaError("manifest", f"it is larger than {MAX_BYTES} bytes")
    manifest = read_json(content, Manifest, "manifest")
    _check_agreement(manifest)
    return manifest


def _check_agreement(manifest: Manifest) -> None:
    if (manifest.sequence == 1) != (manifest.previous_manifest_sha256 is None):
        raise SchemaError("manifest", "previous_manifest_sha256 must be there for every sequence but the first")
    if manifest.complete and manifest.ended_by == "power-lost":
        raise SchemaError("manifest", "complete does not agree with ended_by")
    if not manifest.complete and manifest.ended_by not in CUT_BY:
        raise SchemaError("manifest", "complete does not agree with ended_by")
    known = [
        manifest.ended_at is not None,
        manifest.frames_written is not None,
        manifest.frames_lost is not None,
    ]
    if manifest.complete and not all(known):
        raise SchemaError("manifest", "a complete clip states ended_at, frames_written and frames_lost")
    for span in manifest.mute_spans:
        if span.end_seconds < span.start_seconds:
            raise SchemaError("manifest", "mute_spans has one that ends before it starts")


class ClipDiffersError(NotGenuineError):
    """The sealed file is not the one that its manifest speaks of."""

    def __init__(self, clip_id: str, what: str) -> None:
        super().__init__(f"Clip {clip_id} is not what its manifest says: {what}; keep both and ask for the original.")
        self.clip_id = clip_id


def check_ciphertext(manifest: Manifest, *, size: int, sha256: str) -> None:
    """Compare a sealed file's size (bytes) and SHA-256 (hex) with its manifest; raises ClipDiffersError."""
    if size != manifest.ciphertext_bytes:
        raise ClipDiffersError(manifest.clip_id, f"it has {size} bytes, not {manifest.ciphertext_bytes}")
    if sha256 != manifest.ciphertext_sha256:
        raise ClipDiffersError(manifest.clip_id, f"its SHA-256 is {sha256}, not {manifest.ciphertext_sha256}")
