"""Whether a clip is what its unit recorded: signature, certificate, size, digest, and its place among the others."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from evidence import manifest as manifests
from evidence import receipt as receipts
from evidence.age import AgeError, read_header
from evidence.certificates import Authority, CertificateFileError, Role, load_certificate
from evidence.chain import check_follows, link_of
from evidence.clip_files import ClipFiles, MissingFileError, read_document
from evidence.errors import NotGenuineError
from evidence.manifest import ClipDiffersError, Manifest
from evidence.receipt import Receipt
from evidence.signature import Signed, verify
from evidence.strict import read_json
from evidence.unsealing import BadFileError

_READ_BYTES = 1 << 20


class NotOfUnitError(NotGenuineError):
    """A document speaks of one unit, and what it is held against is another's."""

    def __init__(self, what: str, unit_id: str, other: str) -> None:
        super().__init__(
            f"The manifest is of unit {unit_id}, but {what} is of {other}: name the one of unit {unit_id}."
        )


@dataclass(frozen=True)
class Trust:
    """What a verifier brings: the authority's certificate, and what else is known of the clip's surroundings.

    `unit_certificate` None stands for the one that lies beside the authority's: in `units/<unit id>.crt`, as in an
    authority's own folder, or in `unit.crt`, as in a unit's. `revocations` is the authority's list, `previous` the
    manifest of the clip before, `receipt` what the dock answered to the unit.
    """

    authority: Path
    unit_certificate: Path | None = None
    revocations: Path | None = None
    previous: Path | None = None
    receipt: Path | None = None

    def load_authority(self) -> Authority:
        """Read the authority and its list; raises CertificateFileError."""
        revocations = None
        if self.revocations:
            try:
                revocations = x509.load_pem_x509_crl(self.revocations.read_bytes())
            except (OSError, ValueError) as error:
                raise CertificateFileError(self.revocations, str(error)) from error
        return Authority(load_certificate(self.authority), revocations)

    def load_unit_certificate(self, unit_id: str) -> x509.Certificate:
        """Read the unit's certificate; raises MissingFileError or CertificateFileError."""
        folder = self.authority.parent
        places = [folder / "units" / f"{unit_id}.crt", folder / "unit.crt"]
        found = self.unit_certificate or next((place for place in places if place.is_file()), None)
        if found is None:
            raise MissingFileError(places[0], "give the unit's certificate with --unit-certificate")
        return load_certificate(found)


@dataclass(frozen=True)
class Finding:
    """One thing that was checked and found good, in words."""

    what: str
    detail: str


@dataclass(frozen=True)
class Verified:
    """A clip that is what its unit recorded, what was checked, and what could not be for want of a file."""

    manifest: Manifest
    findings: tuple[Finding, ...]
    not_checked: tuple[str, ...]


def check_clip(files: ClipFiles, trust: Trust, advance: Callable[[int], None]) -> Verified:
    """Check everything that can be; `advance` is told how many bytes of the sealed file were read.

    Raises SchemaError, OtherClipError, CertificateError, SignatureError, NotOfUnitError, a ChainError,
    ReceiptDiffersError or ClipDiffersError for what does not fit, MissingFileError, CertificateFileError or OSError.
    """
    content = files.read_manifest()
    manifest = manifests.decode(content)
    files.check_name(manifest)
    authority = trust.load_authority()
    receipt = _check_receipt(trust.receipt, authority, manifest, content) if trust.receipt else None
    findings = [_check_signature(files, trust, authority, manifest, content, receipt)]
    if trust.previous:
        findings.append(_check_chain(trust.previous, manifest))
    findings.append(_check_bytes(files.sealed, manifest, advance))
    findings += _check_recipients(files.sealed, manifest)
    if receipt:
        stored = f"dock {receipt.dock_id} stored it on {receipt.stored_at:%Y-%m-%d %H:%M:%S} UTC"
        findings.append(Finding("receipt", f"{stored}, when its custody log had {receipt.custody.entries} entries"))
    return Verified(manifest, tuple(findings), tuple(_not_checked(trust, manifest)))


def _check_signature(
    files: ClipFiles, trust: Trust, authority: Authority, manifest: Manifest, content: bytes, receipt: Receipt | None
) -> Finding:
    certificate = trust.load_unit_certificate(manifest.unit_id)
    # The dock held the certificate against its own clock; the unit's may be years off.
    at = receipt.stored_at if receipt else manifest.started_at
    holder = authority.check(certificate, Role.UNIT, at)
    verify(content, files.read_signature(), certificate, "manifest")
    if holder.name != manifest.unit_id:
        raise NotOfUnitError("the certificate", manifest.unit_id, f"unit {holder.name}")
    by = certificate.issuer.rfc4514_string()
    return Finding("signature", f"unit {holder.name} signed the manifest; its certificate is of {by}")


def _check_chain(previous: Path, manifest: Manifest) -> Finding:
    content = read_document(previous, "name the manifest of this unit's clip before")
    before = manifests.decode(content)
    if before.unit_id != manifest.unit_id:
        raise NotOfUnitError("the one before", manifest.unit_id, f"unit {before.unit_id}")
    check_follows(manifest, link_of(before, content))
    return Finding("chain", f"it follows clip {before.clip_id}, sequence {before.sequence}; none is missing in between")


def _check_bytes(sealed: Path, manifest: Manifest, advance: Callable[[int], None]) -> Finding:
    digest = hashlib.sha256()
    size = sealed.stat().st_size
    # A wrong size is known before an hour of video was read for nothing.
    manifests.check_ciphertext(manifest, size=size, sha256=manifest.ciphertext_sha256)
    with sealed.open("rb", buffering=0) as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            advance(len(piece))
    manifests.check_ciphertext(manifest, size=size, sha256=digest.hexdigest())
    return Finding("sealed file", f"{size} bytes, SHA-256 {manifest.ciphertext_sha256}")


def _check_recipients(sealed: Path, manifest: Manifest) -> list[Finding]:
    """Check that the clip is sealed to as many as its manifest names: a header does not say to whom."""
    with sealed.open("rb") as file:
        try:
            stanzas = read_header(file).stanzas
        except AgeError as error:
            if manifest.complete:
                raise BadFileError(sealed, error) from error
            return []  # power was lost while its first bytes were written
    if len(stanzas) != len(manifest.recipients):
        reason = f"it is sealed to {len(stanzas)} recipients, not to {len(manifest.recipients)}"
        raise ClipDiffersError(manifest.clip_id, reason)
    return [Finding("recipients", f"sealed to as many as the manifest names ({len(stanzas)})")]


def _check_receipt(path: Path, authority: Authority, manifest: Manifest, content: bytes) -> Receipt:
    signed = read_json(read_document(path, "name the receipt that the dock answered"), Signed, "receipt")
    receipt = receipts.decode(signed.content)
    holder = signed.verify(authority, Role.DOCK_SIGNER, receipt.stored_at, "receipt")
    if receipt.dock_id != holder.name:
        raise receipts.ReceiptDiffersError(manifest.clip_id, "dock_id")
    receipts.check_speaks_of(receipt, manifest, hashlib.sha256(content).hexdigest())
    return receipt


def _not_checked(trust: Trust, manifest: Manifest) -> list[str]:
    missing = []
    if not trust.previous and manifest.sequence > 1:
        missing.append(f"that clip {manifest.sequence - 1} of this unit comes before it (--previous)")
    if not trust.receipt:
        missing.append("what a dock has stated about it (--receipt)")
    if not trust.revocations:
        missing.append("whether the unit was revoked since (--revocations)")
    return missing
