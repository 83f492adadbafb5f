"""The dock's door: a clip goes into the vault only when everything about it agrees."""

import hashlib
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from dock_station import custody
from dock_station.bays.reception import ForeignError, policy_in_force
from dock_station.bays.uploads import AlreadyStoredError, NotUploadedError, Uploads
from dock_station.beginning import beginning_sha256
from dock_station.catalogue import alarms, chains, clips, uploads
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.uploads import Upload
from dock_station.dock import Dock
from dock_station.retention import rules
from dock_station.vault import PartLostError
from evidence import manifest as manifests
from evidence import receipt as receipts
from evidence.age import AgeError
from evidence.certificates import Holder, holder_of
from evidence.chain import GapError, Link, check_follows, link_of
from evidence.docking import SealRequest
from evidence.errors import NotGenuineError
from evidence.manifest import ClipDiffersError, ClockQuality, Manifest
from evidence.policy import Policy
from evidence.receipt import CustodyHead, Receipt
from evidence.signature import Signed, verify

log = structlog.get_logger()

# Alarms about refused clips that are open at a time. Beyond it the journal alone has them: a unit in wrong hands makes
# hundreds a second, and the custody log keeps each entry for ever.
MOST_REFUSALS = 200


class Intake:
    """What checks a clip before the vault takes it.

    Contract: a receipt is given only for a clip whose manifest, signature, chain, size and digest agree with each other
    and with the certificate of the unit that brings it, whose bytes were read back from the disk, and which is in the
    vault, in the catalogue and in the custody log, durably. After a crash at any line the clip is either there with all
    of that or its upload is, ready to be sealed again; sealing again what is there gives an equivalent receipt.
    """

    def __init__(self, dock: Dock, uploads: Uploads) -> None:
        self._dock = dock
        self._uploads = uploads

    def seal(self, certificate: x509.Certificate, clip_id: str, request: SealRequest) -> Signed:
        """Take an uploaded clip into the vault and return the signed Receipt.

        Raises SchemaError, ForeignError, SignatureError, a ChainError, NotUploadedError, ClipDiffersError (the upload
        is discarded then), AlreadyStoredError where another manifest was sealed under this id, PolicyUnusableError,
        NoRoomError or VaultError.
        """
        try:
            return self._seal(certificate, clip_id, request)
        except NotGenuineError as error:
            self._note_refusal(holder_of(certificate), clip_id, error)
            raise

    def _seal(self, certificate: x509.Certificate, clip_id: str, request: SealRequest) -> Signed:
        unit = holder_of(certificate)
        manifest = manifests.decode(request.manifest)
        if manifest.unit_id != unit.name:
            raise ForeignError("manifest", f"unit {manifest.unit_id}", f"unit {unit.name}")
        if manifest.clip_id != clip_id:
            raise ForeignError("manifest", f"clip {manifest.clip_id}", f"the upload of clip {clip_id}")
        verify(request.manifest, request.signature, certificate, "manifest")
        with self._dock.catalogue.reading() as connection:
            stored = clips.find(connection, clip_id)
            if stored is None:
                _check_chain(connection, manifest)
        if stored:
            return self._receipt_again(stored, unit, request.manifest)
        policy = policy_in_force(self._dock).policy
        with self._uploads.whole(unit.name, clip_id) as upload:
            self._check_bytes(upload, manifest)
            key = self._dock.vault.store(
                upload.upload_id, clip_id, manifest=request.manifest, signature=request.signature
            )
            return self._keep(certificate, upload, manifest, link_of(manifest, request.manifest), key, policy)

    def _check_bytes(self, upload: Upload, manifest: Manifest) -> None:
        try:
            manifests.check_ciphertext(manifest, size=upload.length_bytes, sha256=manifest.ciphertext_sha256)
            sha256 = self._dock.vault.sha256(upload.upload_id, upload.clip_id, upload.length_bytes)
            manifests.check_ciphertext(manifest, size=upload.length_bytes, sha256=sha256)
        except ClipDiffersError:
            self._uploads.discard(upload)
            raise
        except PartLostError as error:
            self._uploads.discard(upload)
            raise NotUploadedError(upload.clip_id, "the dock lost a part of it") from error

    def _keep(
        self,
        certificate: x509.Certificate,
        upload: Upload,
        manifest: Manifest,
        link: Link,
        key: str,
        policy: Policy,
    ) -> Signed:
        now = self._dock.clock()
        beginning = _beginning(self._dock.vault.sealed_file(key))
        fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        with self._dock.catalogue.writing() as connection:
            gap = _check_chain(connection, manifest)
            previous = clips.find_by_sequence(connection, manifest.unit_id, manifest.sequence - 1)
            start = rules.retained_from(
                started_at=manifest.started_at,
                clock_error_seconds=_error_seconds(manifest.clock, self._dock.custody.vouched_for_at(connection)),
                received_at=now,
                previous_started_at=previous.started_at if previous else None,
            )
            clip = _clip(
                manifest,
                manifest_sha256=link.manifest_sha256,
                certificate_sha256=fingerprint,
                vault_key=key,
                received_at=now,
                retained_from=start,
                due_at=rules.due_at(start, policy),
            )
            clips.keep_certificate(
                connection,
                sha256=fingerprint,
                holder=holder_of(certificate).uri,
                pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
            )
            clips.add(connection, clip)
            chains.advance(connection, manifest.unit_id, link, now)
            if gap:
                chains.close_gap(connection, gap, clip.clip_id)
            uploads.remove(connection, upload.upload_id)
            entry = self._dock.custody.append(
                connection,
                actor=f"unit:{clip.unit_id}",
                action=custody.ACCEPTED,
                subject=f"clip:{clip.clip_id}",
                details={
                    "sequence": clip.sequence,
                    "manifest_sha256": clip.manifest_sha256,
                    "ciphertext_bytes": clip.ciphertext_bytes,
                    "ciphertext_sha256": clip.ciphertext_sha256,
                    "beginning_sha256": beginning,
                    "complete": clip.complete,
                    "due_at": f"{clip.due_at:%Y-%m-%dT%H:%M:%SZ}",
                },
            )
            _clear_refusal(connection, clip.clip_id, now)
        log.info("intake_accepted", clip_id=clip.clip_id, unit_id=clip.unit_id, bytes=clip.ciphertext_bytes)
        return self._receipt(clip, custody.head_of(entry))

    def _receipt_again(self, stored: Clip, unit: Holder, content: bytes) -> Signed:
        if stored.unit_id != unit.name or stored.manifest_sha256 != hashlib.sha256(content).hexdigest():
            raise AlreadyStoredError(stored.clip_id)
        with self._dock.catalogue.reading() as connection:
            head = custody.head(connection)
        if head is None:
            raise custody.CustodyBrokenError(1, "it is missing")
        return self._receipt(stored, head)

    def _receipt(self, clip: Clip, head: CustodyHead) -> Signed:
        receipt = Receipt(
            dock_id=self._dock.settings.dock_id,
            unit_id=clip.unit_id,
            clip_id=clip.clip_id,
            manifest_sha256=clip.manifest_sha256,
            ciphertext_bytes=clip.ciphertext_bytes,
            ciphertext_sha256=clip.ciphertext_sha256,
            stored_at=clip.received_at,
            custody=head,
        )
        return self._dock.signer.signed(receipts.encode(receipt))

    def _note_refusal(self, unit: Holder, clip_id: str, error: NotGenuineError) -> None:
        kind = type(error).__name__
        log.warning("intake_refused", clip_id=clip_id, unit_id=unit.name, error=kind)
        with self._dock.catalogue.writing() as connection:
            if alarms.count_open(connection, alarms.CLIP_REFUSED) >= MOST_REFUSALS:
                return
            fresh = alarms.raise_alarm(
                connection,
                kind=alarms.CLIP_REFUSED,
                subject=f"clip:{clip_id}",
                sentence=str(error),
                at=self._dock.clock(),
            )
            if fresh:
                self._dock.custody.append(
                    connection,
                    actor=f"unit:{unit.name}",
                    action="clip-refused",
                    subject=f"clip:{clip_id}",
                    details={"error": kind},
                )


def _error_seconds(clock: ClockQuality, vouched_for_at: datetime | None) -> float | None:
    """Return by how much a unit's clock can be wrong; None where it was set by a clock that was doubted since."""
    if vouched_for_at and (clock.last_sync is None or clock.last_sync < vouched_for_at):
        return None
    return clock.estimated_error_seconds


def _beginning(sealed: Path) -> str | None:
    """Return the digest of a clip's beginning, None where power was lost while that was written."""
    with sealed.open("rb") as file:
        try:
            return beginning_sha256(file)
        except AgeError:
            return None


def _check_chain(connection: Connection, manifest: Manifest) -> chains.Gap | None:
    """Check that the manifest comes next, and return the accepted gap that it closes."""
    gap = chains.open_gap(connection, manifest.unit_id)
    try:
        check_follows(manifest, chains.newest(connection, manifest.unit_id))
    except GapError:
        if gap is None:
            raise
    return gap


def _clear_refusal(connection: Connection, clip_id: str, now: datetime) -> None:
    alarm = alarms.find_open(connection, alarms.CLIP_REFUSED, f"clip:{clip_id}")
    if alarm:
        alarms.clear(connection, alarm.alarm_id, cleared_by="dock", at=now)


def _clip(
    manifest: Manifest,
    *,
    manifest_sha256: str,
    certificate_sha256: str,
    vault_key: str,
    received_at: datetime,
    retained_from: datetime,
    due_at: datetime,
) -> Clip:
    duration = None
    if manifest.ended_at is not None:
        duration = (manifest.ended_at - manifest.started_at).total_seconds() + manifest.pre_record_seconds
    return Clip(
        clip_id=manifest.clip_id,
        unit_id=manifest.unit_id,
        sequence=manifest.sequence,
        wearer=manifest.wearer,
        started_at=manifest.started_at,
        ended_at=manifest.ended_at,
        duration_seconds=duration,
        pre_record_seconds=manifest.pre_record_seconds,
        clock_error_seconds=manifest.clock.estimated_error_seconds,
        complete=manifest.complete,
        ended_by=manifest.ended_by,
        has_audio=manifest.has_audio,
        frames_lost=manifest.frames_lost,
        ciphertext_bytes=manifest.ciphertext_bytes,
        ciphertext_sha256=manifest.ciphertext_sha256,
        manifest_sha256=manifest_sha256,
        certificate_sha256=certificate_sha256,
        policy_id=manifest.policy_id,
        vault_key=vault_key,
        received_at=received_at,
        retained_from=retained_from,
        due_at=due_at,
        deleted_at=None,
    )
