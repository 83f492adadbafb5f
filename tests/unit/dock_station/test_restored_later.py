"""A dock is restored after something has happened to it or to its vault: what it had taken in is there, and counts."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dock_station import decisions
from dock_station.backup.making import Made, make_backup
from dock_station.backup.restoring import Restored, restore
from dock_station.catalogue import alarms
from dock_station.clock import ClockWatch, utc_now
from dock_station.commands.backups import bring_back
from dock_station.dock import Dock
from dock_station.enrolment.desk import Desk, RequestDroppedError
from dock_station.retention.worker import RetentionWorker
from dock_station.settings import DockFolder
from evidence.certificates import load_certificate
from tests.dock import RunningDock, SealedClip, just_started, running, set_up
from tests.newcomers import Newcomer
from tests.pki import Pki

ACTOR = "shell:test"


@dataclass
class Hall:
    """A dock at work that has one clip, and where it may be restored to."""

    dock: RunningDock
    clip: SealedClip
    path: Path

    @property
    def folder(self) -> DockFolder:
        return self.dock.dock.folder

    @property
    def new(self) -> DockFolder:
        return DockFolder(self.path / "new")

    def back_up(self) -> Made:
        return make_backup(self.dock.dock, self.path / "backup.tar", actor=ACTOR, with_clips=True)

    def restore(self) -> Restored:
        return restore(self.path / "backup.tar", self.new, actor=ACTOR)


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    pki = Pki()
    folder = set_up(tmp_path / "dock", pki)
    folder.session_key_file.touch(mode=0o600)
    folder.keyslots.mkdir()
    with running(folder, pki) as dock:
        camera, unit = dock.unit()
        clip = camera.clip(5000)
        dock.receipt(unit.bring(clip))
        yield Hall(dock, clip, tmp_path)


def test_what_a_dock_had_taken_in_before_it_was_revoked_counts_as_it_did(hall: Hall) -> None:
    for certificate in (hall.folder.tls_certificate(), load_certificate(hall.folder.signer_certificate_file)):
        hall.dock.pki.revoke(certificate)
    hall.folder.revocations_file.write_bytes(hall.dock.pki.revocations_pem())
    made = hall.back_up()
    restored = hall.restore()
    assert (restored.clips, restored.missing, restored.entries) == (1, (), made.entries + 1)


@pytest.mark.parametrize("suffix", [".mp4.age", ".json", ".json.sig"])
@pytest.mark.parametrize("damage", ["one bit", "cut"])
def test_a_file_that_was_damaged_in_a_vault_that_survived_is_replaced_and_named(
    hall: Hall, suffix: str, damage: str
) -> None:
    hall.back_up()
    shutil.copytree(hall.folder.vault, hall.new.vault)
    damaged = hall.new.vault / f"clips/{hall.clip.clip_id}{suffix}"
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1] if damage == "cut" else good[:-1] + bytes([good[-1] ^ 1]))
    restored = hall.restore()
    assert damaged.read_bytes() == good
    assert restored.missing == ()
    (sentence,) = restored.replaced
    assert sentence.startswith(f"{damaged} was changed or cut, or cannot be read")


def test_a_restore_that_replaces_a_file_says_so_and_ends_well(hall: Hall) -> None:
    hall.back_up()
    shutil.copytree(hall.folder.vault, hall.new.vault)
    (hall.new.vault / f"clips/{hall.clip.clip_id}.mp4.age").write_bytes(b"")
    app = typer.Typer()
    app.command()(bring_back)
    done = CliRunner().invoke(app, [str(hall.path / "backup.tar"), "--folder", str(hall.new.path)])
    assert done.exit_code == 0, done.output
    assert "the backup's copy has replaced it" in done.stdout
    assert "All 1 clips are in the vault." in done.stdout


def test_a_hold_that_was_set_after_the_backup_can_be_set_again_before_anything_is_deleted(hall: Hall) -> None:
    hall.back_up()
    hall.restore()
    later = utc_now() + timedelta(days=40)
    with closing(Dock.open(hall.new, lambda: later, just_started)) as dock:
        with dock.catalogue.writing() as connection:
            dock.custody.watch_clock(connection)
        decisions.vouch_for_clock(dock, actor=ACTOR, reason="compared")
        work = RetentionWorker(dock, ClockWatch())
        assert "was set back to its backup" in str(work.run().stopped)
        decisions.hold(
            dock, hall.clip.clip_id, actor=ACTOR, case_number="C-1", reason="again", review_on=date(2030, 1, 1)
        )
        with dock.catalogue.reading() as connection:
            (alarm,) = alarms.still_open(connection)
        decisions.clear_alarm(dock, alarm.alarm_id, actor=ACTOR, reason="holds are set again")
        done = work.run()
        assert (done.stopped, done.deleted) == (None, ())
    assert (hall.new.vault / f"clips/{hall.clip.clip_id}.mp4.age").exists()


def test_who_was_confirmed_and_had_no_certificate_yet_needs_somebodys_word_again(hall: Hall) -> None:
    dock, unit = hall.dock.dock, Newcomer()
    dock.folder.enrolment.prepare()
    with dock.folder.enrolment.opened():
        unit.ask(Desk(dock))
        Desk(dock).confirm(unit.code(dock), "unit-09", actor=ACTOR)
    hall.back_up()
    hall.restore()
    files = hall.new.enrolment
    files.prepare()
    with closing(Dock.open(hall.new)) as restored, files.opened():
        desk = Desk(restored)
        with pytest.raises(RequestDroppedError):
            desk.standing(unit.request_id)
        unit.ask(desk)
        assert desk.standing(unit.request_id).issued is None
        assert len(desk.waiting()) == 1
        assert files.unanswered() == []
