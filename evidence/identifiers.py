"""The names that units, docks and clips go by, and what such a name may look like."""

import secrets
import uuid
from datetime import datetime
from typing import Annotated

import msgspec

# Lower case letters, digits and inner hyphens: fits a host name label (RFC 1123 §2.1), a file name and a USB serial.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
UnitId = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
DockId = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]

# A UUID of version 7, RFC 9562 §5.7, in its canonical lower case form.
ClipId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Sha256Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


def new_clip_id(now: datetime) -> str:
    """Return a fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562 §5.7)."""
    milliseconds = int(now.timestamp() * 1000) & (1 << 48) - 1
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
