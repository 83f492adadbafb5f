"""Enrolment at the first docking: what a new unit and its dock say to each other, and the code that both work out.

The unit has no certificate yet, so the dock has a door of its own for it, with TLS by which the dock alone shows who it
is. Which of the requests that come there is the unit in somebody's hands, six digits say: the unit shows them, a person
types them at the dock. docs/formats.md has all of it byte-exact; `code` says what the digits are worth.
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence.chain import Link
from evidence.errors import NotGenuineError
from evidence.identifiers import UnitId
from evidence.signature import Signed
from evidence.strict import Utc

REQUESTS_PATH = "/enrolment/v1/requests"  # POST nothing → Begun
REQUEST_PATH = "/enrolment/v1/requests/{request_id}"  # PUT Request → Revealed; GET → Standing

NONCE_BYTES = 32
CODE_DIGITS = 6

# A request with an Ed25519 key and one name has some 340 bytes as PEM.
MAX_CSR = 2048
Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
DockUrl = Annotated[str, msgspec.Meta(pattern=r"^https://[^/]+\Z", max_length=300)]


class NotARequestError(NotGenuineError):
    """A certificate request is not one that a unit makes."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The request to be enrolled is refused: {reason}; make it anew on the unit.")
        self.reason = reason


class Begun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dock's first word: how the request is called, and the commitment to a nonce that it does not show yet."""

    request_id: RequestId
    commitment: Nonce


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The unit's word: its certificate request (PKCS #10, PEM), and its own nonce."""

    csr: Annotated[bytes, msgspec.Meta(max_length=MAX_CSR)]
    nonce: Nonce


class Revealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dock's nonce, which must fit its commitment. From here on both can work the code out."""

    nonce: Nonce


class Issued(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that makes a unit of a key: its certificate (PEM), where the bays are, the policy, the list of revoked."""

    unit_id: UnitId
    dock_url: DockUrl
    certificate: bytes
    revocations: bytes
    policy: Signed


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a request stands: `issued` is None as long as the unit has to wait. `time` is the dock's clock.

    `newest` is the newest link of the chain that the dock has from an earlier unit of this id, which goes on with it.
    """

    time: Utc
    issued: Issued | None = None
    newest: Link | None = None


class EnrolmentRefusal(StrEnum):
    """Why the dock refuses at this door, for programs; docs/formats.md says with which HTTP status each comes."""

    CLOSED = "closed"  # IT has not opened enrolment
    FULL = "full"  # too many requests wait
    TOO_OFTEN = "too-often"
    REQUEST = "request"  # it is not one of this protocol
    CHANGED = "changed"  # the request was made already, with another content
    UNKNOWN = "unknown"  # there is no such request, or its time is over
    DROPPED = "dropped"  # too many wrong codes were typed
    DECLINED = "declined"  # the authority does not issue; the sentence says why
    DOCK = "dock"  # the dock itself is not in order: try again later


class Confirmed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the dock asks of the authority: a certificate for a request that a person has confirmed."""

    schema: Literal["mirrorcam/enrolment-request/1"] = "mirrorcam/enrolment-request/1"
    unit_id: UnitId
    csr: Annotated[bytes, msgspec.Meta(max_length=MAX_CSR)]
    confirmed_at: Utc


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the authority answers: what it has issued, or the sentence that says why it does not."""

    schema: Literal["mirrorcam/enrolment-answer/1"] = "mirrorcam/enrolment-answer/1"
    issued: Issued | None = None
    refusal: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ids that the authority has given, and those among them that the next enrolment may have once more."""

    schema: Literal["mirrorcam/enrolment-register/1"] = "mirrorcam/enrolment-register/1"
    enrolled: tuple[UnitId, ...] = ()
    to_reissue: tuple[UnitId, ...] = ()


def commitment_to(nonce: bytes) -> bytes:
    """Return what the dock says of its nonce before it shows it."""
    return hashlib.sha256(b"mirrorcam/enrolment-commitment/1\0" + nonce).digest()


def code(public_key: Ed25519PublicKey, *, unit_nonce: bytes, dock_nonce: bytes, dock_certificate_sha256: bytes) -> str:
    """Return the six digits of one exchange, as the unit shows them and the dock works them out for itself.

    Nobody can choose them. The dock has committed to its nonce before it sees the unit's key and nonce, and the unit
    has sent both before it sees the dock's. So whoever stands between them, which takes a dock's stolen TLS key, must
    fix his part before he knows what the digits will be: a request of his has the code of the unit's exchange with him
    with a probability of 10^-6, whatever he computes. A dock takes 16 requests in 15 minutes; a unit whose exchange
    broke off begins anew after 15 seconds, then 30, 60 and so on, 6 times in that time. That is 16 · 6 pairs: 10^-4.
    A request beside the unit's own is worth less: where two have one code, both are dropped. Guessing is of no use
    either: three wrong codes drop every request that was waiting.
    """
    digest = hashlib.sha256(
        b"mirrorcam/enrolment-code/1\0"
        + public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        + unit_nonce
        + dock_nonce
        + dock_certificate_sha256
    ).digest()
    # 2^64 is so much more than 10^6 that no code is likelier than another by more than 10^-13.
    return f"{int.from_bytes(digest[:8], 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}}"


def in_groups(digits: str) -> str:
    """Return a code as people read and say it: 123 456."""
    return f"{digits[:3]} {digits[3:]}"


def requested_key(pem: bytes) -> Ed25519PublicKey:
    """Return the key that a certificate request asks for, whose sender holds it; raises NotARequestError."""
    try:
        request = x509.load_pem_x509_csr(pem)
        public_key = request.public_key()
        is_good = request.is_signature_valid
    except (ValueError, TypeError) as error:
        raise NotARequestError("it cannot be read") from error
    if not isinstance(public_key, Ed25519PublicKey):
        raise NotARequestError("its key is not an Ed25519 key")
    if not is_good:
        raise NotARequestError("its signature does not fit")
    return public_key


def key_sha256(public_key: Ed25519PublicKey) -> str:
    """Return the SHA-256 (hex) of a public key's 32 bytes: the name of a request between dock and authority."""
    raw = public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()
