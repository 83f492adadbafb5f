"""What a shutdown left undone, as the next start finds it: which clips, what is left of each, and when it broke off."""

from dataclasses import dataclass
from enum import StrEnum

from appliance.writing.clip_files import ClipFiles, grown_bytes, read_manifest

KEPT = "what was recorded is kept: have IT look at this unit."


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
    """Something that was left undone, and one sentence on it."""

    clip_id: str
    remains: Remains
    what: str
    broken_off: BrokenOff | None = None


def look_at(files: ClipFiles) -> Recovered:
    """Return what is left of a clip that has a draft; nothing is changed."""
    try:
        is_closing = files.manifest.exists()
        is_empty = not is_closing and not grown_bytes(files)
    except OSError as error:
        return Recovered(files.clip_id, Remains.DAMAGED, not_given_back(error))
    if is_empty:
        what = "Power was lost before anything of it was recorded."
        return Recovered(files.clip_id, Remains.NOTHING, what, broken_off(files))
    stated = read_manifest(files.manifest if is_closing else files.draft)
    if stated is None:
        return Recovered(files.clip_id, Remains.DAMAGED, f"What is known of it is damaged; {KEPT}")
    if is_closing or stated.complete:
        return Recovered(files.clip_id, Remains.WHOLE, "Only its closing was left to do.")
    what = "Its end is missing; everything before it is kept."
    return Recovered(files.clip_id, Remains.CUT, what, broken_off(files))


def broken_off(files: ClipFiles) -> BrokenOff | None:
    """Return when the clip of a draft broke off; None where it was ended, or nobody can tell."""
    draft = read_manifest(files.draft)
    if draft is None or draft.ended_by != "power-lost":
        return None
    try:
        grew_for = files.growing.stat().st_mtime - files.draft.stat().st_mtime
    except OSError:
        return None
    return BrokenOff(draft.boot_id, draft.started_monotonic_seconds + max(0.0, grew_for))


def not_given_back(error: OSError) -> str:
    """Say of a clip that the medium does not give it back, and why."""
    return f"The storage does not give it back ({error.strerror or error}); {KEPT}"
