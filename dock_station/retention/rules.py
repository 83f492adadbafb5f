"""Retention's decisions: from when on and until when a clip is kept, and which clips are due."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dock_station.catalogue.clips import Clip
from evidence.policy import Policy


@dataclass(frozen=True)
class Due:
    """A clip whose time is over, and since when."""

    clip: Clip
    due_at: datetime


def retained_from(
    *,
    started_at: datetime,
    clock_error_seconds: float | None,
    received_at: datetime,
    previous_started_at: datetime | None,
) -> datetime:
    """Return the latest moment at which a clip can have been recorded: its time to be kept runs from there.

    That is when it says it started, plus its clock's error, where that can be believed. Where the unit did not know its
    clock's error, or the clip claims to be from the future or older than the clip before it, it is the moment at which
    the dock received it, for no clip may go early because of a wrong clock.
    """
    if clock_error_seconds is None or (previous_started_at is not None and started_at < previous_started_at):
        return received_at
    try:
        return min(started_at + timedelta(seconds=clock_error_seconds), received_at)
    except OverflowError:
        return received_at


def due_at(start: datetime, policy: Policy) -> datetime:
    """Return when the time of a clip is over that is retained from `start`, under the policy in force."""
    return start + timedelta(days=policy.retention_days)


def due_now(clips: Iterable[Clip], held: frozenset[str], policy: Policy, now: datetime) -> list[Due]:
    """Return the clips to be deleted, the longest due first.

    A held clip is never among them. What was promised when a clip came in is kept, within the minimum and the maximum
    of the policy that is in force now.
    """
    due = []
    for clip in clips:
        if clip.deleted_at is not None or clip.clip_id in held:
            continue
        earliest = clip.retained_from + timedelta(days=policy.retention_min_days)
        latest = clip.retained_from + timedelta(days=policy.retention_max_days)
        over_at = min(max(clip.due_at, earliest), latest)
        if over_at <= now:
            due.append(Due(clip, over_at))
    return sorted(due, key=lambda each: (each.due_at, each.clip.clip_id))
