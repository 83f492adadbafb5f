"""The retention worker: what it deletes, what it keeps, and every doubt at which it stops."""

import json
import sqlite3
import threading
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from dock_station import custody, decisions
from dock_station.bays.uploads import KEPT_FOR, NotUploadedError, UploadGoneError, Uploads
from dock_station.catalogue import alarms, deletions, entries, holds
from dock_station.catalogue import uploads as upload_rows
from dock_station.catalogue.clips import Clip
from dock_station.doctor import findings
from dock_station.retention.worker import RetentionWorker, run_every
from tests.pki import policy_toml, write_policy
from tests.stored import DAY, StoredDock


@pytest.fixture
def stored(tmp_path: Path) -> StoredDock:
    return StoredDock(tmp_path / "dock")


def worker(stored: StoredDock) -> RetentionWorker:
    return RetentionWorker(stored.dock, stored.watch())


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


def open_alarms(stored: StoredDock) -> list[str]:
    with stored.dock.catalogue.reading() as connection:
        return [alarm.kind for alarm in alarms.still_open(connection)]


def actions(stored: StoredDock) -> list[str]:
    with stored.dock.catalogue.reading() as connection:
        return [entry.action for entry in entries.all_in_order(connection)]


def live(stored: StoredDock, days: int, work: RetentionWorker) -> None:
    """Let days pass as a running dock sees them: with a run each day."""
    for _ in range(days):
        stored.time.pass_(DAY)
        work.run()


def test_a_clip_whose_time_is_over_is_gone_with_a_record_and_an_entry(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    assert len(stored.files_of(clip)) == 3
    done = worker(stored).run()
    assert done.deleted == (clip.clip_id,)
    assert stored.files_of(clip) == []
    assert stored.find(clip).deleted_at == stored.time.now()
    with stored.dock.catalogue.reading() as connection:
        record = deletions.find(connection, clip.clip_id)
        trail = entries.of_subject(connection, f"clip:{clip.clip_id}")
        assert custody.check(connection, stored.dock.authority(), "dock-1")
    assert record
    assert (record.deleted_at, record.ciphertext_sha256) == (stored.time.now(), clip.ciphertext_sha256)
    assert [entry.action for entry in trail] == ["clip-deletion-intended", "clip-deleted"]
    assert json.loads(trail[-1].details)["manifest_sha256"] == clip.manifest_sha256


def test_a_clip_that_is_not_due_stays_to_the_day(stored: StoredDock) -> None:
    clip, work = stored.store(), worker(stored)
    live(stored, 29, work)
    assert len(stored.files_of(clip)) == 3
    live(stored, 1, work)
    assert stored.files_of(clip) == []


def test_a_held_clip_stays_however_old_it_is(stored: StoredDock) -> None:
    clip = stored.store(age=3000 * DAY)
    hold(stored, clip)
    assert worker(stored).run().deleted == ()
    assert len(stored.files_of(clip)) == 3


def test_a_hold_that_was_taken_out_of_the_database_keeps_its_clip_all_the_same(stored: StoredDock) -> None:
    clip, other = stored.store(age=3000 * DAY), stored.store(age=31 * DAY)
    decisions.hold(
        stored.dock, clip.clip_id, actor="person:a-example", case_number="1", reason="x", review_on=date(2030, 1, 1)
    )
    with stored.dock.catalogue.writing() as connection:
        holds.release(connection, 1, released_by="person:b-example", reason="none", at=stored.time.now())
    work = worker(stored)
    for _ in range(2):
        work.run()
        assert open_alarms(stored) == [alarms.HOLD_LOST]
    assert len(stored.files_of(clip)) == 3
    assert stored.files_of(other) == []
    assert any("disagree whether it is held" in sentence for sentence in findings(stored.folder, stored.time.now))


def test_a_custody_log_whose_end_was_cut_off_is_broken_and_stops_retention(stored: StoredDock) -> None:
    clip, work = stored.accept(age=31 * DAY), worker(stored)
    live(stored, 1, work)
    kept = stored.folder.custody_head_file.read_bytes()
    with closing(sqlite3.connect(stored.path / "catalogue.sqlite3")) as database:
        database.executescript(
            "DROP TRIGGER custody_entries_no_DELETE; "
            "DELETE FROM custody_entries WHERE number = (SELECT max(number) FROM custody_entries)"
        )
    with stored.dock.catalogue.reading() as connection:
        assert custody.check(connection, stored.dock.authority(), "dock-1"), "what is left is good"
    later = stored.accept(age=31 * DAY)  # an entry under the same number
    assert "call the auditor" in str(work.run().stopped)
    assert open_alarms(stored) == [alarms.RETENTION_STOPPED]
    assert len(stored.files_of(later)) == 3
    assert stored.files_of(clip) == []
    assert any("custody-head.json" in sentence for sentence in findings(stored.folder, stored.time.now))
    assert stored.folder.custody_head_file.read_bytes() == kept


def test_a_wall_clock_that_jumps_forward_deletes_nothing_until_a_person_vouches(stored: StoredDock) -> None:
    clip, work = stored.store(), worker(stored)
    work.run()
    stored.time.jump(300 * DAY)
    done = work.run()
    assert done.deleted == ()
    assert done.stopped
    assert "cannot be believed" in done.stopped
    assert open_alarms(stored) == [alarms.CLOCK_JUMPED]
    assert work.run().stopped, "it stays stopped while the alarm is open"
    stored.time.jump(-300 * DAY)
    with stored.dock.catalogue.writing() as connection:
        assert stored.dock.custody.vouch_for_clock(connection, actor="shell:root", reason="set again")
    assert work.run().stopped is None
    assert len(stored.files_of(clip)) == 3


@pytest.mark.parametrize("hours", [-24 * 40, -1, 1, 24])
def test_a_jump_while_it_runs_is_seen_even_where_the_custody_log_cannot_tell(stored: StoredDock, hours: int) -> None:
    clip, work = stored.store(age=30 * DAY - timedelta(minutes=30)), worker(stored)
    work.run()
    stored.time.jump(timedelta(hours=hours))
    assert "cannot be believed, it jumped" in str(work.run().stopped)
    assert len(stored.files_of(clip)) == 3


def test_many_small_jumps_count_as_one(stored: StoredDock) -> None:
    work = worker(stored)
    for _ in range(2):
        assert work.run().stopped is None
        stored.time.jump(timedelta(seconds=70))
    assert work.run().stopped


def test_a_clock_set_back_while_the_worker_was_off_is_seen_by_the_custody_log(stored: StoredDock) -> None:
    worker(stored).run()
    stored.time.jump(timedelta(hours=-3))
    assert "behind the newest entry" in str(worker(stored).run().stopped)


def test_a_dock_that_was_silent_for_long_waits_for_a_person(stored: StoredDock) -> None:
    clip = stored.store()
    worker(stored).run()
    stored.time.jump(60 * DAY)
    assert "ahead of the newest entry" in str(worker(stored).run().stopped)
    assert len(stored.files_of(clip)) == 3


def test_a_dock_that_runs_says_so_once_a_day_and_so_its_clock_stays_believed(stored: StoredDock) -> None:
    work = worker(stored)
    for _ in range(24 * 6 * 10):
        stored.time.pass_(timedelta(minutes=10))
        assert work.run().stopped is None
    assert actions(stored).count("dock-alive") == 10


@pytest.mark.parametrize("spoil", ["remove", "change"])
def test_without_a_good_policy_nothing_is_deleted_and_an_alarm_says_so_until_it_is_back(
    stored: StoredDock, spoil: str
) -> None:
    clip = stored.store(age=31 * DAY)
    if spoil == "remove":
        stored.folder.policy_file.unlink()
    else:
        stored.folder.policy_file.write_text(policy_toml(days=1))
    work = worker(stored)
    done = work.run()
    assert done.stopped
    assert len(stored.files_of(clip)) == 3
    assert open_alarms(stored) == [alarms.RETENTION_STOPPED]
    write_policy(stored.folder, stored.pki, policy_toml())
    assert work.run().deleted == (clip.clip_id,)
    assert open_alarms(stored) == []


def test_a_shorter_policy_does_not_break_what_was_promised_but_its_maximum_does(stored: StoredDock) -> None:
    clip = stored.store(age=20 * DAY)
    write_policy(stored.folder, stored.pki, policy_toml(days=5, high=25))
    work = worker(stored)
    assert work.run().deleted == ()
    live(stored, 5, work)
    assert stored.files_of(clip) == []


def test_one_clip_that_cannot_be_removed_does_not_keep_the_others(stored: StoredDock) -> None:
    stuck, free = stored.store(age=40 * DAY), stored.store(age=35 * DAY)
    sealed = stored.dock.vault.sealed_file(stuck.vault_key)
    sealed.unlink()
    sealed.mkdir()  # what cannot be unlinked, whoever runs this
    done = worker(stored).run()
    assert done.deleted == (free.clip_id,)
    assert stuck.clip_id in done.failed[0]
    assert open_alarms(stored) == [alarms.DELETION_FAILED]
    sealed.rmdir()
    assert worker(stored).run().deleted == (stuck.clip_id,)
    assert open_alarms(stored) == []


def test_a_clip_that_came_in_while_the_clock_was_in_doubt_is_kept_from_the_end_of_the_doubt_on(
    stored: StoredDock,
) -> None:
    before, work = stored.store(), worker(stored)
    work.run()
    stored.time.jump(-300 * DAY)
    clip = stored.accept()
    assert open_alarms(stored) == [alarms.CLOCK_JUMPED]
    stored.time.jump(300 * DAY)
    with stored.dock.catalogue.writing() as connection:
        stored.dock.custody.vouch_for_clock(connection, actor="shell:root", reason="set again")
    assert stored.find(clip).retained_from == stored.time.now()
    assert stored.find(clip).due_at == stored.time.now() + 30 * DAY
    assert stored.find(before) == before
    assert work.run().deleted == ()


def vouch(stored: StoredDock) -> None:
    with stored.dock.catalogue.writing() as connection:
        assert stored.dock.custody.vouch_for_clock(connection, actor="shell:root", reason="compared")


def test_a_clip_that_came_before_a_clock_that_had_stood_still_was_set_is_not_deleted_early(stored: StoredDock) -> None:
    before = stored.accept()
    stored.time.pass_(timedelta(hours=1))
    worker(stored).run()
    stored.time.start_again()  # after 31 days
    work, clip = worker(stored), stored.accept()
    live(stored, 3, work)  # nobody sees that it is wrong
    stored.time.jump(31 * DAY)
    assert "jumped forward" in str(work.run().stopped)
    vouch(stored)
    assert work.run().deleted == (before.clip_id,)
    assert stored.find(clip).retained_from == clip.retained_from + 31 * DAY
    live(stored, 26, work)
    assert len(stored.files_of(clip)) == 3


def test_what_came_while_the_clock_was_right_is_not_kept_longer_because_it_was_wrong_later(stored: StoredDock) -> None:
    work, clip = worker(stored), stored.accept()
    live(stored, 5, work)
    stored.time.jump(300 * DAY)
    work.run()
    stored.time.jump(-300 * DAY)
    vouch(stored)
    assert stored.find(clip) == clip


@pytest.mark.parametrize("days", [-400, 400])
def test_at_a_time_that_its_signers_certificate_does_not_know_nothing_is_written_that_would_break_the_log(
    stored: StoredDock, days: int
) -> None:
    clip, work = stored.accept(), worker(stored)
    work.run()
    stored.time.jump(days * DAY)
    for _ in range(2):
        assert "have IT set the clock right" in str(work.run().stopped)
    assert open_alarms(stored) == [alarms.RETENTION_STOPPED]
    with pytest.raises(custody.SignerNotValidError):
        stored.accept()
    stored.time.jump(-days * DAY)
    assert work.run().stopped is None
    assert open_alarms(stored) == []
    with stored.dock.catalogue.reading() as connection:
        custody.check(connection, stored.dock.authority(), "dock-1")
    assert len(stored.files_of(clip)) == 3


def test_an_upload_that_nobody_goes_on_with_is_thrown_away_a_day_after_its_time(stored: StoredDock) -> None:
    uploads = Uploads(catalogue=stored.dock.catalogue, vault=stored.dock.vault, clock=stored.time.now)
    upload, work = uploads.create("unit-1", "some-clip", length=5000, metadata=""), worker(stored)
    with stored.dock.vault.appending(upload.upload_id, 0) as received:
        received.write(memoryview(bytes(5000)))
    with stored.dock.catalogue.writing() as connection:
        upload_rows.acknowledge(connection, upload.upload_id, 5000, upload.expires_at)
    part = stored.folder.vault / "incoming" / f"{upload.upload_id}.part"
    live(stored, KEPT_FOR.days, work)
    with pytest.raises(UploadGoneError):
        uploads.status("unit-1", upload.upload_id)
    with pytest.raises(NotUploadedError), uploads.whole("unit-1", "some-clip"):
        pass
    assert part.exists(), "the bays may have just let go of it"
    live(stored, 1, work)
    assert not part.exists()


def test_the_scheduler_runs_at_once_and_ends_when_told(stored: StoredDock) -> None:
    clip, stop = stored.store(age=31 * DAY), threading.Event()
    watch = stored.watch()
    thread = threading.Thread(
        target=run_every, args=(RetentionWorker(stored.dock, watch), watch, timedelta(minutes=10), stop)
    )
    thread.start()
    gone = threading.Event()
    for _ in range(300):
        if not stored.files_of(clip):
            break
        gone.wait(0.1)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert stored.files_of(clip) == []
