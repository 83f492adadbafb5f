"""The names that units, docks and clips go by, and what such a name may look like."""

import secrets
import uuid
from datetime import datetime
from typing import Annotated

import msgspec

# Lower case letters, digits and inner hyphens: fits a host name label (RFC 1123 §2.1), a file name and a USB serial.
# `\Z`, here and below, because `$` would let a final line break through.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z"
UnitId = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
DockId = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]

# What a unit to be is called on its cable until it has an id; no unit's id begins so.
NEW_UNIT = "new-"

CLIP_ID_LENGTH = 36  # RFC 9562 §4
# A UUID of version 7, RFC 9562 §5.7, in its canonical lower case form.
ClipId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")]
Sha256Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

# Text of one line that any screen, log and database takes: no control character (C0, C1, line and paragraph
# separators), nothing that turns the reading direction (Unicode §23.2), no half of a surrogate pair.
LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*\Z"
Label = Annotated[str, msgspec.Meta(pattern=LINE_PATTERN, min_length=1, max_length=64)]


def new_clip_id(now: datetime) -> str:
    """Return a fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562 §5.7)."""
    milliseconds = int(now.timestamp() * 1000) & (1 << 48) - 1
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
