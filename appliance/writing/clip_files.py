"""The files of one clip on the unit: their names, and the sealed one while it grows."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.writing.disk import Disk
from evidence import manifest as manifests
from evidence.identifiers import ClipId
from evidence.manifest import Manifest
from evidence.strict import SchemaError

SEALED_SUFFIX = ".mp4.age"
GROWING_SUFFIX = ".mp4.age.part"
MANIFEST_SUFFIX = ".json"
SIGNATURE_SUFFIX = ".json.sig"
DRAFT_SUFFIX = ".draft"
UNREADABLE_SUFFIX = ".draft.unreadable"
RECEIPT_SUFFIX = ".receipt"

BLOCK_BYTES = 512 * 1024


@dataclass(frozen=True)
class ClipFiles:
    """Where the files of one clip are. Draft and receipt are the spool's own notes, there only for a while."""

    folder: Path
    clip_id: str

    @property
    def sealed(self) -> Path:
        """The sealed clip, once it is closed."""
        return self._named(SEALED_SUFFIX)

    @property
    def growing(self) -> Path:
        """The sealed clip, until it is closed."""
        return self._named(GROWING_SUFFIX)

    @property
    def manifest(self) -> Path:
        """The manifest, final as soon as it is there."""
        return self._named(MANIFEST_SUFFIX)

    @property
    def signature(self) -> Path:
        """The unit's signature over the manifest."""
        return self._named(SIGNATURE_SUFFIX)

    @property
    def draft(self) -> Path:
        """What was known when the clip began: a manifest as it would be if power were lost at once."""
        return self._named(DRAFT_SUFFIX)

    @property
    def unreadable(self) -> Path:
        """The draft of a clip that the medium does not give back, put aside."""
        return self._named(UNREADABLE_SUFFIX)

    @property
    def receipt(self) -> Path:
        """A dock's receipt, which was found good: the clip's files are being removed."""
        return self._named(RECEIPT_SUFFIX)

    def _named(self, suffix: str) -> Path:
        return self.folder / (self.clip_id + suffix)


def clips_with(folder: Path, suffix: str) -> list[ClipFiles]:
    """Return the clips that have a file with this suffix, oldest first (a UUIDv7 sorts by time)."""
    ids = (path.name.removesuffix(suffix) for path in folder.iterdir() if path.name.endswith(suffix))
    return [ClipFiles(folder, clip_id) for clip_id in sorted(ids) if _is_clip_id(clip_id)]


def read_manifest(path: Path) -> Manifest | None:
    """Return what a manifest or a draft states, None for one that cannot be read: it keeps no other clip back."""
    try:
        return manifests.decode(path.read_bytes())
    except (OSError, SchemaError):
        return None


def is_stated_whole(files: ClipFiles) -> bool:
    """Tell whether a clip's manifest is there, or a draft of all that it will state."""
    draft = read_manifest(files.draft)
    return files.manifest.exists() or (draft is not None and draft.complete)


def grown_bytes(files: ClipFiles) -> int:
    """Return the size of what is not closed of a clip; raises OSError."""
    try:
        return files.growing.stat().st_size
    except FileNotFoundError:
        return 0


class GrowingFile:
    """The sealed file of a running clip: every byte counted, hashed and, after `sync`, durable. One thread's.

    Bytes go to the system in blocks, and with `sync` at the latest: none of them is safe before that anyway, and
    half a megabyte at a time costs the system half as much as eight chunks.
    """

    def __init__(self, files: ClipFiles, draft: Manifest, disk: Disk) -> None:
        """Create the file; raises OSError."""
        self.files = files
        self.draft = draft
        self.size = 0
        self.durable = 0
        self._disk = disk
        self._digest = hashlib.sha256()
        self._block = memoryview(bytearray(BLOCK_BYTES))
        self._filled = 0
        self._descriptor = disk.create(files.growing)

    @property
    def sha256(self) -> str:
        """The digest (hex) of all that was synced."""
        return self._digest.hexdigest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`; raises OSError."""
        view = memoryview(data)
        self.size += len(view)
        while view:
            piece = view[: BLOCK_BYTES - self._filled]
            self._block[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == BLOCK_BYTES:
                self._flush()

    def sync(self) -> None:
        """Make all that was written durable; raises OSError."""
        self._flush()
        self._disk.sync(self._descriptor)
        self.durable = self.size

    def close(self) -> None:
        """Let go of the file; harmless a second time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> None:
        rest = self._block[: self._filled]
        self._digest.update(rest)
        self._filled = 0
        while rest:
            rest = rest[self._disk.write(self._descriptor, rest) :]


def _is_clip_id(name: str) -> bool:
    try:
        msgspec.convert(name, ClipId)
    except msgspec.ValidationError:
        return False
    return True
