"""What a shutdown left undone, as the next start finds it: which clips, what is left of each, and when it broke off."""

from dataclasses import dataclass
from enum import StrEnum

from appliance.writing.clip_files import ClipFiles, read_manifest

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
