"""The docking protocol's names and messages: where the unit calls, what it says, and what the dock answers.

Clips travel by tus 1.0 (core, creation, checksum, expiration); the rest is JSON over the same mutually
authenticated TLS 1.3 connection. docs/formats.md has it byte-exact.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from evidence.identifiers import LINE_PATTERN, DockId, Sha256Hex, UnitId
from evidence.manifest import Count, Pseudonym
from evidence.receipt import CustodyHead
from evidence.release import Compatible, Release, ReleaseText
from evidence.strict import Utc

GREETING_PATH = "/unit/v1/greeting"  # POST Greeting → Signed Welcome
UPLOADS_PATH = "/unit/v1/clips"  # tus creation; uploads live at <UPLOADS_PATH>/<upload id>
SEAL_PATH = "/unit/v1/clips/{clip_id}/seal"  # POST SealRequest → Signed Receipt
UPDATE_PATH = "/unit/v1/update"  # GET → UpdateOffer, or 204 where there is none
BUNDLE_PATH = "/unit/v1/update/{sha256}"  # GET → the bundle that is offered; `Range: bytes=N-` goes on from byte N
OUTCOME_PATH = "/unit/v1/update/outcome"  # POST UpdateOutcome → 204

TUS_VERSION = "1.0.0"
TUS_EXTENSIONS = ("creation", "checksum", "expiration", "termination")
TUS_CHECKSUMS = ("sha256", "sha1")  # tus asks every server for sha1; ours is sha256
CLIP_ID_METADATA = "clip_id"  # the Upload-Metadata key that says which clip an upload is


class SeenHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The newest custody head that a unit has seen from a dock."""

    dock_id: DockId
    head: CustodyHead


class Greeting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a unit says of itself at docking; `None` stands for what its board cannot measure."""

    schema: Literal["mirrorcam/greeting/1"] = "mirrorcam/greeting/1"
    unit_id: UnitId
    software: Annotated[str, msgspec.Meta(max_length=64)]
    sent_at: Utc
    clips_waiting: Count
    storage_free_bytes: Count
    storage_total_bytes: Count
    battery_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] | None
    temperature_celsius: float | None
    seen_heads: tuple[SeenHead, ...]


class Welcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dock's signed answer: the time, who wears the unit now, and the policy (a Signed document) in force.

    `time_is_trusted` is False while the dock doubts its own clock: certificates are held against `time` all the
    same, but no clock is set by it. `revocations` is the authority's newest list of revoked certificates that the dock
    has (RFC 5280 §5, PEM).
    """

    schema: Literal["mirrorcam/welcome/1"] = "mirrorcam/welcome/1"
    dock_id: DockId
    unit_id: UnitId
    time: Utc
    time_is_trusted: bool
    wearer: Pseudonym | None
    policy: bytes
    policy_signature: bytes
    policy_certificate: bytes
    revocations: bytes


class SealRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The manifest's bytes as they are, and the unit's signature over them: what closes an upload."""

    manifest: bytes
    signature: bytes


# A root slot and a boot slot together; what is larger fits no card of ours.
MAX_BUNDLE = 8 << 30
BundleBytes = Annotated[int, msgspec.Meta(ge=1, le=MAX_BUNDLE)]
Reason = Annotated[str, msgspec.Meta(pattern=LINE_PATTERN, min_length=1, max_length=300)]


class UpdateOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The bundle that a dock hands on: what its authority's signature in it has to say too, and its size in bytes.

    Nothing of it is to be trusted: the unit trusts what the bundle's own signature covers.
    """

    schema: Literal["mirrorcam/update-offer/1"] = "mirrorcam/update-offer/1"
    release: ReleaseText
    compatible: Compatible
    bytes: BundleBytes
    sha256: Sha256Hex

    def __post_init__(self) -> None:
        Release.parse(self.release)


class Outcome(StrEnum):
    """What became of an update on a unit."""

    CONFIRMED = "confirmed"  # camera, screen and dock were reached: its slot is the permanent one
    ROLLED_BACK = "rolled-back"  # its trial was not confirmed: the earlier slot runs again
    REFUSED = "refused"  # it was not fetched, not written or not tried, so far


class UpdateOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a unit tells of the newest update that it tried or refused; `reason` is one sentence for IT."""

    schema: Literal["mirrorcam/update-outcome/1"] = "mirrorcam/update-outcome/1"
    release: ReleaseText
    outcome: Outcome
    reason: Reason

    def __post_init__(self) -> None:
        Release.parse(self.release)


class RefusalCode(StrEnum):
    """Why the dock refuses, for programs; docs/formats.md says with which HTTP status each comes."""

    CERTIFICATE = "certificate"  # not one that this authority vouches for as a unit's
    REQUEST = "request"  # the request is not one of this protocol
    TUS_VERSION = "tus-version"
    CONTENT_TYPE = "content-type"
    UNKNOWN = "unknown"  # there is no such upload or path
    GONE = "gone"  # the upload was discarded: create it anew
    BUSY = "busy"  # another connection is at this upload, or others fetch the bundle: try again
    OFFSET = "offset"  # ask for the offset by HEAD and go on there; of a bundle, begin anew
    CHECKSUM = "checksum"  # the piece arrived damaged and was thrown away: send it again
    TOO_LONG = "too-long"
    NO_ROOM = "no-room"
    STORED = "stored"  # the dock has this clip: seal it to get the receipt
    NOT_UPLOADED = "not-uploaded"  # bytes are missing: upload, then seal
    SCHEMA = "schema"
    FOREIGN = "foreign"  # it speaks of another unit, or of another clip, than the one it comes with
    SIGNATURE = "signature"
    REPLAYED = "replayed"
    GAP = "gap"
    BROKEN_CHAIN = "broken-chain"
    DIFFERS = "differs"  # the upload is not what the manifest says and was discarded: upload it anew
    DOCK = "dock"  # the dock itself is not in order: try again later


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Any answer that is not a success: a stable code for programs, one sentence for people."""

    code: str
    message: str
