"""A dock that dies while it deletes: at whatever line, the next run finishes, and a hold set in between still wins."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from types import FrameType

import pytest

from dock_station import custody, vault
from dock_station.catalogue import alarms, clips, deletions, entries, holds
from dock_station.catalogue.clips import Clip
from dock_station.clock import ClockWatch
from dock_station.dock import Dock
from dock_station.retention import deletion
from dock_station.retention.deletion import Deleter, Outcome
from dock_station.retention.worker import RetentionWorker, Run
from dock_station.settings import DockFolder
from dock_station.vault import VaultMissingError
from evidence import durable
from tests.pki import policy_toml, write_policy
from tests.stored import DAY, StoredDock

SURVIVED, DIED, FAILED = 0, 9, 1
TRACED = {module.__file__ for module in (deletion, deletions, vault)}


def run(stored: StoredDock, folder: Path) -> Run:
    dock = Dock.open(DockFolder(folder), stored.time.now)
    try:
        return RetentionWorker(dock, stored.watch()).run()
    finally:
        dock.close()


def dying_at(line: int, work: Callable[[], object]) -> int:
    """Do `work` in a process that ends without a word at the `line`-th line that it runs in the traced modules."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., object] | None:
        nonlocal seen
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            seen += 1
            if seen == line:
                os._exit(DIED)
        return trace

    try:
        sys.settrace(trace)  # type: ignore[arg-type]
        work()
        os._exit(SURVIVED)
    except BaseException:
        os._exit(FAILED)


def test_a_death_at_any_line_is_finished_by_the_next_run(tmp_path: Path) -> None:
    stored = StoredDock(tmp_path / "dock")
    due, young = stored.store(age=31 * DAY), stored.store(age=DAY)
    stored.dock.close()
    seen_after_death = set()
    line = 0
    while True:
        line += 1
        folder = tmp_path / f"line-{line}"
        shutil.copytree(stored.path, folder)
        ended = dying_at(line, lambda folder=folder: run(stored, folder))  # type: ignore[misc]
        assert ended != FAILED
        seen_after_death.add(_state(folder, due))
        run(stored, folder)
        _is_deleted_once_and_for_all(stored, folder, due)
        assert len(list(folder.glob(f"vault/{young.vault_key}*"))) == 3
        shutil.rmtree(folder)
        if ended == SURVIVED:
            break
    assert line > 40, "it must have died at very many lines"
    # Files, intent, record: all states that the contract allows were met, and no other.
    assert seen_after_death == {
        (3, False, False), (3, True, False), (2, True, False), (1, True, False), (0, True, False), (0, True, True),
    }  # fmt: skip


def _state(folder: Path, clip: Clip) -> tuple[int, bool, bool]:
    dock = Dock.open(DockFolder(folder))
    with dock.catalogue.reading() as connection:
        record = deletions.find(connection, clip.clip_id)
    dock.close()
    files = len(list(folder.glob(f"vault/{clip.vault_key}*")))
    return files, record is not None, bool(record and record.deleted_at)


def _is_deleted_once_and_for_all(stored: StoredDock, folder: Path, clip: Clip) -> None:
    dock = Dock.open(DockFolder(folder), stored.time.now)
    with dock.catalogue.reading() as connection:
        assert custody.check(connection, dock.authority(), "dock-1")
        actions = [entry.action for entry in entries.of_subject(connection, f"clip:{clip.clip_id}")]
        record, row = deletions.find(connection, clip.clip_id), clips.find(connection, clip.clip_id)
    dock.close()
    assert actions == ["clip-deletion-intended", "clip-deleted"]
    assert record
    assert row
    assert record.deleted_at == row.deleted_at is not None
    assert list(folder.glob(f"vault/{clip.vault_key}*")) == []


@pytest.fixture
def stored(tmp_path: Path) -> StoredDock:
    return StoredDock(tmp_path / "dock")


def hold(stored: StoredDock, clip: Clip) -> None:
    with stored.dock.catalogue.writing() as connection:
        holds.set_hold(
            connection,
            clip.clip_id,
            case_number="2026/17",
            reason="evidence",
            review_on=date(2027, 1, 1),
            set_by="person:a-example",
            at=stored.time.now(),
        )


def last_entry(stored: StoredDock, clip: Clip) -> entries.Entry:
    with stored.dock.catalogue.reading() as connection:
        return entries.of_subject(connection, f"clip:{clip.clip_id}")[-1]


def test_a_clip_held_between_the_intent_and_the_removal_is_kept(stored: StoredDock) -> None:
    clip, policy = stored.store(age=31 * DAY), stored.dock.policy().policy
    deleter = Deleter(stored.dock, stored.watch())
    assert deleter.intend(clip.clip_id, policy) is None
    hold(stored, clip)
    assert deleter.finish(clip.clip_id, policy) is Outcome.KEPT
    assert len(stored.files_of(clip)) == 3
    assert stored.find(clip).deleted_at is None
    assert last_entry(stored, clip).action == "clip-deletion-withdrawn"
    with stored.dock.catalogue.reading() as connection:
        assert deletions.find(connection, clip.clip_id) is None


def test_after_its_hold_is_released_a_withdrawn_clip_is_deleted_after_all(stored: StoredDock) -> None:
    clip, policy = stored.store(age=31 * DAY), stored.dock.policy().policy
    deleter = Deleter(stored.dock, stored.watch())
    deleter.intend(clip.clip_id, policy)
    hold(stored, clip)
    deleter.finish(clip.clip_id, policy)
    with stored.dock.catalogue.writing() as connection:
        holds.release(connection, 1, released_by="person:b-example", reason="closed", at=stored.time.now())
    assert RetentionWorker(stored.dock, stored.watch()).run().deleted == (clip.clip_id,)
    assert stored.files_of(clip) == []


def test_a_policy_that_became_longer_between_intent_and_removal_keeps_the_clip(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    Deleter(stored.dock, stored.watch()).intend(clip.clip_id, stored.dock.policy().policy)
    write_policy(stored.folder, stored.pki, policy_toml(days=60, low=60))
    assert RetentionWorker(stored.dock, stored.watch()).run().kept == (clip.clip_id,)
    assert len(stored.files_of(clip)) == 3


def test_a_clock_that_jumps_between_intent_and_removal_stops_the_removal(stored: StoredDock) -> None:
    clip, policy = stored.store(age=31 * DAY), stored.dock.policy().policy
    watch = ClockWatch(stored.time.read)
    deleter = Deleter(stored.dock, watch)
    deleter.intend(clip.clip_id, policy)
    stored.time.jump(timedelta(minutes=3))
    assert deleter.finish(clip.clip_id, policy) is Outcome.CLOCK_IN_DOUBT
    assert len(stored.files_of(clip)) == 3


def test_a_hold_that_came_when_the_sealed_file_was_gone_already_is_told_and_recorded(stored: StoredDock) -> None:
    clip, policy = stored.store(age=31 * DAY), stored.dock.policy().policy
    Deleter(stored.dock, stored.watch()).intend(clip.clip_id, policy)
    stored.dock.vault.sealed_file(clip.vault_key).unlink()  # as after a death in the middle of the removal
    hold(stored, clip)
    assert RetentionWorker(stored.dock, stored.watch()).run().deleted == (clip.clip_id,)
    assert json.loads(last_entry(stored, clip).details)["sealed_file_was_there"] is False
    with stored.dock.catalogue.reading() as connection:
        (alarm,) = alarms.still_open(connection)
    assert alarm.kind == alarms.HELD_TOO_LATE
    assert clip.clip_id in alarm.sentence


@contextmanager
def without_its_disk(stored: StoredDock) -> Iterator[None]:
    """Take the vault's disk away, so that only the mount point is there, which must still be empty at the end."""
    disk = stored.path / "disk"
    stored.folder.vault.rename(disk)
    stored.folder.vault.mkdir()
    yield
    stored.folder.vault.rmdir()
    disk.rename(stored.folder.vault)


def test_a_clip_on_a_disk_that_went_is_not_recorded_as_deleted_and_goes_when_it_is_back(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    with without_its_disk(stored):
        done = RetentionWorker(stored.dock, stored.watch()).run()
        assert (done.deleted, len(done.failed)) == ((), 1)
        assert "the vault is not there" in done.failed[0]
        with stored.dock.catalogue.reading() as connection:
            assert [alarm.kind for alarm in alarms.still_open(connection)] == [alarms.DELETION_FAILED]
            assert deletions.unfinished(connection) == []
    assert run(stored, stored.path).deleted == (clip.clip_id,)
    assert stored.files_of(clip) == []


def test_a_clip_that_was_lost_before_it_was_due_is_recorded_as_deleted_and_its_file_as_not_there(
    stored: StoredDock,
) -> None:
    clip = stored.store(age=31 * DAY)
    stored.dock.vault.sealed_file(clip.vault_key).unlink()
    assert run(stored, stored.path).deleted == (clip.clip_id,)
    assert json.loads(last_entry(stored, clip).details)["sealed_file_was_there"] is False


def test_a_dock_whose_vaults_disk_is_not_mounted_does_not_open_and_makes_no_vault_in_its_place(
    stored: StoredDock,
) -> None:
    clip = stored.store()
    with without_its_disk(stored), pytest.raises(VaultMissingError, match="see that its disk is mounted"):
        Dock.open(stored.folder, stored.time.now)
    with closing(Dock.open(stored.folder, stored.time.now)):
        assert len(stored.files_of(clip)) == 3


def test_the_folder_is_synced_before_the_record_says_that_the_files_are_gone(
    stored: StoredDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = stored.store(age=31 * DAY)
    order: list[str] = []
    really_sync, really_finish = durable.sync_folder, deletions.finish

    def sync_folder(path: Path) -> None:
        order.append("sync")
        really_sync(path)

    def finish(*arguments: object) -> None:
        order.append(f"record, {len(stored.files_of(clip))} files left")
        really_finish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(vault, "sync_folder", sync_folder)
    monkeypatch.setattr(deletions, "finish", finish)
    RetentionWorker(stored.dock, stored.watch()).run()
    assert order == ["sync", "record, 0 files left"]
