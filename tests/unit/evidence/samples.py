"""A manifest and a receipt that are good, for tests to spoil one thing at a time."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from evidence.manifest import ClockQuality, Manifest, Marker, Span
from evidence.receipt import CustodyHead, Receipt
from tests.pki import SOME_RECIPIENT

CLIP_ID = "019344a0-1111-7abc-8def-0123456789ab"
OTHER_CLIP_ID = "019344a0-2222-7abc-8def-0123456789ab"
DIGEST = "0f" * 32
OTHER_DIGEST = "1e" * 32

MANIFEST = Manifest(
    clip_id=CLIP_ID,
    unit_id="unit-01",
    wearer="wearer-7",
    sequence=2,
    previous_manifest_sha256=DIGEST,
    started_at=datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC),
    ended_at=datetime(2026, 3, 1, 12, 1, 0, tzinfo=UTC),
    clock=ClockQuality(last_sync=datetime(2026, 3, 1, 6, 0, tzinfo=UTC), estimated_error_seconds=0.5),
    started_monotonic_seconds=21_600.5,
    boot_id="5f0c7a52-4b1e-4d0c-9c55-1d1f6b8f0a01",
    pre_record_seconds=29.8,
    frames_written=2690,
    frames_lost=0,
    has_audio=False,
    mute_spans=(Span(start_seconds=3, end_seconds=4.5),),
    markers=(Marker(at_seconds=12.25),),
    complete=True,
    ended_by="wearer",
    policy_id="bocholt",
    policy_sha256=OTHER_DIGEST,
    recipients=(SOME_RECIPIENT,),
    ciphertext_bytes=90_000_000,
    ciphertext_sha256=DIGEST,
    software="mirrorcam 0.1.0",
)

RECEIPT = Receipt(
    dock_id="town-hall",
    unit_id="unit-01",
    clip_id=CLIP_ID,
    manifest_sha256=OTHER_DIGEST,
    ciphertext_bytes=90_000_000,
    ciphertext_sha256=DIGEST,
    stored_at=datetime(2026, 3, 1, 18, 0, tzinfo=UTC),
    custody=CustodyHead(entries=41, sha256=DIGEST),
)


def fields(document: msgspec.Struct) -> dict[str, Any]:
    """Return a document as the JSON values that it is written with."""
    content: dict[str, Any] = json.loads(msgspec.json.encode(document))
    return content


def spoilt(document: msgspec.Struct, **changes: Any) -> bytes:
    """Return a document's JSON with some fields changed, whether that is allowed or not."""
    return json.dumps({**fields(document), **changes}).encode()


def without(document: msgspec.Struct, name: str) -> bytes:
    """Return a document's JSON with one field left out."""
    content = fields(document)
    del content[name]
    return json.dumps(content).encode()
