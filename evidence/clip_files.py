"""The three files of one clip wherever they lie, found by the name of any of them."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from evidence import manifest as manifests
from evidence.errors import EnvironmentalError, NotGenuineError
from evidence.identifiers import ClipId
from evidence.manifest import Manifest

SEALED_SUFFIX, MANIFEST_SUFFIX, SIGNATURE_SUFFIX = ".mp4.age", ".json", ".json.sig"
# Longest first; `.part` is what a unit's storage holds of a clip that was not closed, `.age` what a receiver may make.
_SUFFIXES = (".mp4.age.part", SIGNATURE_SUFFIX, SEALED_SUFFIX, MANIFEST_SUFFIX, ".age")


class MissingFileError(EnvironmentalError):
    """A file that was named, or that belongs to a clip, is not there."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is missing: {what}.")
        self.path = path


class OtherClipError(NotGenuineError):
    """The files have the name of one clip, and the manifest speaks of another."""

    def __init__(self, name: str, clip_id: str) -> None:
        super().__init__(
            f"The manifest beside clip {name} is the one of clip {clip_id}: put the right three files together again."
        )


@dataclass(frozen=True)
class ClipFiles:
    """Where a clip's files are, or would be: the sealed one, the manifest, the signature."""

    sealed: Path
    manifest: Path
    signature: Path

    @classmethod
    def named(cls, path: Path) -> "ClipFiles":
        """Find a clip by one of its files, or by the name that they share; raises MissingFileError."""
        suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), "")
        base = path.with_name(path.name.removesuffix(suffix))
        sealed = path if path.is_file() and suffix not in {MANIFEST_SUFFIX, SIGNATURE_SUFFIX} else None
        files = cls(sealed or _beside(base, SEALED_SUFFIX), *(_beside(base, s) for s in (MANIFEST_SUFFIX, ".json.sig")))
        if not files.sealed.is_file():
            raise MissingFileError(files.sealed, "name the sealed clip, its manifest, or the name that they share")
        return files

    def read_manifest(self) -> bytes:
        """Return the manifest's bytes, as they were signed; raises MissingFileError or OSError."""
        return read_document(self.manifest, "put the manifest beside the sealed clip, under the same name")

    def read_signature(self) -> bytes:
        """Return the signature over the manifest; raises MissingFileError or OSError."""
        return read_document(self.signature, "put the signature beside the sealed clip, under the same name")

    def check_name(self, manifest: Manifest) -> None:
        """Raise OtherClipError where the files are named as another clip; any name that is no clip id is allowed."""
        name = self.manifest.name.removesuffix(MANIFEST_SUFFIX)
        if name != manifest.clip_id and _is_clip_id(name):
            raise OtherClipError(name, manifest.clip_id)


def read_document(path: Path, advice: str) -> bytes:
    """Return a small file's bytes; raises MissingFileError with the advice, or OSError.

    One byte more than a manifest may have shows that there are too many, however many there are.
    """
    try:
        with path.open("rb") as file:
            return file.read(manifests.MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingFileError(path, advice) from error


def _beside(base: Path, suffix: str) -> Path:
    return base.with_name(base.name + suffix)


def _is_clip_id(name: str) -> bool:
    try:
        msgspec.convert(name, ClipId)
    except msgspec.ValidationError:
        return False
    return True
