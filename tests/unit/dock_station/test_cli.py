"""The command `mirrorcam-dock` as its own processes: what each command does, prints, and ends with."""

import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.request import urlopen

import pytest

from dock_station import cli
from dock_station.catalogue import alarms, entries, units
from dock_station.catalogue.clips import Clip
from dock_station.commands.common import print_rows
from tests.pki import Pki, dock_folder
from tests.stored import DAY, StoredDock

MIRRORCAM_DOCK = Path(sys.executable).with_name("mirrorcam-dock")
PATIENCE = 30


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str | Path) -> Done:
    """Run the command in a process of its own, forked off: it need not import everything again."""
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        child = os.fork()
        if child == 0:
            os.environ.update(environment())
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["mirrorcam-dock", *map(str, arguments)]
            try:
                cli.main()
            except SystemExit as end:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(int(end.code or 0))
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(99)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        stdout.seek(0)
        stderr.seek(0)
        return Done(code, stdout.read(), stderr.read())


def call(*arguments: str | Path, folder: Path) -> Done:
    return command(*arguments, "--folder", folder)


@pytest.fixture
def stored(tmp_path: Path) -> StoredDock:
    stored = StoredDock(tmp_path / "dock")
    stored.folder.session_key_file.write_text("00" * 32)
    stored.folder.session_key_file.chmod(0o600)
    stored.folder.keyslots.mkdir()
    keyslot = stored.folder.keyslots / "a-example.age"
    keyslot.touch(mode=0o600)
    return stored


def good(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def refused(done: Done, code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, "one sentence"
    assert done.stderr.startswith("mirrorcam-dock: ")
    return done.stderr


class Running:
    """A process whose JSON lines can be waited for."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [MIRRORCAM_DOCK, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        with self._news:
            assert self._news.wait_for(lambda: any(map(wanted, self.events)), PATIENCE), self.events
            return next(event for event in self.events if wanted(event))

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join()
        return code


@contextmanager
def running(*arguments: str | Path) -> Iterator[Running]:
    begun = Running(*arguments)
    try:
        yield begun
    finally:
        if begun.process.poll() is None:
            begun.process.kill()
            begun.process.wait()
        begun._reader.join()
        assert begun.process.stdout
        assert begun.process.stderr
        begun.process.stdout.close()
        begun.process.stderr.close()


# The processes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_dock_makes_its_catalogue_serves_over_tls_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    folder = dock_folder(tmp_path / "dock", Pki())
    with running("serve", "--folder", folder.path) as dock:
        for name in ("bays", "pages"):
            door = dock.wait_for(lambda event, name=name: event.get("listener") == name)  # type: ignore[misc]
        context = ssl.create_default_context(cafile=str(folder.authority_file))
        with urlopen(f"https://localhost:{door['port']}/", context=context, timeout=PATIENCE) as page:
            assert b"<form" in page.read(), "somewhere to sign in"
        assert dock.end(number) == 0
        assert any(event["event"] == "stopped" for event in dock.events)
        assert all({"at", "level", "event"} <= event.keys() for event in dock.events)
        assert dock.process.stderr
        assert dock.process.stderr.read() == ""
    assert (folder.path / "catalogue.sqlite3").stat().st_mode & 0o077 == 0


def test_the_process_that_takes_passphrases_and_opens_clips_leaves_no_core_dump(tmp_path: Path) -> None:
    with running("serve", "--folder", dock_folder(tmp_path / "dock", Pki()).path) as dock:
        dock.wait_for(lambda event: event.get("listener") == "pages")
        limits = Path(f"/proc/{dock.process.pid}/limits").read_text().splitlines()
        assert next(line for line in limits if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]
        assert dock.end(signal.SIGTERM) == 0


def test_an_address_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    first = dock_folder(tmp_path / "one", Pki())
    with running("serve", "--folder", first.path) as dock:
        port = dock.wait_for(lambda event: event["event"] == "listening" and event["listener"] == "bays")["port"]
        second = dock_folder(tmp_path / "two", Pki())
        text = second.settings_file.read_text().replace("bays_port = 0", f"bays_port = {port}")
        second.settings_file.write_text(text)
        assert f"port {port}" in refused(call("serve", folder=second.path), 5)


def test_a_catalogue_of_another_version_is_migrated_by_a_person_only(stored: StoredDock) -> None:
    stored.dock.close()
    with sqlite3.connect(stored.path / "catalogue.sqlite3") as database:
        database.execute("UPDATE alembic_version SET version_num = '0000'")
    database.close()
    assert "mirrorcam-dock migrate" in refused(call("serve", folder=stored.path), 5)


def test_a_folder_that_is_no_docks_is_one_sentence(tmp_path: Path) -> None:
    assert "mirrorcam-provision dock create" in refused(call("serve", folder=tmp_path), 5)
    assert "mirrorcam-provision dock create" in refused(call("clips", "list", folder=tmp_path), 5)


def test_retention_as_a_process_deletes_at_its_start_and_ends_when_told(stored: StoredDock) -> None:
    clip, young = stored.store(age=31 * DAY), stored.store(age=DAY)
    with running("retention", "--folder", stored.path) as retention:
        assert retention.wait_for(lambda event: event["event"] == "clip_deleted")["clip_id"] == clip.clip_id
        assert retention.wait_for(lambda event: event["event"] == "retention_run")["deleted"] == 1
        assert retention.end(signal.SIGTERM) == 0
    assert stored.files_of(clip) == []
    assert len(stored.files_of(young)) == 3


def test_retention_once_says_what_it_did(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    assert f"Deleted {clip.clip_id}." in call("retention", "--once", folder=stored.path).stdout
    assert "Nothing was to be deleted." in call("retention", "--once", folder=stored.path).stdout


# Migrations


def test_migrate_makes_the_tables_and_again_changes_nothing(tmp_path: Path) -> None:
    folder = dock_folder(tmp_path / "dock", Pki())
    assert "run 'mirrorcam-dock migrate'" in refused(call("clips", "list", folder=folder.path), 5)
    assert "up to date" in good(call("migrate", folder=folder.path))
    assert "up to date" in good(call("migrate", folder=folder.path))
    assert "There is no such clip." in good(call("clips", "list", folder=folder.path))


# Clips


def test_clips_are_listed_and_shown(stored: StoredDock) -> None:
    clip = stored.store(age=DAY)
    assert clip.clip_id in good(call("clips", "list", folder=stored.path))
    assert "no such clip" in good(call("clips", "list", "--unit", "unit-9", folder=stored.path))
    shown = good(call("clips", "show", clip.clip_id, folder=stored.path))
    assert clip.ciphertext_sha256 in shown
    assert "unit-1, number 1" in shown
    assert "'mirrorcam-dock clips list'" in refused(call("clips", "show", "none", folder=stored.path), 1)


def test_a_narrow_terminal_breaks_no_word_of_a_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ("0192d3f5-5c5e-7d35-9d5a-0d8ad5a5c1b7", "2026-11-27 08:00:00")
    for columns, is_narrow in (("200", False), ("40", True)):
        monkeypatch.setenv("COLUMNS", columns)
        print_rows(("Clip", "Began (UTC)"), [row])
        shown = capsys.readouterr().out
        assert all(value in shown for value in row)
        assert (f"Clip         {row[0]}" in shown) == is_narrow


def test_a_pseudonym_that_looks_like_markup_is_printed_as_it_stands(stored: StoredDock) -> None:
    clip, wearer = stored.store(age=DAY), "[/red] :x: [link=x]"
    with closing(sqlite3.connect(stored.path / "catalogue.sqlite3")) as database:
        database.execute("UPDATE clips SET wearer = ?", (wearer,))
        database.commit()
    good(call("unit", "issue", "unit-1", "--to", wearer, folder=stored.path))
    for words in (("clips", "list"), ("clips", "show", clip.clip_id), ("unit", "list")):
        assert wearer in good(call(*words, folder=stored.path))


def hold(stored: StoredDock, clip: Clip, *, review: str = "") -> Done:
    review = review or f"{stored.time.now() + 90 * DAY:%Y-%m-%d}"
    words = ("--case", "2026/17", "--reason", "evidence in this case", "--review", review)
    return call("clips", "hold", clip.clip_id, *words, folder=stored.path)


def test_a_held_clip_is_kept_by_retention_and_the_custody_log_says_who_held_it(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    assert "is held" in good(hold(stored, clip))
    call("retention", "--once", folder=stored.path)
    assert len(stored.files_of(clip)) == 3
    with stored.dock.catalogue.reading() as connection:
        (entry,) = entries.of_subject(connection, f"clip:{clip.clip_id}")
    assert entry.action == "hold-set"
    assert entry.actor.startswith("shell:")
    assert "evidence in this case" not in entry.details, "free text may hold a name, and nothing erases it from there"
    shown = good(call("clips", "show", clip.clip_id, folder=stored.path))
    assert "case 2026/17" in shown
    assert "hold-set" in shown


def test_a_clip_that_is_gone_cannot_be_held_and_neither_can_one_without_a_day_to_come(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    assert hold(stored, clip, review="2001-01-01").returncode == 2
    call("retention", "--once", folder=stored.path)
    assert "was deleted on" in refused(hold(stored, clip), 1)
    assert clip.clip_id in good(call("clips", "list", "--deleted", folder=stored.path))


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _spoil_sealed(stored: StoredDock, clip: Clip) -> None:
    _flip(stored.dock.vault.sealed_file(clip.vault_key))


def _lose_sealed(stored: StoredDock, clip: Clip) -> None:
    stored.dock.vault.sealed_file(clip.vault_key).unlink()


def _spoil_manifest(stored: StoredDock, clip: Clip) -> None:
    _flip(stored.folder.vault / f"{clip.vault_key}.json")


def _spoil_signature(stored: StoredDock, clip: Clip) -> None:
    _flip(stored.folder.vault / f"{clip.vault_key}.json.sig")


@pytest.mark.parametrize("spoil", [_spoil_sealed, _lose_sealed, _spoil_manifest, _spoil_signature])
def test_verifying_the_clips_names_the_one_that_was_touched(
    stored: StoredDock, spoil: Callable[[StoredDock, Clip], None]
) -> None:
    clip, other = stored.store(size=300_000), stored.store()
    assert "All 2 clips" in good(call("clips", "verify", folder=stored.path))
    spoil(stored, clip)
    done = call("clips", "verify", folder=stored.path)
    assert "1 of 2 clips" in refused(done, 3)
    assert clip.clip_id in done.stdout
    assert other.clip_id not in done.stdout


# Custody


def test_a_good_custody_log_gives_its_head(stored: StoredDock) -> None:
    assert "empty" in good(call("custody", "verify", folder=stored.path))
    stored.store(age=31 * DAY)
    call("retention", "--once", folder=stored.path)
    verified = good(call("custody", "verify", folder=stored.path))
    with stored.dock.catalogue.reading() as connection:
        newest = entries.newest(connection)
    assert newest
    assert f"Head: {newest.number} {newest.sha256}" in verified
    assert newest.sha256 in good(call("custody", "show", folder=stored.path))


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE custody_entries SET actor = 'shell:nobody' WHERE number = 2",
        "UPDATE custody_entries SET details = '' WHERE number = 2",
        "UPDATE custody_entries SET at = 'yesterday' WHERE number = 2",
        "UPDATE custody_entries SET signature = zeroblob(64) WHERE number = 2",
        "UPDATE custody_entries SET sha256 = 'ff' WHERE number = 2",
        "UPDATE custody_entries SET signer_sha256 = 'ff' WHERE number = 2",
        "UPDATE custody_entries SET number = 20 WHERE number = 2",
        "DELETE FROM custody_entries WHERE number = 2",
    ],
)
def test_a_custody_log_that_was_rewritten_is_named_at_its_first_bad_entry(stored: StoredDock, tampering: str) -> None:
    stored.store(age=31 * DAY)
    call("retention", "--once", folder=stored.path)
    stored.dock.close()
    with sqlite3.connect(stored.path / "catalogue.sqlite3") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(tampering)
    database.close()
    assert "broken at entry 2" in refused(call("custody", "verify", folder=stored.path), 3)


def test_a_custody_log_whose_end_was_cut_off_is_broken_there(stored: StoredDock) -> None:
    stored.store(age=31 * DAY)
    call("retention", "--once", folder=stored.path)
    stored.dock.close()
    with closing(sqlite3.connect(stored.path / "catalogue.sqlite3")) as database:
        database.executescript(
            "DROP TRIGGER custody_entries_no_delete; DELETE FROM custody_entries WHERE action = 'clip-deleted'"
        )
    assert "broken at entry 3: it is not there" in refused(call("custody", "verify", folder=stored.path), 3)


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        ("no certificate", "is lost"),
        (Pki().dock_signer("dock-1").certificate_pem.decode(), "is not a dock of this authority"),
    ],
)
def test_a_custody_log_whose_signer_was_swapped_is_broken_from_its_first_entry(
    stored: StoredDock, pem: str, words: str
) -> None:
    call("retention", "--once", folder=stored.path)
    stored.dock.close()
    with sqlite3.connect(stored.path / "catalogue.sqlite3") as database:
        database.execute("UPDATE certificates SET pem = ? WHERE holder LIKE '%dock-signer%'", (pem,))
    database.close()
    sentence = refused(call("custody", "verify", folder=stored.path), 3)
    assert "broken at entry 1" in sentence
    assert words in sentence


def test_a_custody_log_signed_by_another_dock_of_the_town_is_not_this_docks(stored: StoredDock) -> None:
    call("retention", "--once", folder=stored.path)
    stored.dock.close()
    other = stored.pki.dock_signer("dock-2")
    with sqlite3.connect(stored.path / "catalogue.sqlite3") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        pem = other.certificate_pem.decode()
        database.execute(
            "INSERT INTO certificates VALUES (?, 'urn:mirrorcam:dock-signer:dock-2', ?)", (other.sha256, pem)
        )
        database.execute("UPDATE custody_entries SET signer_sha256 = ?", (other.sha256,))
    database.close()
    assert "its signer is dock dock-2" in refused(call("custody", "verify", folder=stored.path), 3)


@pytest.mark.parametrize("words", [("clips", "list"), ("retention", "--once"), ("custody", "verify")])
def test_a_catalogue_that_is_no_database_is_one_sentence(stored: StoredDock, words: tuple[str, ...]) -> None:
    stored.dock.close()
    (stored.path / "catalogue.sqlite3").write_bytes(b"no database" * 1000)
    assert "file is not a database" in refused(call(*words, folder=stored.path), 5)


# Units, alarms, the clock


def test_a_unit_is_issued_to_a_pseudonym_and_taken_back(stored: StoredDock) -> None:
    stored.store()
    assert "issued to wearer-7" in good(call("unit", "issue", "unit-1", "--to", "wearer-7", folder=stored.path))
    assert "wearer-7" in good(call("unit", "list", folder=stored.path))
    good(call("unit", "issue", "unit-1", "--to-nobody", folder=stored.path))
    with stored.dock.catalogue.reading() as connection:
        unit = units.find(connection, "unit-1")
    assert unit
    assert unit.wearer is None
    assert call("unit", "issue", "unit-1", folder=stored.path).returncode == 2
    assert "dock it once" in refused(call("unit", "issue", "unit-9", "--to", "wearer-7", folder=stored.path), 1)


def test_a_gap_is_accepted_once(stored: StoredDock) -> None:
    stored.store()
    words = ("unit", "accept-gap", "unit-1", "--reason", "its storage was replaced")
    assert "from number 2 on" in good(call(*words, folder=stored.path))
    assert "accepted already" in refused(call(*words, folder=stored.path), 1)


def test_an_alarm_is_listed_and_closed_by_a_person_with_a_reason(stored: StoredDock) -> None:
    assert "No alarm is open." in good(call("alarms", "list", folder=stored.path))
    with stored.dock.catalogue.writing() as connection:
        alarms.raise_alarm(
            connection, kind=alarms.CLIP_REFUSED, subject="clip:x", sentence="It differs.", at=stored.time.now()
        )
    assert "It differs." in good(call("alarms", "list", folder=stored.path))
    assert call("alarms", "clear", "1", folder=stored.path).returncode == 2, "why?"
    good(call("alarms", "clear", "1", "--reason", "looked at", folder=stored.path))
    assert "No alarm 1 is open" in refused(call("alarms", "clear", "1", "--reason", "again", folder=stored.path), 1)
    assert "alarm-cleared" in good(call("custody", "show", folder=stored.path))


def test_a_clock_in_doubt_stops_retention_until_somebody_vouches(stored: StoredDock) -> None:
    assert "not in doubt" in refused(call("clock", "vouch", "--reason", "why not", folder=stored.path), 1)
    clip = stored.store(age=31 * DAY)
    stored.time.jump(timedelta(days=-5))
    with stored.dock.catalogue.writing() as connection:  # the newest entry is five days old: the dock was off
        stored.dock.custody.append(connection, actor="dock", action="dock-alive", subject="dock:dock-1")
    assert "cannot be believed" in refused(call("retention", "--once", folder=stored.path), 1)
    assert len(stored.files_of(clip)) == 3
    assert "clock vouch" in refused(call("alarms", "clear", "1", "--reason", "no", folder=stored.path), 1)
    assert "retention goes on" in good(call("clock", "vouch", "--reason", "was switched off", folder=stored.path))
    assert f"Deleted {clip.clip_id}." in call("retention", "--once", folder=stored.path).stdout


# Help


@pytest.mark.parametrize(
    "words",
    [
        (), ("serve",), ("retention",), ("migrate",), ("doctor",), ("clips",), ("clips", "hold"), ("custody", "verify"),
        ("person", "add"), ("keyslot", "add"), ("unit", "issue"), ("alarms", "clear"), ("clock", "vouch"),
    ],
)  # fmt: skip
def test_every_command_says_what_it_is_for(words: tuple[str, ...]) -> None:
    done = command(*words, "--help")
    assert done.returncode == 0
    assert "Usage: mirrorcam-dock" in done.stdout
    assert len(done.stdout) > 300
