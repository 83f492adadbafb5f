"""The policy: what a town lets its units do and how long its dock keeps clips; TOML, signed by the authority."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from evidence.age import AgeError, parse_recipients
from evidence.certificates import Authority, Role
from evidence.errors import NotGenuineError
from evidence.manifest import RecipientText
from evidence.signature import Signed
from evidence.strict import SchemaError, read_toml

# The longest pre-record that any unit accepts, whoever signed the policy: the buffer must stay a memory of the moment.
MAX_PRE_RECORD_SECONDS = 120

Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]


class OlderPolicyError(NotGenuineError):
    """A policy was signed before the one in force, whoever brings it."""

    def __init__(self, brought: "Policy", in_force: "Policy") -> None:
        super().__init__(
            f"The policy {brought.policy_id} (serial {brought.serial}) is older than the one in force here "
            f"({in_force.policy_id}, serial {in_force.serial}), which stays: have IT bring the dock the newest one."
        )


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of one policy.

    `recipients` are the age recipients to whom every clip is sealed. `serial` grows with each policy that the authority
    signs: by it an older one is told from a newer one.
    """

    schema: Literal["mirrorcam/policy/1"] = "mirrorcam/policy/1"
    policy_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}\Z")]
    serial: Annotated[int, msgspec.Meta(ge=1)] = 1
    recipients: Annotated[tuple[RecipientText, ...], msgspec.Meta(min_length=1, max_length=16)]
    pre_record_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRE_RECORD_SECONDS)] = 30
    pre_record_audio: bool = False
    record_audio: bool = False
    on_touch: Literal["live+record", "live"] = "live+record"
    stop_hold_seconds: Annotated[float, msgspec.Meta(ge=0.5, le=10)] = 2.0
    post_record_seconds: Annotated[int, msgspec.Meta(ge=0, le=120)] = 0
    max_clip_minutes: Annotated[int, msgspec.Meta(ge=1, le=720)] = 120
    reminder_seconds: Annotated[int, msgspec.Meta(ge=10, le=3600)] = 120
    mirror: bool = True
    retention_days: Days
    retention_min_days: Days
    retention_max_days: Days


@dataclass(frozen=True)
class SignedPolicy:
    """A policy whose signature was good, with the digest (SHA-256, hex) of its bytes that manifests name."""

    policy: Policy
    sha256: str
    document: Signed


def decode(content: bytes) -> Policy:
    """Read a policy's TOML; raises SchemaError with the name of the setting that does not fit."""
    policy = read_toml(content, Policy, "policy")
    if not policy.retention_min_days <= policy.retention_days <= policy.retention_max_days:
        raise SchemaError("policy", "retention_days is not between retention_min_days and retention_max_days")
    if policy.pre_record_audio and not policy.record_audio:
        raise SchemaError("policy", "pre_record_audio is on while record_audio is off")
    return policy


def check_recipients(policy: Policy) -> None:
    """Raise SchemaError where no clip can be sealed to all recipients of a policy."""
    try:
        parse_recipients(policy.recipients)
    except AgeError as error:
        raise SchemaError("policy", str(error).removesuffix(".")) from error


def check_not_older(brought: bytes, in_force: bytes) -> None:
    """Raise OlderPolicyError where a policy's bytes have a lower serial than those in force, SchemaError as `decode`.

    What is in force and cannot be read keeps no policy from coming.
    """
    new = decode(brought)
    try:
        old = decode(in_force)
    except SchemaError:
        return
    if new.serial < old.serial:
        raise OlderPolicyError(new, old)


def open_signed(document: Signed, authority: Authority, at: datetime) -> SignedPolicy:
    """Return the policy in `document` if the authority's policy signer signed it.

    Raises CertificateError, SignatureError or SchemaError.
    """
    document.verify(authority, Role.POLICY_SIGNER, at, "policy")
    return SignedPolicy(decode(document.content), hashlib.sha256(document.content).hexdigest(), document)


def read_signed(path: Path) -> Signed:
    """Read the policy file `path` with the `.sig` and the `.crt` of its signer beside it; raises OSError."""
    return Signed(
        content=path.read_bytes(),
        signature=path.with_name(path.name + ".sig").read_bytes(),
        certificate=path.with_name(path.name + ".crt").read_bytes(),
    )
