"""Deleting one clip so that it is whole or gone, with the record of it, whatever happens in between."""

from enum import Enum, auto

import structlog
from sqlalchemy import Connection

from dock_station.catalogue import alarms, clips, deletions, holds
from dock_station.catalogue.clips import Clip
from dock_station.clock import ClockWatch
from dock_station.custody import holds_clip
from dock_station.dock import Dock
from dock_station.retention.rules import Due, due_now
from evidence.errors import EnvironmentalError
from evidence.policy import Policy

log = structlog.get_logger()

RETENTION_OVER = "retention-over"  # the only cause of a deletion without a person


class Outcome(Enum):
    """What became of a clip that was to be deleted."""

    DELETED = auto()
    KEPT = auto()
    CLOCK_IN_DOUBT = auto()


class DeletionFailedError(EnvironmentalError):
    """The vault's disk does not let a clip go."""

    def __init__(self, clip_id: str, reason: str) -> None:
        super().__init__(
            f"Clip {clip_id} is due and cannot be deleted ({reason}); it is tried again, have IT look at the vault."
        )


class Deleter:
    """What deletes clips whose time is over.

    Contract: before its first file goes, a clip has a durable intent; when its files are durably gone, it has a
    deletion record and an entry in the custody log. After a crash at any line `finish` brings to an end what was
    begun. Whether the clip is due and not held, and the clock believed, is decided anew in the transaction that removes
    the files, and no other writer comes in between: a clip that was held after the intent is kept.
    """

    def __init__(self, dock: Dock, watch: ClockWatch) -> None:
        self._dock = dock
        self._watch = watch
        self._was_in_doubt = False

    def clock_is_trusted(self, connection: Connection) -> bool:
        """Look at the clock, raise the alarm where it cannot be believed, and say whether it can."""
        custody = self._dock.custody
        if self._was_in_doubt:  # either it still is, or a person vouched for it as it is now
            self._watch.note()
        reason = self._watch.jumped()
        if reason:
            custody.distrust_clock(connection, reason)
        custody.watch_clock(connection)
        trusted = custody.clock_is_trusted(connection)
        self._was_in_doubt = not trusted
        return trusted

    def intend(self, clip_id: str, policy: Policy) -> Outcome | None:
        """Write down that the clip is going to be deleted; None where that stands now, else why it does not.

        Raises DeletionFailedError where the vault is not there: on a disk that is not mounted now its sealed file would
        come back when nobody deletes it any more. One that is missing in a vault that is there was lost before.
        """
        with self._dock.catalogue.writing() as connection:
            if not self.clock_is_trusted(connection):
                return Outcome.CLOCK_IN_DOUBT
            due = self._due(connection, clip_id, policy)
            if due is None:
                return Outcome.KEPT
            if deletions.find(connection, clip_id) is None:
                if not self._dock.vault.is_there:
                    raise DeletionFailedError(clip_id, "the vault is not there")
                deletions.intend(connection, due.clip, cause=RETENTION_OVER, due_at=due.due_at, at=self._dock.clock())
                self._note(connection, "clip-deletion-intended", due.clip, due_at=f"{due.due_at:%Y-%m-%dT%H:%M:%SZ}")
        return None

    def finish(self, clip_id: str, policy: Policy) -> Outcome:
        """Do what was intended, or withdraw it where the clip is not to go any more and is still there.

        Raises DeletionFailedError; the intent stands then, and is tried again.
        """
        with self._dock.catalogue.writing() as connection:
            if not self.clock_is_trusted(connection):
                return Outcome.CLOCK_IN_DOUBT
            deletion, clip = deletions.find(connection, clip_id), clips.find(connection, clip_id)
            if deletion is None or clip is None or deletion.deleted_at is not None:
                return Outcome.KEPT
            was_there = self._dock.vault.sealed_file(clip.vault_key).exists()
            if was_there and self._due(connection, clip_id, policy) is None:
                deletions.withdraw(connection, clip_id)
                self._note(connection, "clip-deletion-withdrawn", clip)
                return Outcome.KEPT
            self._remove(clip)
            self._record(connection, clip, was_there=was_there)
        log.info(
            "clip_deleted", clip_id=clip_id, bytes=clip.ciphertext_bytes, due_at=f"{deletion.due_at:%Y-%m-%dT%H:%M:%SZ}"
        )
        return Outcome.DELETED

    def _due(self, connection: Connection, clip_id: str, policy: Policy) -> Due | None:
        clip, now = clips.find(connection, clip_id), self._dock.clock()
        due = due_now([clip] if clip else [], holds.held_clips(connection), policy, now)
        if due and holds_clip(connection, clip_id):
            sentence = (
                f"Clip {clip_id} is due, and the catalogue has no hold of it, but the custody log has: it is kept; the "
                "catalogue was changed by hand, call the auditor."
            )
            alarms.raise_alarm(connection, kind=alarms.HOLD_LOST, subject=f"clip:{clip_id}", sentence=sentence, at=now)
            return None
        return due[0] if due else None

    def _remove(self, clip: Clip) -> None:
        try:
            self._dock.vault.delete(clip.vault_key)
        except OSError as error:
            raise DeletionFailedError(clip.clip_id, error.strerror or str(error)) from error

    def _record(self, connection: Connection, clip: Clip, *, was_there: bool) -> None:
        now = self._dock.clock()
        clips.mark_deleted(connection, clip.clip_id, now)
        deletions.finish(connection, clip.clip_id, now)
        self._note(
            connection,
            "clip-deleted",
            clip,
            cause=RETENTION_OVER,
            ciphertext_bytes=clip.ciphertext_bytes,
            ciphertext_sha256=clip.ciphertext_sha256,
            manifest_sha256=clip.manifest_sha256,
            sealed_file_was_there=was_there,
        )
        if holds.is_held(connection, clip.clip_id):
            sentence = (
                f"Clip {clip.clip_id} was held after its deletion had begun, when its sealed file was gone already: "
                "the hold came too late; tell who set it."
            )
            alarms.raise_alarm(
                connection, kind=alarms.HELD_TOO_LATE, subject=f"clip:{clip.clip_id}", sentence=sentence, at=now
            )

    def _note(self, connection: Connection, action: str, clip: Clip, **details: str | int | bool) -> None:
        self._dock.custody.append(
            connection, actor="dock", action=action, subject=f"clip:{clip.clip_id}", details=details
        )
