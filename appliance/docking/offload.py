"""The offload: every waiting clip, the oldest first, goes to the dock, and from here only against its receipt."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from appliance.board.battery import Battery
from appliance.board.thermometer import Thermometer
from appliance.docking.client import DockClient, DockRefusedError
from appliance.docking.delivery import Deleted, Greeted, Received, Refused, Sent, Step, Uploaded
from appliance.docking.introduction import Gauge, greet, take_policy, take_revocations
from appliance.docking.tls import context_for
from appliance.docking.upload_notes import UploadNotes
from appliance.installation import Installation
from appliance.spool import SpooledClip
from evidence.certificates import Authority
from evidence.docking import RefusalCode, SealRequest, Welcome
from evidence.errors import MirrorcamError
from evidence.manifest import ClipDiffersError, check_ciphertext
from evidence.signature import Signed

PIECE_BYTES = 8 * 1024 * 1024  # acknowledged at once: a third of a second by USB 2
BLOCK_BYTES = 1 << 20  # read and sent at once
ATTEMPTS = 3  # at one clip in one docking
_CLOSING_SECONDS = 0.5  # between two looks whether a clip that was cut is closed by now

# What is wrong with one clip alone: it stays, and the others go on. All else is wrong with the dock or the unit.
_OF_THE_CLIP = {
    RefusalCode.SCHEMA,
    RefusalCode.FOREIGN,
    RefusalCode.SIGNATURE,
    RefusalCode.REPLAYED,
    RefusalCode.GAP,
    RefusalCode.BROKEN_CHAIN,
    RefusalCode.DIFFERS,
    RefusalCode.TOO_LONG,
    RefusalCode.STORED,
}
# The dock has lost what it had of a clip, or thrown it away: it is asked, and what is missing is sent again.
_AGAIN = {
    RefusalCode.OFFSET,
    RefusalCode.UNKNOWN,
    RefusalCode.GONE,
    RefusalCode.DIFFERS,
    RefusalCode.NOT_UPLOADED,
}


class UnreadableClipError(MirrorcamError):
    """The unit's storage does not give back what was recorded."""

    def __init__(self, clip_id: str, reason: str) -> None:
        super().__init__(f"Clip {clip_id} cannot be read from this unit's storage ({reason}): have IT look at it.")


class Offload:
    """Hands over to the dock that the unit's settings name.

    Contract: a clip leaves the unit in one way, by a receipt that the spool has found good; whatever breaks, and
    whenever, the clip is here, or the dock has it for good, or both. What the dock has acknowledged is not sent again,
    in this run or in a later one.

    It is not over before what a power cut left of a clip is closed and handed over as well.

    A refused clip stays, with the dock's reason. The clips after it are behind a gap in the chain then, so each is only
    announced, and sent when the dock says that it would take it: once IT has accepted the gap.
    """

    def __init__(self, installation: Installation, gauge: Gauge | None = None, *, cable: Path | None = None) -> None:
        """Hand over through the forwarder's socket `cable`, or without one by TCP."""
        self._installation = installation
        self._cable = cable
        self._gauge = gauge or Gauge(Battery(), Thermometer())

    def run(self, report: Callable[[Step], None], is_stopping: threading.Event) -> None:
        """Hand over what waits, and `report` each step from this thread.

        Returns when nothing is left but what the dock refused, or soon after `is_stopping` is set. Raises
        DockUnreachableError, DockRefusedError, DockAnswerError, another MirrorcamError where the dock is not ours, or
        OSError. A policy that cannot be taken over does not keep the clips here: it is raised when they are gone.
        """
        installation = self._installation
        authority = installation.folder.authority()
        context = context_for(installation.folder, authority)
        url, software = installation.settings.dock_url, installation.facts.software
        with DockClient(url, context, software, self._cable) as dock:
            welcome = greet(installation, self._gauge, dock, authority)
            authority = take_revocations(installation, authority, welcome)
            trouble = _trouble_with(lambda: take_policy(installation, authority, welcome))
            _HandOver(installation, authority, dock, welcome, report, is_stopping).run()
        if trouble:
            raise trouble


class _HandOver:
    """One docking's clips."""

    def __init__(
        self,
        installation: Installation,
        authority: Authority,
        dock: DockClient,
        welcome: Welcome,
        report: Callable[[Step], None],
        is_stopping: threading.Event,
    ) -> None:
        self._spool = installation.spool
        self._clock = installation.clock
        self._authority = authority
        self._dock = dock
        self._welcome = welcome
        self._report = report
        self._is_stopping = is_stopping
        self._notes = UploadNotes(installation.folder.data / "uploads.json")
        self._tried: set[str] = set()
        self._is_behind_a_gap = False

    def run(self) -> None:
        with suppress(OSError):  # the closer meets the same, and tells it
            self._spool.try_again()
        waiting = self._spool.waiting()
        self._notes.forget_all_but({clip.clip_id for clip in waiting})
        sizes = [clip.manifest.ciphertext_bytes for clip in waiting] + list(self._spool.left())
        self._report(Greeted(self._welcome.dock_id, self._welcome.wearer, len(sizes), sum(sizes)))
        while not self._is_stopping.is_set():
            is_closing = self._spool.is_closing  # asked first: what is closed after this is among those that wait
            clip = next((clip for clip in self._spool.waiting() if clip.clip_id not in self._tried), None)
            if clip is None:
                if not is_closing:
                    return
                self._is_stopping.wait(_CLOSING_SECONDS)
                continue
            self._tried.add(clip.clip_id)
            self._hand_over(clip)

    def _hand_over(self, clip: SpooledClip) -> None:
        try:
            receipt = self._receipt_for(clip)
        except (ClipDiffersError, UnreadableClipError) as error:
            self._keep(clip, str(error))
        except DockRefusedError as error:
            if error.code not in _OF_THE_CLIP:
                raise
            self._keep(clip, str(error))
        else:
            if receipt:
                self._let_go(clip, receipt)

    def _keep(self, clip: SpooledClip, sentence: str) -> None:
        self._is_behind_a_gap = True
        self._spool.refuse(clip.clip_id, sentence)
        self._report(Refused(clip.clip_id, sentence))

    def _let_go(self, clip: SpooledClip, document: Signed) -> None:
        receipt = self._spool.accept_receipt(clip.clip_id, document, self._authority, self._clock.utc())
        self._report(Received(clip.clip_id, receipt))
        self._report(Deleted(clip.clip_id))

    def _receipt_for(self, clip: SpooledClip) -> Signed | None:
        """Return the dock's receipt, None when it was stopped before."""
        if self._is_behind_a_gap or clip.clip_id in self._spool.refusals():
            try:
                return self._seal(clip)
            except DockRefusedError as error:
                if error.code != RefusalCode.NOT_UPLOADED:
                    raise
            _check_bytes(clip)
        return self._upload_and_seal(clip, ATTEMPTS)

    def _upload_and_seal(self, clip: SpooledClip, attempts: int) -> Signed | None:
        try:
            return self._seal(clip) if self._upload(clip) else None
        except DockRefusedError as error:
            if error.code not in _AGAIN or attempts == 1:
                raise
            if error.code == RefusalCode.DIFFERS:
                _check_bytes(clip)
            return self._upload_and_seal(clip, attempts - 1)

    def _upload(self, clip: SpooledClip) -> bool:
        """Bring all of the sealed file to the dock, from where it has it; False when it was stopped before."""
        size = _size(clip)
        try:
            path, offset = self._begun(clip, size) or (self._begin(clip, size), 0)
        except DockRefusedError as error:
            if error.code != RefusalCode.STORED:
                raise
            offset = size  # it has the clip for good, and only its receipt did not reach us
        while offset < size:
            self._report(Sent(clip.clip_id, offset))
            if self._is_stopping.is_set():
                return False
            length = min(PIECE_BYTES, size - offset)
            offset = self._dock.append(path, _blocks(clip, offset, length), start=offset, length=length)
        self._report(Uploaded(clip.clip_id, size))
        return True

    def _begun(self, clip: SpooledClip, size: int) -> tuple[str, int] | None:
        """Return an earlier upload's path and how much the dock has of it, None where there is none to go on with."""
        path = self._notes.find(clip.clip_id, self._welcome.dock_id)
        offset = self._dock.offset(path, size) if path else None
        return (path, offset) if path and offset is not None else None

    def _begin(self, clip: SpooledClip, size: int) -> str:
        path = self._dock.create(clip.clip_id, size)
        self._notes.keep(clip.clip_id, self._welcome.dock_id, path)
        return path

    def _seal(self, clip: SpooledClip) -> Signed:
        request = SealRequest(manifest=_read(clip.manifest_file, clip), signature=_read(clip.signature_file, clip))
        return self._dock.seal(clip.clip_id, request)


def _size(clip: SpooledClip) -> int:
    """Return the sealed file's size; raises ClipDiffersError where the manifest states another."""
    try:
        size = clip.sealed_file.stat().st_size
    except OSError as error:
        raise UnreadableClipError(clip.clip_id, error.strerror or str(error)) from error
    check_ciphertext(clip.manifest, size=size, sha256=clip.manifest.ciphertext_sha256)
    return size


def _check_bytes(clip: SpooledClip) -> None:
    """Raise ClipDiffersError where it is the unit's own storage that has changed the clip: no use in sending it."""
    digest = hashlib.sha256()
    for block in _blocks(clip, 0, _size(clip)):
        digest.update(block)
    check_ciphertext(clip.manifest, size=clip.manifest.ciphertext_bytes, sha256=digest.hexdigest())


def _blocks(clip: SpooledClip, start: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes of the sealed file from byte `start` on; raises UnreadableClipError."""
    try:
        with clip.sealed_file.open("rb", buffering=0) as file:
            file.seek(start)
            while length > 0:
                block = file.read(min(BLOCK_BYTES, length))
                if not block:
                    raise UnreadableClipError(clip.clip_id, "it has become shorter")
                length -= len(block)
                yield block
    except OSError as error:
        raise UnreadableClipError(clip.clip_id, error.strerror or str(error)) from error


def _read(path: Path, clip: SpooledClip) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableClipError(clip.clip_id, error.strerror or str(error)) from error


def _trouble_with(action: Callable[[], None]) -> MirrorcamError | OSError | None:
    """Return what went wrong with it, to be raised when what matters more is done."""
    try:
        action()
    except (MirrorcamError, OSError) as error:
        return error
    return None
