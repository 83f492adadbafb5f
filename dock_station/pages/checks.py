"""What can be checked about a stored clip without opening it: its manifest, signature, chain and file."""

import hashlib
from dataclasses import dataclass

from cryptography import x509
from sqlalchemy import Connection

from dock_station.catalogue import clips
from dock_station.catalogue.clips import Clip
from dock_station.dock import Dock
from dock_station.vault import VaultError
from evidence import manifest as manifests
from evidence.certificates import Authority, CertificateError, CertificateFileError, Role
from evidence.manifest import ClipDiffersError, Manifest
from evidence.signature import SignatureError, verify
from evidence.strict import SchemaError


@dataclass(frozen=True)
class Check:
    """One thing that was checked, how it came out, and a sentence about it."""

    name: str
    is_good: bool
    sentence: str


@dataclass(frozen=True)
class Findings:
    """The manifest, if it can be read at all, and what was checked."""

    manifest: Manifest | None
    checks: tuple[Check, ...]

    @property
    def are_good(self) -> bool:
        """Whether every check came out well."""
        return all(check.is_good for check in self.checks)


def look_at(dock: Dock, connection: Connection, clip: Clip) -> Findings:
    """Check all that can be checked in a moment."""
    try:
        content, signature = dock.vault.manifest(clip.vault_key), dock.vault.signature(clip.vault_key)
        manifest = manifests.decode(content)
    except (VaultError, SchemaError) as error:
        return Findings(None, (Check("Manifest", is_good=False, sentence=str(error)),))
    return Findings(
        manifest,
        (
            _digest(clip, content),
            _signature(dock, connection, clip, content, signature),
            _chain(connection, clip, manifest),
            _file(dock, clip, manifest),
        ),
    )


def _digest(clip: Clip, content: bytes) -> Check:
    good = hashlib.sha256(content).hexdigest() == clip.manifest_sha256
    sentence = "It is the manifest that came in." if good else "It is not the manifest that came in."
    return Check("Manifest", good, sentence)


def _signature(dock: Dock, connection: Connection, clip: Clip, content: bytes, signature: bytes) -> Check:
    try:
        certificate = x509.load_pem_x509_certificate(clips.certificate(connection, clip.certificate_sha256).encode())
        # Without the list of revoked certificates: what a unit signed before it was revoked stays signed.
        holder = Authority(dock.authority().certificate).check(certificate, Role.UNIT, clip.received_at)
        verify(content, signature, certificate, "manifest")
    except (CertificateError, CertificateFileError, SignatureError) as error:
        return Check("Signature", is_good=False, sentence=str(error))
    if holder.name != clip.unit_id:
        return Check("Signature", is_good=False, sentence=f"Unit {holder.name} signed it, not unit {clip.unit_id}.")
    return Check("Signature", is_good=True, sentence=f"Unit {holder.name} signed the manifest, and it is unchanged.")


def _chain(connection: Connection, clip: Clip, manifest: Manifest) -> Check:
    before = clips.find_by_sequence(connection, clip.unit_id, clip.sequence - 1)
    after = clips.find_by_sequence(connection, clip.unit_id, clip.sequence + 1)
    if before is not None and manifest.previous_manifest_sha256 != before.manifest_sha256:
        return Check("Chain", is_good=False, sentence=f"It does not follow clip {before.sequence} of this unit.")
    place = f"It is clip {clip.sequence} of this unit"
    if before is None and clip.sequence > 1:
        return Check("Chain", is_good=True, sentence=f"{place}; the one before never came, and someone accepted that.")
    if before is None:
        return Check("Chain", is_good=True, sentence=f"{place}, its first.")
    follower = f", and clip {after.sequence} follows it" if after else ""
    return Check("Chain", is_good=True, sentence=f"{place} and follows clip {before.sequence}{follower}.")


def _file(dock: Dock, clip: Clip, manifest: Manifest) -> Check:
    try:
        size = dock.vault.sealed_file(clip.vault_key).stat().st_size
        manifests.check_ciphertext(manifest, size=size, sha256=clip.ciphertext_sha256)
    except OSError as error:
        return Check("File", is_good=False, sentence=f"The sealed file cannot be read ({error.strerror}).")
    except ClipDiffersError as error:
        return Check("File", is_good=False, sentence=str(error))
    return Check(
        "File", is_good=True, sentence="Its size is right; its digest was right when it came in. Check it again below."
    )
