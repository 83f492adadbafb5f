"""Uploads under way: a clip's bytes come in pieces, and each piece that was acknowledged is durable."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from dock_station.bays.turns import Turns, UploadBusyError
from dock_station.catalogue import clips, units, uploads
from dock_station.catalogue.database import Catalogue
from dock_station.catalogue.uploads import Upload
from dock_station.read_back import Follower
from dock_station.vault import NoRoomError, Part, PartLostError, Vault
from evidence.errors import MirrorcamError

# The longest clip that a policy allows (720 minutes) at 50 Mbit/s, more than any camera of ours makes, has 270 GB.
MAX_BYTES = 300 * 10**9
MOST_OF_ONE_UNIT = (
    16  # at a time; a unit brings one clip after the other, and leaves one unfinished when it is taken off
)
KEPT_FOR = timedelta(days=7)  # since its last piece; an upload is a copy of what the unit still has
PIECE = 1 << 20  # bytes received before they are written
PATIENCE_SECONDS = 10


class Body(Protocol):
    """What a client sends, as it comes."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer, or give the end of the body; 0 is its end. Raises OSError when the client is gone."""

    def stop(self) -> None:
        """Make a `readinto` that waits in another thread end at once."""


@dataclass(frozen=True)
class Checksum:
    """What the client says a piece's digest is."""

    algorithm: str
    digest: bytes


class UploadUnknownError(MirrorcamError):
    """There is no such upload of this unit."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"This unit has no upload {upload_id}; create it first.")


class UploadGoneError(MirrorcamError):
    """The upload was there once."""

    def __init__(self, upload_id: str, reason: str) -> None:
        super().__init__(f"Upload {upload_id} is gone: {reason}; create it anew.")


class OffsetMismatchError(MirrorcamError):
    """A piece begins elsewhere than where the upload ends."""

    def __init__(self, upload: Upload, offset: int) -> None:
        super().__init__(
            f"The upload goes on at byte {upload.offset_bytes}, not at {offset}; ask for the offset first."
        )
        self.upload = upload


class UploadTooLongError(MirrorcamError):
    """More bytes are announced than may come."""

    def __init__(self, announced: int, allowed: int) -> None:
        super().__init__(f"{announced} bytes are announced and {allowed} are allowed; send what the clip really has.")


class ChecksumMismatchError(MirrorcamError):
    """A piece arrived damaged."""

    def __init__(self) -> None:
        super().__init__("The piece does not have the checksum that came with it and was thrown away; send it again.")


class UploadCutError(MirrorcamError):
    """The connection ended before the piece did."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"The connection of upload {upload_id} broke; what had arrived is kept.")


class AlreadyStoredError(MirrorcamError):
    """The clip is in the vault."""

    def __init__(self, clip_id: str) -> None:
        super().__init__(f"The dock has clip {clip_id} already; ask for its receipt by sealing it again.")


class NotUploadedError(MirrorcamError):
    """A clip is to be sealed whose bytes are not all here."""

    def __init__(self, clip_id: str, missing: str) -> None:
        super().__init__(f"Clip {clip_id} cannot be sealed, {missing}; upload it first.")


class Uploads:
    """The uploads of all units.

    Contract: after `append` has returned or raised, and after a crash at any line, the upload goes on at an offset
    that was acknowledged or lies behind one; every byte before it is durable. A unit sees its own uploads only. A clip
    has one upload: a new one of the same unit takes the place of the one before. A unit has at most MOST_OF_ONE_UNIT:
    for one more the oldest goes.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        vault: Vault,
        clock: Callable[[], datetime],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._catalogue = catalogue
        self._vault = vault
        self._clock = clock
        self._turns = Turns(patience_seconds)

    def create(self, unit_id: str, clip_id: str, *, length: int, metadata: str) -> Upload:
        """Begin an upload of `length` bytes, whose `metadata` are kept as the client wrote them.

        Raises UploadTooLongError, AlreadyStoredError, NoRoomError, or UploadBusyError where somebody has just begun
        to upload a clip of that name.
        """
        if length > MAX_BYTES:
            raise UploadTooLongError(length, MAX_BYTES)
        now = self._clock()
        self.expire()
        with self._catalogue.reading() as connection:
            former = uploads.of_clip(connection, unit_id, clip_id)
            begun = [each for each in uploads.under_way(connection) if each.unit_id == unit_id and each != former]
        for old in [*([former] if former else []), *begun[: max(0, len(begun) + 1 - MOST_OF_ONE_UNIT)]]:
            with suppress(UploadUnknownError):  # another connection was quicker
                self.terminate(unit_id, old.upload_id)
        upload = Upload(secrets.token_hex(16), unit_id, clip_id, metadata, length, 0, now, now + KEPT_FOR)
        with self._catalogue.writing() as connection:
            stored = clips.find(connection, clip_id)
            if stored:
                raise AlreadyStoredError(clip_id)
            # Of this unit by another connection just now, or of another unit: two must never meet under one name.
            for other in uploads.under_way(connection):
                if other.clip_id == clip_id:
                    raise UploadBusyError(other.upload_id)
            self._vault.require_room(length, uploads.bytes_still_to_come(connection))
            units.seen(connection, unit_id, now)
            uploads.add(connection, upload)
        return upload

    def status(self, unit_id: str, upload_id: str) -> Upload:
        """Return the upload as it is once nobody is at it any more; raises UploadUnknownError or UploadGoneError."""
        with self._turns.take(upload_id, _go_on):
            return self._own(unit_id, upload_id)

    def append(
        self, unit_id: str, upload_id: str, *, offset: int, length: int, body: Body, checksum: Checksum | None
    ) -> Upload:
        """Take a piece of `length` bytes that begins at `offset`, and return the upload with its new, durable offset.

        Raises UploadUnknownError, UploadGoneError, OffsetMismatchError, UploadTooLongError, ChecksumMismatchError,
        NoRoomError, or UploadCutError when the client went away; with the last two, what had come is kept.
        """
        with self._turns.take(upload_id, body.stop):
            upload = self._own(unit_id, upload_id)
            if offset != upload.offset_bytes:
                raise OffsetMismatchError(upload, offset)
            if offset + length > upload.length_bytes:
                raise UploadTooLongError(offset + length, upload.length_bytes)
            try:
                with self._vault.appending(upload_id, offset) as part:
                    if checksum:
                        self._receive_checked(upload, part, body, checksum)
                    else:
                        self._receive(upload, part, body)
                    return self._acknowledge(upload, part)
            except PartLostError as error:
                self.discard(upload)
                raise UploadGoneError(upload_id, "the dock lost a part of it") from error

    def terminate(self, unit_id: str, upload_id: str) -> None:
        """End an upload and throw away what has come; raises UploadUnknownError."""
        with self._turns.take(upload_id, _go_on):
            with self._catalogue.reading() as connection:
                upload = uploads.find(connection, upload_id)
            if upload is None or upload.unit_id != unit_id:
                raise UploadUnknownError(upload_id)
            self.discard(upload)

    def expire(self) -> None:
        """Throw away the uploads whose time is over."""
        with self._catalogue.reading() as connection:
            over = uploads.expired(connection, self._clock())
        for upload in over:
            with self._turns.take(upload.upload_id, _go_on):
                self.discard(upload)

    @contextmanager
    def whole(self, unit_id: str, clip_id: str) -> Iterator[Upload]:
        """Give the upload of a clip, all of whose bytes are here, to be sealed or discarded by nobody else meanwhile.

        Raises NotUploadedError.
        """
        with self._catalogue.reading() as connection:
            begun = uploads.of_clip(connection, unit_id, clip_id)
        if begun is None:
            raise NotUploadedError(clip_id, "nothing of it is here")
        with self._turns.take(begun.upload_id, _go_on):
            with self._catalogue.reading() as connection:
                upload = uploads.find(connection, begun.upload_id)
            if upload is None or upload.expires_at <= self._clock():  # retention may throw it away at any moment
                raise NotUploadedError(clip_id, "its upload has ended")
            if not upload.complete:
                missing = f"{upload.offset_bytes} of {upload.length_bytes} bytes are here"
                raise NotUploadedError(clip_id, missing)
            yield upload

    def discard(self, upload: Upload) -> None:
        """Throw the upload away, with all that a crash may have left of it; only for who has the turn."""
        with self._catalogue.reading() as connection:
            stored = clips.find(connection, upload.clip_id)
        self._vault.discard(upload.upload_id)
        if stored is None:
            self._vault.delete(self._vault.key_of(upload.clip_id))
        with self._catalogue.writing() as connection:
            uploads.remove(connection, upload.upload_id)

    def _own(self, unit_id: str, upload_id: str) -> Upload:
        with self._catalogue.reading() as connection:
            upload = uploads.find(connection, upload_id)
        if upload is None or upload.unit_id != unit_id:
            raise UploadUnknownError(upload_id)
        if upload.expires_at <= self._clock():
            raise UploadGoneError(upload_id, f"nothing came for {KEPT_FOR.days} days")
        return upload

    def _receive(self, upload: Upload, part: Part, body: Body) -> None:
        try:
            with self._vault.follower(upload.upload_id) as follower:
                _copy(upload, part, body, follower)
        except (UploadCutError, NoRoomError):
            self._acknowledge(upload, part)
            raise

    def _receive_checked(self, upload: Upload, part: Part, body: Body, checksum: Checksum) -> None:
        digest = hashlib.new(checksum.algorithm, usedforsecurity=False)
        buffer = memoryview(bytearray(PIECE))
        before = part.size
        try:
            while size := _read(upload, body, buffer):
                digest.update(buffer[:size])
                part.write(buffer[:size])
            if digest.digest() != checksum.digest:
                raise ChecksumMismatchError
        except MirrorcamError:
            part.cut(before)
            raise

    def _acknowledge(self, upload: Upload, part: Part) -> Upload:
        part.sync()
        expires_at = self._clock() + KEPT_FOR
        with self._catalogue.writing() as connection:
            uploads.acknowledge(connection, upload.upload_id, part.size, expires_at)
        return replace(upload, offset_bytes=part.size, expires_at=expires_at)


def _copy(upload: Upload, part: Part, body: Body, follower: Follower) -> None:
    buffer = memoryview(bytearray(PIECE))
    while size := _read(upload, body, buffer):
        part.write(buffer[:size])
        follower.wrote(part.size)


def _read(upload: Upload, body: Body, buffer: memoryview) -> int:
    try:
        return body.readinto(buffer)
    except OSError as error:
        raise UploadCutError(upload.upload_id) from error


def _go_on() -> None:
    """Do nothing: who holds the turn so has little to do, and does it to the end."""
