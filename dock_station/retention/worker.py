"""The retention worker: looks every few minutes for what is due, and stops at the first doubt about the clock."""

import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.schedulers.blocking import BlockingScheduler
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from dock_station import kept_head
from dock_station.bays.uploads import Uploads
from dock_station.catalogue import alarms, clips, deletions, entries, holds
from dock_station.catalogue.database import CatalogueFailsError
from dock_station.clock import LONGEST_SILENCE, ClockWatch
from dock_station.dock import Dock
from dock_station.retention.deletion import Deleter, DeletionFailedError, Outcome
from dock_station.retention.rules import due_now
from evidence.errors import MirrorcamError
from evidence.policy import Policy
from evidence.supervisor import Supervisor

log = structlog.get_logger()

# The dock says in its custody log that it runs: well within the silence after which its clock is not believed.
ALIVE_EVERY = LONGEST_SILENCE / 2
# An upload that expired so long ago is at rest: the process of the bays, which has its own turns, is not at it.
AT_REST_AFTER = timedelta(days=1)
CLOCK_LOOK_SECONDS = 10
BEAT_SECONDS = 5
NOBODY = Supervisor(None, None)  # where no service manager is


@dataclass(frozen=True)
class Run:
    """What one run did: clips by their ids, `failed` with the sentence; `stopped` says why nothing more was done."""

    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    stopped: str | None = None


class RetentionWorker:
    """What carries retention out.

    Contract: a run deletes what is due and not held and nothing else, first what an earlier run has left undone, and
    nothing where the custody log is not the one that it left. It never raises for what is wrong with the dock: it
    deletes nothing, raises an alarm, and ends with the reason.
    """

    def __init__(self, dock: Dock, watch: ClockWatch) -> None:
        self._dock = dock
        self._deleter = Deleter(dock, watch)
        self._subject = f"dock:{dock.settings.dock_id}"

    def run(self) -> Run:
        """Run once."""
        try:
            done = self._run()
            with self._dock.catalogue.reading() as connection:
                kept_head.keep(self._dock.folder.custody_head_file, connection)
        except SQLAlchemyError as error:
            done = self._stopped(str(CatalogueFailsError(error)))
        except MirrorcamError as error:
            done = self._stopped(str(error))
        except OSError as error:
            done = self._stopped(f"The system refused: {error.strerror or error}; have IT look at the vault's disk.")
        if done.stopped:
            log.error("retention_stopped", reason=done.stopped)
        log.info("retention_run", deleted=len(done.deleted), kept=len(done.kept), failed=len(done.failed))
        return done

    def _run(self) -> Run:
        with self._dock.catalogue.writing() as connection:
            trusted = self._deleter.clock_is_trusted(connection)
            self._say_alive(connection)
        with self._dock.catalogue.reading() as connection:
            kept_head.require(self._dock.folder.custody_head_file, connection)
        if not trusted:
            return Run(stopped=self._clock_sentence())
        policy = self._dock.policy().policy
        with self._dock.catalogue.reading() as connection:
            set_back = alarms.find_open(connection, alarms.SET_BACK, self._subject)
            begun = [deletion.clip_id for deletion in deletions.unfinished(connection)]
            kept, held = clips.kept(connection), holds.held_clips(connection)
        if set_back:
            return Run(stopped=set_back.sentence)
        due = [each.clip.clip_id for each in due_now(kept, held, policy, self._dock.clock())]
        done = self._delete(dict.fromkeys([*begun, *due]), frozenset(begun), policy)
        if done.stopped is None:
            self._expire_uploads()
            self._clear(alarms.RETENTION_STOPPED, self._subject)
        return done

    def _delete(self, wanted: Iterable[str], begun: frozenset[str], policy: Policy) -> Run:
        deleted: list[str] = []
        kept: list[str] = []
        failed: list[str] = []
        for clip_id in wanted:
            try:
                outcome = None if clip_id in begun else self._deleter.intend(clip_id, policy)
                outcome = outcome or self._deleter.finish(clip_id, policy)
            except DeletionFailedError as error:
                failed.append(str(error))
                self._raise_failed(clip_id, str(error))
                continue
            if outcome is Outcome.CLOCK_IN_DOUBT:
                return Run(tuple(deleted), tuple(kept), tuple(failed), self._clock_sentence())
            (deleted if outcome is Outcome.DELETED else kept).append(clip_id)
            self._clear(alarms.DELETION_FAILED, f"clip:{clip_id}")
        return Run(tuple(deleted), tuple(kept), tuple(failed))

    def _expire_uploads(self) -> None:
        past = Uploads(
            catalogue=self._dock.catalogue, vault=self._dock.vault, clock=lambda: self._dock.clock() - AT_REST_AFTER
        )
        past.expire()

    def _say_alive(self, connection: Connection) -> None:
        newest = entries.newest(connection)
        if newest is None or self._dock.clock() - newest.at >= ALIVE_EVERY:
            self._dock.custody.append(connection, actor="dock", action="dock-alive", subject=self._subject)

    def _clock_sentence(self) -> str:
        with self._dock.catalogue.reading() as connection:
            alarm = alarms.find_open(connection, alarms.CLOCK_JUMPED, self._subject)
        return alarm.sentence if alarm else "The dock's clock was in doubt a moment ago; the next run goes on."

    def _stopped(self, sentence: str) -> Run:
        with contextlib.suppress(MirrorcamError, SQLAlchemyError):  # it may be the catalogue itself that fails
            self._raise(alarms.RETENTION_STOPPED, self._subject, f"Nothing is deleted: {sentence}")
        return Run(stopped=sentence)

    def _raise_failed(self, clip_id: str, sentence: str) -> None:
        log.error("clip_deletion_failed", clip_id=clip_id, reason=sentence)
        self._raise(alarms.DELETION_FAILED, f"clip:{clip_id}", sentence)

    def _raise(self, kind: str, subject: str, sentence: str) -> None:
        with self._dock.catalogue.writing() as connection:
            alarms.raise_alarm(connection, kind=kind, subject=subject, sentence=sentence, at=self._dock.clock())

    def _clear(self, kind: str, subject: str) -> None:
        with self._dock.catalogue.writing() as connection:
            alarm = alarms.find_open(connection, kind, subject)
            if alarm:
                alarms.clear(connection, alarm.alarm_id, cleared_by="dock", at=self._dock.clock())


def run_every(
    worker: RetentionWorker,
    watch: ClockWatch,
    interval: timedelta,
    stop: threading.Event,
    supervisor: Supervisor = NOBODY,
) -> None:
    """Run the worker now and then every `interval`, until `stop` is set.

    The scheduler plans by the wall clock: were it set back by a day, nothing would run for a day. So another thread
    looks at the clock, and has the worker run at once when it has jumped. Signs of life are a job as the worker's runs
    are: they stop when the scheduler plans nothing more, or has nobody to do it.
    """
    scheduler = BlockingScheduler(timezone=UTC)
    plan = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None, "next_run_time": datetime.now(UTC)}
    job = scheduler.add_job(worker.run, "interval", seconds=interval.total_seconds(), **plan)
    beat = scheduler.add_job(supervisor.alive, "interval", seconds=BEAT_SECONDS, **plan)

    def look() -> None:
        supervisor.ready()
        while not stop.wait(CLOCK_LOOK_SECONDS):
            if watch.jumped():
                for each in (job, beat):
                    each.modify(next_run_time=datetime.now(UTC))
        supervisor.stopping()
        scheduler.shutdown(wait=True)

    looker = threading.Thread(target=look, name="clock watch")
    scheduler.add_listener(lambda _started: looker.start(), EVENT_SCHEDULER_STARTED)
    scheduler.start()
    looker.join()
