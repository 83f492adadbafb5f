"""The spool: the clips on the unit, from their first byte until a dock's receipt lets them go."""

import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from appliance.writing.clip_files import (
    DRAFT_SUFFIX,
    GROWING_SUFFIX,
    MANIFEST_SUFFIX,
    RECEIPT_SUFFIX,
    SEALED_SUFFIX,
    ClipFiles,
    GrowingFile,
    clips_with,
)
from appliance.writing.disk import Disk
from evidence import manifest as manifests
from evidence import receipt as receipts
from evidence.certificates import Authority, Role
from evidence.chain import Link, link_of
from evidence.docking import SeenHead
from evidence.durable import write_durably
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.manifest import EndedBy, Manifest
from evidence.receipt import Receipt
from evidence.signature import Signed, Signer
from evidence.strict import SchemaError, read_json, write_json

# What a clip's closing needs (manifest, signature, the spool's notes) and a file system's own needs, many times over.
FLOOR_BYTES = 16 * 1024 * 1024
_READ_BYTES = 1 << 20
_NOTES = "spool.json"


class StorageFullError(EnvironmentalError):
    """There is no room for another clip."""

    def __init__(self, free_bytes: int) -> None:
        super().__init__(
            f"The storage is full ({free_bytes // 1_000_000} MB free): put this unit on the dock, then record again."
        )
        self.free_bytes = free_bytes


class SpoolDamagedError(EnvironmentalError):
    """The spool's own note of where the chain stands cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The spool's note {path.name} is damaged ({reason}); have IT look at this unit's storage.")
        self.path = path


class NotWaitingError(MirrorcamError):
    """A clip is not in the spool, or not closed yet."""

    def __init__(self, clip_id: str) -> None:
        super().__init__(f"Clip {clip_id} is not waiting on this unit; nothing was deleted.")
        self.clip_id = clip_id


@dataclass(frozen=True)
class SpooledClip:
    """A closed clip that waits for a dock: its three files, and what its manifest says."""

    clip_id: str
    sequence: int
    sealed_file: Path
    manifest_file: Path
    signature_file: Path
    manifest: Manifest


@dataclass(frozen=True)
class Ending:
    """What is known of a clip when it ends; see the manifest for each field."""

    ended_by: EndedBy
    ended_at: datetime
    frames_written: int
    frames_lost: int
    mute_spans: tuple[manifests.Span, ...] = ()


class Remains(StrEnum):
    """What was left of a clip when the unit was started again."""

    HANDED_OVER = "handed_over"
    NOTHING = "nothing"
    CUT = "cut"
    WHOLE = "whole"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class BrokenOff:
    """A clip that was running when the unit stopped, ended by nobody: in which boot, and when its file grew last.

    `monotonic` is in that boot's monotonic seconds: the clip's start, and how much later its file was written last than
    its draft. The system's clock may be set between the crash and the next start; what it says now is not asked.
    """

    boot_id: str
    monotonic: float


@dataclass(frozen=True)
class Recovered:
    """Something that the last shutdown left undone, and one sentence on what was done about it."""

    clip_id: str
    remains: Remains
    what: str
    broken_off: BrokenOff | None = None


class _Notes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """spool.json: what must outlive the clips."""

    schema: Literal["mirrorcam/spool/1"] = "mirrorcam/spool/1"
    newest: Link | None = None
    heads: tuple[SeenHead, ...] = ()
    refusals: dict[str, str] = {}


def continue_chain(folder: Path, newest: Link) -> None:
    """Let a spool that is still to be made in `folder` go on with the chain of the unit that it takes the place of.

    Where a spool was at work already nothing is changed: its own chain is at least as long. Raises OSError.
    """
    notes_file = folder / _NOTES
    if not notes_file.exists():
        write_durably(notes_file, write_json(_Notes(newest=newest)))


class Spool:
    """Owns the folder of clips; nothing in it is overwritten or deleted but by `accept_receipt`.

    A clip's life, each step durable before the next begins, so that a crash at any line leaves one of these states and
    `recover` brings it on from there:

    1. `<id>.mp4.age.part` is created, empty; `<id>.draft` is written: a manifest as of a power loss, its place in the
       chain included. Only then does a first byte go into the `.part`.
    2. The clip grows. A power cut leaves any length of it from the last `sync` on; recovery changes no byte of it, and
       states the rest in a manifest with `complete` false.
    3. Closing: the `.part` is synced; `<id>.json` is written, and is final from then on; `<id>.json.sig` is written;
       the `.part` is renamed to `<id>.mp4.age`; spool.json takes over the chain's newest link; the draft is removed.
       A clip with a draft is never shown as waiting, and no clip is opened while another has a draft, so
       no sequence number is given twice and no manifest is written twice.
    4. A receipt that speaks of just this clip: the dock's custody head goes into spool.json, the receipt into
       `<id>.receipt`; then the three files are removed, then the receipt.

    One thread opens, grows and closes clips; any thread may call the rest.
    """

    def __init__(
        self,
        folder: Path,
        signer: Signer,
        *,
        reserve_minutes: int,
        disk: Disk | None = None,
        floor_bytes: int = FLOOR_BYTES,
    ) -> None:
        """Open the spool in `folder`, which is created if need be; raises SpoolDamagedError or OSError.

        `recover` comes next, before any clip is opened.
        """
        self._folder = folder
        self._signer = signer
        self._reserve_minutes = reserve_minutes
        self._disk = disk or Disk()
        self._floor_bytes = floor_bytes
        self._lock = threading.RLock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._notes = self._read_notes()

    # What is there

    def waiting(self) -> tuple[SpooledClip, ...]:
        """Return the clips that are closed and have no receipt, in the order of their sequence."""
        clips = [clip for files in clips_with(self._folder, SEALED_SUFFIX) if (clip := _spooled(files))]
        return tuple(sorted(clips, key=lambda clip: clip.sequence))

    def seen_heads(self) -> tuple[SeenHead, ...]:
        """Return the newest custody head seen from each dock."""
        return self._notes.heads

    def refusals(self) -> dict[str, str]:
        """Return the dock's reason for each waiting clip that it refused, by clip id."""
        return dict(self._notes.refusals)

    def require_room(self) -> None:
        """Raise StorageFullError where nothing more may be recorded."""
        if not self.free_bytes():
            raise StorageFullError(self._disk.space(self._folder).free)

    def free_bytes(self) -> int:
        """Return how many bytes may still be recorded."""
        return max(0, self._disk.space(self._folder).free - self._floor_bytes)

    def total_bytes(self) -> int:
        """Return the size of the file system that the spool is on."""
        return self._disk.space(self._folder).total

    def minutes_left(self, bits_per_second: int) -> float:
        """Return how many minutes may still be recorded at this rate."""
        return self.free_bytes() * 8 / bits_per_second / 60

    def is_on_reserve(self, bits_per_second: int) -> bool:
        """Tell whether the last minutes have begun, of which the wearer is told before the storage is full."""
        return self.minutes_left(bits_per_second) < self._reserve_minutes

    # A clip's life

    def open_clip(self, start: Manifest) -> GrowingFile:
        """Begin a clip. `start` states all but its place in the chain, which is filled in here.

        Raises StorageFullError or OSError.
        """
        with self._lock:
            for files in clips_with(self._folder, DRAFT_SUFFIX):
                self._recover_clip(files)  # an earlier closing that failed; no clip overtakes another
            self.require_room()
            newest = self._notes.newest
            draft = msgspec.structs.replace(
                start,
                sequence=newest.sequence + 1 if newest else 1,
                previous_manifest_sha256=newest.manifest_sha256 if newest else None,
                complete=False,
                ended_by="power-lost",
                ended_at=None,
                frames_written=None,
                frames_lost=None,
                ciphertext_bytes=0,
                ciphertext_sha256=hashlib.sha256().hexdigest(),
            )
            files = ClipFiles(self._folder, start.clip_id)
            growing = GrowingFile(files, draft, self._disk)
            try:
                self._disk.write_durably(files.draft, manifests.encode(draft))
            except OSError:
                growing.close()
                self._forget(files)
                raise
            return growing

    def close_clip(self, growing: GrowingFile, ending: Ending) -> Manifest:
        """Close a clip into which everything was written.

        Raises OSError; what is left to do then, `recover` does, or `open_clip` of the next.
        """
        growing.sync()
        growing.close()
        final = msgspec.structs.replace(
            growing.draft,
            complete=True,
            ended_by=ending.ended_by,
            ended_at=ending.ended_at,
            frames_written=ending.frames_written,
            frames_lost=ending.frames_lost,
            mute_spans=ending.mute_spans,
            ciphertext_bytes=growing.size,
            ciphertext_sha256=growing.sha256,
        )
        with self._lock:
            self._close(growing.files, final)
        return final

    def close_cut_clip(self, growing: GrowingFile, ending: Ending) -> None:
        """Close a clip that could not be written to its end; what the medium holds is read back, and that is stated.

        One of which the medium holds nothing is forgotten. Raises OSError; what is left to do then, `recover` does, or
        `open_clip` of the next.
        """
        growing.close()
        files = growing.files
        known = msgspec.structs.replace(
            growing.draft, ended_by=ending.ended_by, ended_at=ending.ended_at, mute_spans=ending.mute_spans
        )
        with self._lock:
            if not files.manifest.exists():  # else `close_clip` has come far enough to be finished as it was meant
                if not _size(files.growing):
                    self._forget(files)
                    return
                self._disk.write_durably(files.draft, manifests.encode(known))
            self._finish(files)

    def recover(self) -> tuple[Recovered, ...]:
        """Bring to an end what a power cut or a crash left undone; to be called once, before the first clip.

        Nothing that was recorded is changed. Raises OSError.
        """
        found: list[Recovered] = []
        with self._lock:
            for files in clips_with(self._folder, RECEIPT_SUFFIX):
                self._remove_received(files)
                what = "The dock has it; removing it here was finished."
                found.append(Recovered(files.clip_id, Remains.HANDED_OVER, what))
            found += [self._recover_clip(files) for files in clips_with(self._folder, DRAFT_SUFFIX)]
            for files in clips_with(self._folder, GROWING_SUFFIX):
                if not files.draft.exists() and not _size(files.growing):
                    self._forget(files)
        for files in clips_with(self._folder, MANIFEST_SUFFIX):
            if _read_manifest(files.manifest) is None:
                what = "Its manifest is damaged; it is kept: have IT look at it."
                found.append(Recovered(files.clip_id, Remains.DAMAGED, what))
        return tuple(found)

    # What the dock answers

    def accept_receipt(self, clip_id: str, receipt: Signed, authority: Authority, at: datetime) -> Receipt:
        """Check a dock's receipt for a clip, remember its custody head, and remove the clip's files.

        Raises CertificateError, SignatureError, SchemaError, ReceiptDiffersError or NotWaitingError before anything is
        removed; OSError when the disk refuses, and then `recover` finishes.
        """
        files = ClipFiles(self._folder, self._waiting_clip(clip_id).clip_id)
        holder = receipt.verify(authority, Role.DOCK_SIGNER, at, "receipt")
        stated = receipts.decode(receipt.content)
        if stated.dock_id != holder.name:
            raise receipts.ReceiptDiffersError(clip_id, "dock_id")
        content = files.manifest.read_bytes()
        receipts.check_speaks_of(stated, manifests.decode(content), hashlib.sha256(content).hexdigest())
        with self._lock:
            refusals = {other: reason for other, reason in self._notes.refusals.items() if other != clip_id}
            self._write_notes(heads=_newest_heads(self._notes.heads, stated), refusals=refusals)
            self._disk.write_durably(files.receipt, receipt.content)
            self._remove_received(files)
        return stated

    def refuse(self, clip_id: str, reason: str) -> None:
        """Remember why a dock refused a clip, which stays; raises NotWaitingError or OSError."""
        self._waiting_clip(clip_id)
        with self._lock:
            self._write_notes(refusals={**self._notes.refusals, clip_id: reason})

    # How it is done

    def _waiting_clip(self, clip_id: str) -> SpooledClip:
        for clip in self.waiting():
            if clip.clip_id == clip_id:
                return clip
        raise NotWaitingError(clip_id)

    def _recover_clip(self, files: ClipFiles) -> Recovered:
        was_closing = files.manifest.exists()
        broken_off = None if was_closing else _broken_off(files)
        if not was_closing and not _size(files.growing):
            self._forget(files)
            what = "Power was lost before anything of it was recorded."
            return Recovered(files.clip_id, Remains.NOTHING, what, broken_off)
        try:
            self._finish(files)
        except SchemaError:
            what = "What is known of it is damaged; what was recorded is kept: have IT look at this unit."
            return Recovered(files.clip_id, Remains.DAMAGED, what)
        if was_closing:
            return Recovered(files.clip_id, Remains.WHOLE, "Closing it was finished.")
        return Recovered(files.clip_id, Remains.CUT, "Its end is missing; everything before it is kept.", broken_off)

    def _finish(self, files: ClipFiles) -> None:
        """Close the clip of a draft from wherever its closing stopped."""
        if files.manifest.exists():
            self._close(files, manifests.decode(files.manifest.read_bytes()))
            return
        draft = manifests.decode(files.draft.read_bytes())
        self._disk.settle(files.growing)
        size, sha256 = _measure(files.growing)
        self._close(files, msgspec.structs.replace(draft, ciphertext_bytes=size, ciphertext_sha256=sha256))

    def _close(self, files: ClipFiles, final: Manifest) -> None:
        if not files.manifest.exists():
            self._disk.write_durably(files.manifest, manifests.encode(final))
        content = files.manifest.read_bytes()
        self._disk.write_durably(files.signature, self._signer.sign(content))
        if files.growing.exists():
            self._disk.rename(files.growing, files.sealed)
            self._disk.sync_folder(self._folder)
        self._write_notes(newest=link_of(final, content))
        self._disk.remove(files.draft)
        self._disk.sync_folder(self._folder)

    def _forget(self, files: ClipFiles) -> None:
        """Remove a clip into which not one byte was recorded."""
        self._disk.remove(files.growing)
        self._disk.remove(files.draft)
        self._disk.sync_folder(self._folder)

    def _remove_received(self, files: ClipFiles) -> None:
        for path in (files.sealed, files.signature, files.manifest):
            self._disk.remove(path)
        self._disk.sync_folder(self._folder)
        self._disk.remove(files.receipt)
        self._disk.sync_folder(self._folder)

    @property
    def _notes_file(self) -> Path:
        return self._folder / _NOTES

    def _read_notes(self) -> _Notes:
        try:
            return read_json(self._notes_file.read_bytes(), _Notes, "file spool.json")
        except FileNotFoundError:
            return _Notes()
        except SchemaError as error:
            raise SpoolDamagedError(self._notes_file, error.reason) from error

    def _write_notes(self, **changes: object) -> None:
        notes = msgspec.structs.replace(self._notes, **changes)
        self._disk.write_durably(self._notes_file, write_json(notes))
        self._notes = notes


def _spooled(files: ClipFiles) -> SpooledClip | None:
    """Return the clip if it is closed and has no receipt, and its manifest can be read."""
    if files.draft.exists() or files.receipt.exists():
        return None
    manifest = _read_manifest(files.manifest)
    if manifest is None:
        return None
    return SpooledClip(files.clip_id, manifest.sequence, files.sealed, files.manifest, files.signature, manifest)


def _broken_off(files: ClipFiles) -> BrokenOff | None:
    """Return when the clip of a draft broke off; None where it was ended, or nobody can tell."""
    draft = _read_manifest(files.draft)
    if draft is None or draft.ended_by != "power-lost":
        return None
    try:
        grew_for = files.growing.stat().st_mtime - files.draft.stat().st_mtime
    except OSError:
        return None
    return BrokenOff(draft.boot_id, draft.started_monotonic_seconds + max(0.0, grew_for))


def _read_manifest(path: Path) -> Manifest | None:
    try:
        return manifests.decode(path.read_bytes())
    except (OSError, SchemaError):
        return None  # one that cannot be read keeps no other clip from the dock


def _newest_heads(seen: tuple[SeenHead, ...], receipt: Receipt) -> tuple[SeenHead, ...]:
    """Replace the head of the receipt's dock, unless a longer log of it was seen: that one is the evidence."""
    before = next((head for head in seen if head.dock_id == receipt.dock_id), None)
    if before and before.head.entries >= receipt.custody.entries:
        return seen
    others = tuple(head for head in seen if head.dock_id != receipt.dock_id)
    return (*others, SeenHead(dock_id=receipt.dock_id, head=receipt.custody))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _measure(path: Path) -> tuple[int, str]:
    """Return the size (bytes) and the SHA-256 (hex) of what the medium holds."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()
