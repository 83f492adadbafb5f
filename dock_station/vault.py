"""The vault: sealed clips on a local disk, each a file with its manifest and signature beside it."""

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dock_station.read_back import Follower, ReadBack
from evidence.durable import sync_folder
from evidence.errors import EnvironmentalError

INCOMING = "incoming"  # uploads under way
CLIPS = "clips"
SEALED, MANIFEST, SIGNATURE = ".mp4.age", ".json", ".json.sig"
PART = ".part"


class NoRoomError(EnvironmentalError):
    """The vault has no room for a clip."""

    def __init__(self, wanted: int, free: int) -> None:
        super().__init__(
            f"The dock has no room for this clip: {wanted} bytes more are needed and {max(free, 0)} are free; "
            "it stays on the unit until IT has made room."
        )
        self.wanted = wanted
        self.free = free


class VaultError(EnvironmentalError):
    """The vault's disk does not do what it is asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The dock's vault fails: {what}; have IT look at its disk.")


class VaultMissingError(EnvironmentalError):
    """Where the vault should be is a place that never held its clips, as under a disk that is not mounted."""

    def __init__(self, clips: int) -> None:
        super().__init__(
            f"The dock's vault is not there: it has no folder '{CLIPS}', where clips should be ({clips}); see that its "
            "disk is mounted."
        )


class PartLostError(VaultError):
    """Bytes of an upload that were acknowledged are not there any more."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"acknowledged bytes of upload {upload_id} are lost")


class Part:
    """An upload's file, open for appending."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("r+b", buffering=0)
        self._file.truncate(offset)
        self._file.seek(offset)
        self.size = offset

    def write(self, piece: memoryview) -> None:
        """Append `piece`; raises NoRoomError where the disk is full, and `size` says what was written even so."""
        while piece:
            try:
                written = self._file.write(piece)
            except OSError as error:
                raise _refusal(error, len(piece)) from error
            self.size += written
            piece = piece[written:]

    def cut(self, size: int) -> None:
        """Take back all that was appended after `size`."""
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def sync(self) -> None:
        """Make durable what was appended; raises NoRoomError or VaultError."""
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise _refusal(error, 0) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Vault:
    """The folder of one dock's sealed clips.

    Contract: whatever the vault has said it did is durable. `store`, `discard` and `delete` may be called again
    after a crash at any line, and then finish what was begun. It never looks around in its folders: which files
    exist, the catalogue knows.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._read_backs: dict[str, ReadBack] = {}
        self._read_backs_lock = threading.Lock()

    def prepare(self, *, clips: int = 0) -> None:
        """Create the vault's folders, readable by the dock alone, where they are not there yet.

        Raises VaultMissingError where `clips` of them should be in it: nothing may be made under an absent disk.
        """
        if clips and not self.is_there:
            raise VaultMissingError(clips)
        for name in (INCOMING, CLIPS):
            (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self._folder)

    @property
    def is_there(self) -> bool:
        """Whether the folder of clips is there: under a disk that is not mounted there is none."""
        return (self._folder / CLIPS).is_dir()

    def require_room(self, wanted: int, promised: int) -> None:
        """Raise NoRoomError unless `wanted` bytes fit beside those `promised` to other uploads and the reserve."""
        free = shutil.disk_usage(self._folder).free - self._reserve_bytes - promised
        if wanted > free:
            raise NoRoomError(wanted, free)

    @contextmanager
    def appending(self, upload_id: str, offset: int) -> Iterator[Part]:
        """Open an upload's file behind its first `offset` bytes; anything beyond was never acknowledged and goes.

        At offset 0 the file is made. Raises PartLostError where the file is gone or has less than `offset` bytes,
        NoRoomError or VaultError.
        """
        path = self._part_file(upload_id)
        if offset == 0:
            self._make(path)
        elif not path.is_file() or path.stat().st_size < offset:
            raise PartLostError(upload_id)
        if self._read_back(upload_id).hashed_bytes > offset:
            self._forget(upload_id)
        part = Part(path, offset)
        try:
            yield part
        finally:
            part.close()

    def follower(self, upload_id: str) -> Follower:
        """Return a follower that reads the upload back while it is being written."""
        return Follower(self._read_back(upload_id))

    def sha256(self, upload_id: str, clip_id: str, size: int) -> str:
        """Return the digest (hex) of an upload's bytes as the disk gives them back; raises PartLostError or VaultError.

        After a crash in the middle of `store` they may lie under the clip's name already.
        """
        stored = self.sealed_file(self.key_of(clip_id))
        read_back = self._read_back(upload_id) if self._part_file(upload_id).exists() else ReadBack(stored)
        try:
            return read_back.sha256_of(size)
        except (FileNotFoundError, EOFError) as error:
            raise PartLostError(upload_id) from error
        except OSError as error:
            raise VaultError(f"clip {clip_id} cannot be read back ({error.strerror})") from error

    def store(self, upload_id: str, clip_id: str, *, manifest: bytes, signature: bytes) -> str:
        """Make an upload the clip `clip_id` with its manifest and signature, durably, and return its key.

        Raises NoRoomError or VaultError; the upload is then still there to be stored again.
        """
        key = self.key_of(clip_id)
        self._put(upload_id, key, MANIFEST, manifest)
        self._put(upload_id, key, SIGNATURE, signature)
        try:
            if self._part_file(upload_id).exists():
                self._part_file(upload_id).rename(self.sealed_file(key))
            sync_folder(self._folder / CLIPS)
            sync_folder(self._folder / INCOMING)
        except OSError as error:
            raise _refusal(error, 0) from error
        self._forget(upload_id)
        return key

    def discard(self, upload_id: str) -> None:
        """Remove an upload's file, with what a crash may have left beside it."""
        for suffix in (PART, MANIFEST, SIGNATURE):
            self._incoming(upload_id, suffix).unlink(missing_ok=True)
        sync_folder(self._folder / INCOMING)
        self._forget(upload_id)

    def delete(self, key: str) -> None:
        """Remove a clip's three files, durably; the sealed file first, for it is what must not stay behind."""
        for suffix in (SEALED, MANIFEST, SIGNATURE):
            self._file(key, suffix).unlink(missing_ok=True)
        sync_folder(self._folder / CLIPS)

    def key_of(self, clip_id: str) -> str:
        """Return the key under which a clip is stored."""
        return f"{CLIPS}/{clip_id}"

    def sealed_file(self, key: str) -> Path:
        """Return where a clip's sealed file is."""
        return self._file(key, SEALED)

    def manifest(self, key: str) -> bytes:
        """Return a clip's manifest, the bytes that its unit signed; raises VaultError."""
        return self._content(key, MANIFEST)

    def signature(self, key: str) -> bytes:
        """Return the unit's signature over a clip's manifest; raises VaultError."""
        return self._content(key, SIGNATURE)

    def _put(self, upload_id: str, key: str, suffix: str, content: bytes) -> None:
        """Put one of a clip's small files in place; what a crash leaves of it has a name that `discard` knows."""
        beside = self._incoming(upload_id, suffix)
        self._make(beside)
        with contextlib.closing(Part(beside, 0)) as part:
            part.write(memoryview(content))
            part.sync()
        beside.replace(self._file(key, suffix))

    def _make(self, path: Path) -> None:
        try:
            path.touch(mode=0o600)
            sync_folder(path.parent)
        except OSError as error:
            raise _refusal(error, 0) from error

    def _content(self, key: str, suffix: str) -> bytes:
        try:
            return self._file(key, suffix).read_bytes()
        except OSError as error:
            raise VaultError(f"{key}{suffix} cannot be read ({error.strerror})") from error

    def _file(self, key: str, suffix: str) -> Path:
        return self._folder / f"{key}{suffix}"

    def _part_file(self, upload_id: str) -> Path:
        return self._incoming(upload_id, PART)

    def _incoming(self, upload_id: str, suffix: str) -> Path:
        return self._folder / INCOMING / f"{upload_id}{suffix}"

    def _read_back(self, upload_id: str) -> ReadBack:
        with self._read_backs_lock:
            return self._read_backs.setdefault(upload_id, ReadBack(self._part_file(upload_id)))

    def _forget(self, upload_id: str) -> None:
        with self._read_backs_lock, contextlib.suppress(KeyError):
            del self._read_backs[upload_id]


def _refusal(error: OSError, wanted: int) -> NoRoomError | VaultError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoRoomError(wanted, 0)
    return VaultError(str(error.strerror))
