"""One line of the fault log: which part, what was wrong with it, when, and how often; words from lists alone."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec


class What(StrEnum):
    """What can be wrong; the first nine are systemd's own words for how a service ended ($SERVICE_RESULT)."""

    EXIT_CODE = "exit-code"
    SIGNAL = "signal"
    CORE_DUMP = "core-dump"
    WATCHDOG = "watchdog"
    TIMEOUT = "timeout"
    OOM_KILL = "oom-kill"
    START_LIMIT = "start-limit-hit"
    PROTOCOL = "protocol"
    RESOURCES = "resources"
    FAILED = "failed"
    NOT_READY = "not-ready"
    LOST = "lost"
    FULL = "full"
    SLOW = "slow"
    OOPS = "oops"
    RESTARTED = "restarted"
    OTHER = "other"

    @classmethod
    def named(cls, text: str) -> "What":
        """Return what has this name; a word that is in no list is kept as OTHER."""
        try:
            return cls(text)
        except ValueError:
            return cls.OTHER


PARTS = ("camera", "storage", "touch", "display", "microphone", "kernel", "machine", "update")
SERVICE_PATTERN = "mirrorcam-[a-z]{1,16}"
# No clip id has the form of any of these, and no person's name.
Part = Annotated[str, msgspec.Meta(pattern=rf"^({SERVICE_PATTERN}|{'|'.join(PARTS)})$")]
# An exit code, or a signal by its name.
Status = Annotated[str, msgspec.Meta(pattern=r"^([0-9]{1,3}|[A-Z]{2,6}[0-9]?)?$")]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault, as often as it came in one start of the unit (`boot`); `first` and `last` by the unit's own clock."""

    first: datetime
    last: datetime
    boot: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f-]{36}$")]
    part: Part
    what: What
    status: Status = ""
    times: Annotated[int, msgspec.Meta(ge=1)] = 1

    def is_same(self, other: "Fault") -> bool:
        """Whether the other one is this fault again."""
        return (self.boot, self.part, self.what, self.status) == (other.boot, other.part, other.what, other.status)
