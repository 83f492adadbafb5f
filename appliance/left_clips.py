"""The clips that were ended and are not closed: what is stated of each, in the order in which they were opened."""

from dataclasses import dataclass
from pathlib import Path

from appliance.writing.clip_files import (
    DRAFT_SUFFIX,
    GROWING_SUFFIX,
    UNREADABLE_SUFFIX,
    ClipFiles,
    clips_with,
    read_manifest,
)
from evidence.manifest import Manifest


@dataclass(frozen=True)
class LeftClip:
    """One of them; `stated` is its manifest where that is written already (`is_closing`), and so far its draft."""

    files: ClipFiles
    stated: Manifest
    is_closing: bool

    @property
    def is_known(self) -> bool:
        """Whether nothing has to be read back to close it."""
        return self.is_closing or self.stated.ciphertext_bytes > 0


@dataclass(frozen=True)
class Unclosed:
    """How many clips are still to be closed, and how many are kept for IT because nobody can close them."""

    closing: int
    kept: int


def unclosed_clips(folder: Path, *, growing: str | None) -> Unclosed:
    """Count them, `growing` among those that are still to be closed; raises OSError."""
    suffixes = (DRAFT_SUFFIX, GROWING_SUFFIX, UNREADABLE_SUFFIX)
    begun = {files.clip_id for suffix in suffixes for files in clips_with(folder, suffix)}
    closing = {left.files.clip_id for left in left_clips(folder, but=growing)} | ({growing} if growing else set())
    return Unclosed(closing=len(closing), kept=len(begun - closing))


def left_clips(folder: Path, *, but: str | None) -> list[LeftClip]:
    """Return them without `but`, the clip that grows; raises OSError where the folder cannot be read.

    What is stated of a clip tells their order: the time in its id may have jumped. One of which nothing can be read
    keeps no other waiting, so it is not among them.
    """
    clips = [clip for files in clips_with(folder, DRAFT_SUFFIX) if files.clip_id != but and (clip := _left(files))]
    return sorted(clips, key=lambda clip: clip.stated.sequence)


def _left(files: ClipFiles) -> LeftClip | None:
    try:
        is_closing = files.manifest.exists()
    except OSError:
        return None
    stated = read_manifest(files.manifest if is_closing else files.draft)
    return LeftClip(files, stated, is_closing) if stated else None
