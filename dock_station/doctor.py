"""Finds every disagreement between a dock's catalogue, its vault and its set-up, and changes nothing."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection

from dock_station import audit, clock, custody, kept_head
from dock_station.bays.presence import are_watched
from dock_station.catalogue import alarms, bays, clips, deletions, entries, holds, uploads
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.schema import require_current
from dock_station.dock import Dock
from dock_station.settings import DockFolder
from dock_station.updates import offers
from dock_station.vault import CLIPS, INCOMING, MANIFEST, SEALED, SIGNATURE
from evidence.certificates import Authority, CertificateError, Role, load_certificate
from evidence.errors import MirrorcamError

SOON = timedelta(days=30)  # time enough for IT to renew a certificate
LONG_FOR_A_DELETION = timedelta(hours=1)  # several runs of the retention worker


def findings(folder: DockFolder, now: Callable[[], datetime]) -> Iterator[str]:
    """Yield one sentence for each thing that is not as it should be."""
    yield from _set_up(folder, now())
    try:
        dock = Dock.open_unchecked(folder, now)
    except MirrorcamError as error:
        yield str(error)
        return
    with closing(dock):
        try:
            require_current(dock.catalogue)
        except MirrorcamError as error:
            yield str(error)
            return
        yield from _data(dock)


def _set_up(folder: DockFolder, now: datetime) -> Iterator[str]:
    yield from _secrets(folder)
    yield from _pair(folder.tls_key_file, folder.tls_certificate_file)
    yield from _pair(folder.signer_key_file, folder.signer_certificate_file)
    try:
        authority = folder.authority()
    except MirrorcamError as error:
        yield str(error)
        return
    yield from _ends(authority.certificate, "the authority", now)
    yield from _issued(folder.tls_certificate_file, authority, Role.DOCK, now)
    yield from _issued(folder.signer_certificate_file, authority, Role.DOCK_SIGNER, now)
    yield from _revocations(folder, now)
    yield from _policy(folder, now)
    yield from _updates(folder)


def _secrets(folder: DockFolder) -> Iterator[str]:
    wanted = [folder.tls_key_file, folder.signer_key_file, folder.session_key_file]
    keyslots = sorted(folder.keyslots.glob("*.age"))
    for file in [*wanted, *keyslots]:
        if not file.exists():
            yield f"{file.name} is missing: set this dock up with 'mirrorcam-provision dock create'."
        elif file.stat().st_mode & 0o077:
            mode = f"{file.stat().st_mode & 0o777:04o}"
            yield f"{file.name} can be read by others (mode {mode}): change it to 0600, and think of the key as known."
    if not keyslots:
        yield "No reviewer has a keyslot, so nobody can open a clip here: add one."


def _pair(key_file: Path, certificate_file: Path) -> Iterator[str]:
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        fits = key.public_key() == load_certificate(certificate_file).public_key()
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, MirrorcamError) as error:
        yield f"{key_file.name} and {certificate_file.name} cannot be used ({error}): provision this dock again."
        return
    if not fits:
        yield f"{certificate_file.name} is for another key than {key_file.name}: provision this dock again."


def _issued(file: Path, authority: Authority, role: Role, now: datetime) -> Iterator[str]:
    try:
        certificate = load_certificate(file)
        authority.check(certificate, role, now)
    except MirrorcamError as error:
        yield f"{file.name}: {error}"
        return
    yield from _ends(certificate, file.name, now)


def _ends(certificate: x509.Certificate, whose: str, now: datetime) -> Iterator[str]:
    ends = certificate.not_valid_after_utc
    if ends <= now + SOON:
        yield f"The certificate of {whose} ends on {ends:%Y-%m-%d}: have IT renew it before."


def _revocations(folder: DockFolder, now: datetime) -> Iterator[str]:
    listed = x509.load_pem_x509_crl(folder.revocations_file.read_bytes())
    stale_after = listed.next_update_utc
    if stale_after is not None and stale_after <= now:
        yield (
            f"The list of revoked certificates should have been replaced by {stale_after:%Y-%m-%d}: bring the newest "
            "with 'mirrorcam-provision dock update'."
        )


def _policy(folder: DockFolder, now: datetime) -> Iterator[str]:
    try:
        signed = folder.policy(now)
        signer = x509.load_pem_x509_certificate(signed.document.certificate)
        yield from _ends(signer, "the policy's signer", now)
    except (MirrorcamError, OSError) as error:
        yield f"The policy cannot be used: {error}"


def _updates(folder: DockFolder) -> Iterator[str]:
    try:
        offer = offers.offer_in(folder.updates)
        if offer:
            offers.opened(folder.updates, offer.sha256)[1].close()
    except MirrorcamError as error:
        yield str(error)


def _data(dock: Dock) -> Iterator[str]:
    missing = [name for name in (INCOMING, CLIPS) if not (dock.folder.vault / name).is_dir()]
    if missing:
        yield f"The vault's folders are missing ({', '.join(missing)}): see that its disk is mounted."
        return
    free = shutil.disk_usage(dock.folder.vault).free
    if free < dock.settings.vault_reserve_bytes:
        yield f"The vault's disk has {free} bytes free, less than its reserve: no clip is taken in until IT makes room."
    with dock.catalogue.reading() as connection:
        now = dock.clock()
        yield from _clips(connection, dock)
        yield from _uploads(connection, dock)
        yield from _strangers(connection, dock)
        yield from _deletions(connection, now)
        yield from _bays(connection, dock)
        yield from _custody(connection, dock, now)
        still_open = len(alarms.still_open(connection))
        if still_open:
            yield f"Alarms that are open: {still_open}; 'mirrorcam-dock alarms list' shows them."


def _clips(connection: Connection, dock: Dock) -> Iterator[str]:
    going = {deletion.clip_id for deletion in deletions.unfinished(connection)}
    for clip in clips.kept(connection):
        if clip.clip_id not in going:
            for sentence in audit.disagreements(connection, dock.vault, clip):
                yield f"Clip {clip.clip_id}: {sentence}."
        if custody.holds_clip(connection, clip.clip_id) != holds.is_held(connection, clip.clip_id):
            yield f"Clip {clip.clip_id}: catalogue and custody log disagree whether it is held; call the auditor."
    for clip in _deleted(connection):
        for sentence in audit.leftovers(dock.vault, clip):
            yield f"Clip {clip.clip_id}: {sentence}."


def _deleted(connection: Connection) -> list[Clip]:
    wanted = clips.Wanted(deleted=True)
    return [each.clip for each in clips.listed(connection, wanted, limit=clips.count(connection, wanted))]


def _uploads(connection: Connection, dock: Dock) -> Iterator[str]:
    for upload in uploads.under_way(connection):
        part = dock.folder.vault / INCOMING / f"{upload.upload_id}.part"
        size = part.stat().st_size if part.exists() else 0
        if size < upload.offset_bytes:
            yield (
                f"Upload {upload.upload_id} of unit {upload.unit_id} has {size} bytes, and {upload.offset_bytes} were "
                "acknowledged: the unit will send it again, have IT look at the disk."
            )


def _strangers(connection: Connection, dock: Dock) -> Iterator[str]:
    known = {f"{clip.vault_key}{suffix}" for clip in clips.kept(connection) for suffix in (SEALED, MANIFEST, SIGNATURE)}
    for upload in uploads.under_way(connection):
        known.add(f"{INCOMING}/{upload.upload_id}.part")
        # A crash between storing and recording leaves a clip's files under its name; sealing it again finishes that.
        known |= {f"{CLIPS}/{upload.clip_id}{suffix}" for suffix in (SEALED, MANIFEST, SIGNATURE)}
    for name in (INCOMING, CLIPS):
        for file in sorted((dock.folder.vault / name).iterdir()):
            if f"{name}/{file.name}" not in known:
                yield f"vault/{name}/{file.name} is not in the catalogue: nothing here will ever use or delete it."


def _deletions(connection: Connection, now: datetime) -> Iterator[str]:
    for deletion in deletions.unfinished(connection):
        if deletion.intended_at < now - LONG_FOR_A_DELETION:
            yield (
                f"Clip {deletion.clip_id} was to be deleted at {deletion.intended_at:%Y-%m-%d %H:%M} UTC, which is not "
                "finished: see that 'mirrorcam-dock retention' runs."
            )


def _bays(connection: Connection, dock: Dock) -> Iterator[str]:
    taken = bays.taken(connection)
    if taken and not are_watched(dock.folder.bays_lock_file):
        yield (
            f"Bays that are noted as taken: {len(taken)}, and nothing watches them: see that 'mirrorcam-dock bays' or "
            "'mirrorcam-dock serve' runs, which begins with a look at them."
        )
        return
    for bay in taken:
        name = dock.settings.bay_names.get(bay.bay, bay.bay)
        if bay.unit_id is None:
            yield f"'{name}' holds a device that is no unit of this town: take it out, and ask who put it there."
        elif sum(other.unit_id == bay.unit_id for other in taken) > 1:
            yield f"'{name}' holds one of several devices that all say they are unit {bay.unit_id}: one at most is."


def _custody(connection: Connection, dock: Dock, now: datetime) -> Iterator[str]:
    try:
        custody.check(connection, Authority(load_certificate(dock.folder.authority_file)), dock.settings.dock_id)
        kept_head.require(dock.folder.custody_head_file, connection)
    except (custody.CustodyBrokenError, CertificateError) as error:
        yield str(error)
    newest = entries.newest(connection)
    doubt = clock.disagreement(newest.at, now) if newest else None
    if doubt:
        yield f"The dock's clock cannot be believed, {doubt}: compare it with another one."
