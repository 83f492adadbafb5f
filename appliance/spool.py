"""The spool: the clips on the unit, from their first byte until a dock's receipt lets them go."""

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from appliance.left_clips import LeftClip, Unclosed, left_clips, unclosed_clips
from appliance.recovered import KEPT, Recovered, Remains, look_at, not_given_back
from appliance.spool_notes import SpoolNotes
from appliance.writing.clip_files import (
    DRAFT_SUFFIX,
    GROWING_SUFFIX,
    MANIFEST_SUFFIX,
    RECEIPT_SUFFIX,
    SEALED_SUFFIX,
    UNREADABLE_SUFFIX,
    ClipFiles,
    GrowingFile,
    clips_with,
    grown_bytes,
    is_stated_whole,
    read_manifest,
)
from appliance.writing.disk import FULL, Disk
from appliance.writing.measuring import measure
from evidence import manifest as manifests
from evidence import receipt as receipts
from evidence.certificates import Authority, Role
from evidence.chain import link_of
from evidence.docking import SeenHead
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.manifest import EndedBy, Manifest
from evidence.receipt import Receipt
from evidence.signature import Signed, Signer

# What a clip's closing needs (manifest, signature, the spool's notes) and a file system's own needs, many times over.
FLOOR_BYTES = 16 * 1024 * 1024
# What a draft names as its predecessor where that one is not closed yet: a place in the chain is given at closing.
_NOT_KNOWN_YET = "0" * 64


class StorageFullError(EnvironmentalError):
    """There is no room for another clip."""

    def __init__(self, free_bytes: int) -> None:
        super().__init__(
            f"The storage is full ({free_bytes // 1_000_000} MB free): put this unit on the dock, then record again."
        )
        self.free_bytes = free_bytes


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


class Spool:
    """Owns the folder of clips; nothing in it is overwritten or deleted but by `accept_receipt`.

    A clip's life, each step durable before the next begins, so that a crash at any line leaves one of these states and
    `recover` brings it on from there:

    1. `<id>.mp4.age.part` is created, empty; `<id>.draft` is written: a manifest as of a power loss. Its number says
       behind which other drafts it comes. Only then does a first byte go into the `.part`.
    2. The clip grows. A power cut leaves any length of it from the last `sync` on; recovery changes no byte of it, and
       states the rest in a manifest with `complete` false.
    3. Closing: the `.part` is synced; the clip gets its place in the chain; `<id>.json` is written, and is final from
       then on; `<id>.json.sig` is written; the `.part` is renamed to `<id>.mp4.age`; spool.json and its twin take over
       the chain's newest link; the draft is removed. Clips are closed in the order in which they were opened, so no
       place is given twice; a clip with a draft is never shown as waiting.
    4. A receipt that speaks of just this clip: the dock's custody head goes into spool.json, the receipt into
       `<id>.receipt`; then the three files are removed, then the receipt. Where there is no room for that, the file of
       the signature is renamed to `<id>.receipt`, and the head goes into spool.json last.

    A clip that was cut is left with its draft, for what the medium has of it must be read back, and that takes minutes:
    `close_next` does it. A clip that ends meanwhile leaves in its draft all that its manifest will state, and is closed
    behind it. One that the medium does not give back is put aside as `<id>.draft.unreadable`, beside its `.part`, for
    IT; its place goes to the next.

    One thread opens, grows and ends clips, one calls `close_next`; any thread may call the rest.
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
        self._growing: str | None = None
        self._is_left = threading.Event()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._notes = SpoolNotes(folder, self._disk)

    # What is there

    def waiting(self) -> tuple[SpooledClip, ...]:
        """Return the clips that are closed and have no receipt, in the order of their sequence."""
        clips = [clip for files in clips_with(self._folder, SEALED_SUFFIX) if (clip := _spooled(files))]
        return tuple(sorted(clips, key=lambda clip: clip.sequence))

    def unclosed(self) -> Unclosed:
        """Return how many clips have begun and are not closed; raises OSError."""
        with self._lock:
            return unclosed_clips(self._folder, growing=self._growing)

    def newest_ended(self) -> Manifest | None:
        """Return what is stated of the clip that was ended last, whether it is closed yet or not; raises OSError."""
        with self._lock:
            stated = [clip.manifest for clip in self.waiting()] + [left.stated for left in self._left()]
        return max(stated, key=lambda manifest: manifest.sequence, default=None)

    def seen_heads(self) -> tuple[SeenHead, ...]:
        """Return the newest custody head seen from each dock."""
        return self._notes.heads

    @property
    def damage(self) -> str | None:
        """What was wrong, at the start, with one of the two notes of the chain; None where both were whole."""
        return str(self._notes.damage) if self._notes.damage else None

    def refusals(self) -> dict[str, str]:
        """Return the dock's reason for each waiting clip that it refused, by clip id."""
        return self._notes.refusals

    def require_room(self, size: int = 0) -> None:
        """Raise StorageFullError where no more than `size` bytes may be recorded."""
        if self.free_bytes() <= size:
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
        """Begin a clip. `start` states all but its place in the chain, which it gets when it is closed.

        Raises StorageFullError or OSError.
        """
        with self._lock:
            self._growing = None
            with suppress(OSError):  # what cannot be closed keeps no other clip from being recorded
                self._close_known()
            self.require_room()
            number = self._next_number()
            draft = msgspec.structs.replace(
                start,
                sequence=number,
                previous_manifest_sha256=_NOT_KNOWN_YET if number > 1 else None,
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
            self._growing = files.clip_id
            return growing

    def close_clip(self, growing: GrowingFile, ending: Ending) -> None:
        """Close a clip into which everything was written, or leave it to be closed behind one that was cut.

        Raises OSError; then `close_cut_clip` comes next.
        """
        growing.sync()
        growing.close()
        stated = msgspec.structs.replace(
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
            if self._left():
                self._disk.write_durably(growing.files.draft, manifests.encode(stated))
                self._growing = None
                with suppress(OSError):  # of one before it: this one is whole, and is closed behind that
                    self._close_known()
            else:
                self._close(growing.files, self._placed(stated))
                self._growing = None

    def close_cut_clip(self, growing: GrowingFile, ending: Ending) -> None:
        """Let go of a clip that could not be written to its end; `close_next` reads back what the medium holds of it.

        One of which the medium holds nothing is forgotten. Raises OSError; what is left to do then, `recover` finds.
        """
        growing.close()
        files = growing.files
        known = msgspec.structs.replace(
            growing.draft, ended_by=ending.ended_by, ended_at=ending.ended_at, mute_spans=ending.mute_spans
        )
        with self._lock:
            self._growing = None
            if not is_stated_whole(files):  # else `close_clip` has come far enough to be finished as it was meant
                if not grown_bytes(files):
                    self._forget(files)
                    return
                self._disk.write_durably(files.draft, manifests.encode(known))
            self._close_known()

    # What was left undone

    def recover(self) -> tuple[Recovered, ...]:
        """Find what a power cut or a crash left undone; to be called once, before the first clip. It takes no time.

        What is quickly brought to an end is; the rest is left for `close_next`. Nothing that was recorded is changed,
        and nothing that is wrong with one clip keeps another from it. Raises OSError where the folder cannot be read.
        """
        with self._lock:
            found = [self._finish_removal(files) for files in clips_with(self._folder, RECEIPT_SUFFIX)]
            for files in clips_with(self._folder, UNREADABLE_SUFFIX):
                found.append(Recovered(files.clip_id, Remains.DAMAGED, f"The storage does not give it back; {KEPT}"))
            found += [look_at(files) for files in clips_with(self._folder, DRAFT_SUFFIX)]
            with suppress(OSError):  # `close_next` comes to it again
                for files in clips_with(self._folder, GROWING_SUFFIX) + clips_with(self._folder, DRAFT_SUFFIX):
                    if not files.manifest.exists() and not grown_bytes(files):
                        self._forget(files)
                self._close_known()
            self.try_again()
        known = {each.clip_id for each in found}
        for files in clips_with(self._folder, MANIFEST_SUFFIX):
            if files.clip_id not in known and read_manifest(files.manifest) is None:
                what = "Its manifest is damaged; it is kept: have IT look at it."
                found.append(Recovered(files.clip_id, Remains.DAMAGED, what))
        return tuple(found)

    def left(self) -> tuple[int, ...]:
        """Return the sizes (bytes) of the clips that were ended and are not closed yet."""
        with self._lock:
            return tuple(grown_bytes(left.files) for left in self._left())

    @property
    def is_closing(self) -> bool:
        """Whether `close_next` has something to do, and has not failed at it."""
        return self._is_left.is_set()

    def try_again(self) -> None:
        """Have what could not be closed tried once more by `close_next`; raises OSError."""
        with self._lock:
            if self._left():
                self._is_left.set()

    def wait_left(self, timeout: float) -> bool:
        """Wait until `close_next` has something to do; False when `timeout` (seconds) is over first."""
        return self._is_left.wait(timeout)

    def close_next(self, rest: Callable[[float], bool] = lambda _: False) -> Recovered | None:
        """Close the next of the clips that are left, and return what became of it; None where none is left.

        That takes as long as reading the clip: after each piece `rest` is told how many seconds it took, and may answer
        true to break off. Raises OSError where the storage takes nothing.
        """
        try:
            with self._lock:
                left = self._left()
                if not left:
                    self._is_left.clear()
                    return None
                if left[0].is_known:
                    return self._close_left(left[0])
            return self._close_measured(left[0], rest)
        except OSError:
            self._is_left.clear()
            raise

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
            self._let_go(files, stated, receipt.content)
            self.try_again()  # there is more room now than before
        return stated

    def refuse(self, clip_id: str, reason: str) -> None:
        """Remember why a dock refused a clip, which stays; raises NotWaitingError or OSError."""
        self._waiting_clip(clip_id)
        with self._lock:
            self._notes.refused(clip_id, reason)

    # How it is done

    def _waiting_clip(self, clip_id: str) -> SpooledClip:
        for clip in self.waiting():
            if clip.clip_id == clip_id:
                return clip
        raise NotWaitingError(clip_id)

    def _left(self) -> list[LeftClip]:
        return left_clips(self._folder, but=self._growing)

    def _next_number(self) -> int:
        numbers = [each.stated.sequence for each in self._left()]
        newest = self._notes.newest
        return max([newest.sequence if newest else 0, *numbers]) + 1

    def _placed(self, stated: Manifest) -> Manifest:
        """Give a clip its place in the chain: it is the next that is closed."""
        newest = self._notes.newest
        return msgspec.structs.replace(
            stated,
            sequence=newest.sequence + 1 if newest else 1,
            previous_manifest_sha256=newest.manifest_sha256 if newest else None,
        )

    def _close_known(self) -> None:
        """Close those that are left, up to the first that must be read back; raises OSError."""
        for left in self._left():
            if not left.is_known:
                self._is_left.set()
                return
            try:
                self._close_left(left)
            except OSError:
                self._is_left.set()
                raise

    def _close_measured(self, left: LeftClip, rest: Callable[[float], bool]) -> Recovered | None:
        try:
            measured = measure(self._disk, left.files.growing, rest)
        except OSError as error:
            return self._put_aside(left.files, error)
        if measured is None:
            return None
        if not measured.size:
            with self._lock:
                self._forget(left.files)
            return Recovered(left.files.clip_id, Remains.NOTHING, "Nothing of it was recorded.")
        stated = msgspec.structs.replace(left.stated, ciphertext_bytes=measured.size, ciphertext_sha256=measured.sha256)
        with self._lock:
            return self._close_left(LeftClip(left.files, stated, is_closing=False))

    def _close_left(self, left: LeftClip) -> Recovered:
        final = left.stated if left.is_closing else self._placed(left.stated)
        self._close(left.files, final)
        if final.complete:
            return Recovered(left.files.clip_id, Remains.WHOLE, "It is complete.")
        return Recovered(left.files.clip_id, Remains.CUT, "Its end is missing; everything before it is kept.")

    def _put_aside(self, files: ClipFiles, error: OSError) -> Recovered:
        """Let a clip that the medium does not give back stand in no other's way; raises OSError."""
        with self._lock:
            self._disk.rename(files.draft, files.unreadable)
            self._disk.sync_folder(self._folder)
        return Recovered(files.clip_id, Remains.DAMAGED, not_given_back(error))

    def _close(self, files: ClipFiles, final: Manifest) -> None:
        if not files.manifest.exists():
            self._disk.write_durably(files.manifest, manifests.encode(final))
        content = files.manifest.read_bytes()
        self._disk.write_durably(files.signature, self._signer.sign(content))
        if files.growing.exists():
            self._disk.rename(files.growing, files.sealed)
            self._disk.sync_folder(self._folder)
        self._notes.closed(link_of(final, content))
        self._disk.remove(files.draft)
        self._disk.sync_folder(self._folder)

    def _forget(self, files: ClipFiles) -> None:
        """Remove a clip into which not one byte was recorded."""
        self._disk.remove(files.growing)
        self._disk.remove(files.draft)
        self._disk.sync_folder(self._folder)

    def _let_go(self, files: ClipFiles, stated: Receipt, receipt: bytes) -> None:
        try:
            self._notes.received(files.clip_id, stated)
            self._disk.write_durably(files.receipt, receipt)
            self._remove_received(files)
        except OSError as error:
            if error.errno not in FULL:
                raise
            # A rename takes no room, and what is removed then makes some: the signature's file stands for the receipt.
            self._disk.rename(files.signature, files.receipt)
            self._disk.sync_folder(self._folder)
            self._remove_received(files)
            self._notes.received(files.clip_id, stated)

    def _finish_removal(self, files: ClipFiles) -> Recovered:
        try:
            self._remove_received(files)
            what = "The dock has it; removing it here was finished."
        except OSError as error:
            what = f"The dock has it, but it cannot be removed here ({error.strerror or error})."
        return Recovered(files.clip_id, Remains.HANDED_OVER, what)

    def _remove_received(self, files: ClipFiles) -> None:
        for path in (files.sealed, files.signature, files.manifest):
            self._disk.remove(path)
        self._disk.sync_folder(self._folder)
        self._disk.remove(files.receipt)
        self._disk.sync_folder(self._folder)


def _spooled(files: ClipFiles) -> SpooledClip | None:
    """Return the clip if it is closed and has no receipt, and its manifest can be read."""
    if files.draft.exists() or files.receipt.exists():
        return None
    manifest = read_manifest(files.manifest)
    if manifest is None:
        return None
    return SpooledClip(files.clip_id, manifest.sequence, files.sealed, files.manifest, files.signature, manifest)
