"""A backup is made while the dock works, and restored: then clips are there, play, and go when their time is over."""

import errno
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from dock_station import custody, decisions
from dock_station.backup import bag, restoring
from dock_station.backup.bag import BagDamagedError, BagTakenError
from dock_station.backup.databases import (
    CatalogueThereError,
    CopyFailedError,
    OtherDatabaseError,
    ToolFailedError,
    ToolMissingError,
)
from dock_station.backup.making import Made, make_backup
from dock_station.backup.restoring import NewerBackupError, NotEmptyError, OtherDockError, Restored, restore
from dock_station.catalogue import alarms, entries, schema
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.database import CatalogueError
from dock_station.clock import ClockWatch, utc_now
from dock_station.dock import Dock
from dock_station.doctor import findings
from dock_station.opening.keeper import start_opener
from dock_station.opening.keyslots import Keyslots
from dock_station.playback.playable import Part, Playable
from dock_station.retention.worker import RetentionWorker
from dock_station.settings import DockFolder
from evidence.age import HybridIdentity, read_header, seal_bytes
from tests.dock import NO_RESERVE, Camera, RunningDock, SealedClip, just_started, running, set_up
from tests.films import muxed
from tests.pki import Pki
from tests.postgresql import PostgreSql, postgresql
from tests.recording import in_order, pictures, sound

PASSPHRASE = "the passphrase of the first"
ACTOR = "shell:test"
SET_BACK = ["Alarms that are open: 1; 'mirrorcam-dock alarms list' shows them."]  # until somebody has closed it


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def film() -> bytes:
    track, tone = sound(4)
    return muxed(in_order(pictures(4), tone), track)


@dataclass
class Town:
    """A dock at work that holds two clips, and has a third coming in; and where it may be restored to."""

    dock: RunningDock
    camera: Camera
    clips: list[SealedClip]
    film: bytes
    path: Path
    new_settings: Path

    @property
    def backup(self) -> Path:
        return self.path / "backup.tar"

    @property
    def new(self) -> DockFolder:
        return DockFolder(self.path / "new")

    def back_up(self, target: Path | None = None, *, with_clips: bool = True) -> Made:
        return make_backup(self.dock.dock, target or self.backup, actor=ACTOR, with_clips=with_clips)

    def restore(self, source: Path | None = None) -> Restored:
        return restore(source or self.backup, self.new, actor=ACTOR, settings=self.new_settings)


@pytest.fixture(params=["sqlite", "postgresql"])
def town(request: pytest.FixtureRequest, film: bytes, tmp_path: Path) -> Iterator[Town]:
    settings = [NO_RESERVE, NO_RESERVE]
    if request.param == "postgresql":
        server: PostgreSql = request.getfixturevalue("server")
        settings = [f'{NO_RESERVE}\ncatalogue_url = "{server.new_database()}"' for _ in range(2)]
    pki = Pki()
    folder = set_up(tmp_path / "dock", pki, settings=settings[0])
    folder.session_key_file.touch(mode=0o600)
    folder.keyslots.mkdir()
    identity = HybridIdentity.generate()
    Keyslots(folder.keyslots, work_factor=10).add("a-example", PASSPHRASE, identity)
    new_settings = tmp_path / "new.toml"
    new_settings.write_text(folder.settings_file.read_text().replace(settings[0], settings[1]))
    with running(folder, pki) as dock:
        camera, unit = dock.unit()
        clips = [sealed_for(identity, camera, film), camera.clip()]
        for clip in clips:
            dock.receipt(unit.bring(clip))
        begun = camera.clip()
        unit.append(unit.begin(begun), 0, begun.sealed[:1000])
        yield Town(dock, camera, clips, film, tmp_path, new_settings)


@pytest.fixture
def small_town(tmp_path: Path, film: bytes) -> Iterator[Town]:
    """The same with SQLite and one small clip."""
    pki = Pki()
    folder = set_up(tmp_path / "dock", pki)
    folder.session_key_file.touch(mode=0o600)
    folder.keyslots.mkdir()
    Keyslots(folder.keyslots, work_factor=10).add("a-example", PASSPHRASE, HybridIdentity.generate())
    with running(folder, pki) as dock:
        camera, unit = dock.unit()
        clip = camera.clip(5000)
        dock.receipt(unit.bring(clip))
        yield Town(dock, camera, [clip], film, tmp_path, folder.settings_file)


def sealed_for(identity: HybridIdentity, camera: Camera, content: bytes) -> SealedClip:
    """Return the camera's next clip, with a real film in it."""
    sealed = seal_bytes(content, [identity.recipient])
    clip = camera.clip()
    manifest = msgspec.structs.replace(
        clip.manifest,
        ciphertext_bytes=len(sealed),
        ciphertext_sha256=hashlib.sha256(sealed).hexdigest(),
        recipients=(str(identity.recipient),),
    )
    clip = camera.signed(manifest, sealed)
    camera.newest = clip.manifest_sha256
    return clip


def played(folder: DockFolder, clip: SealedClip) -> bytes:
    """Return what a player gets of a clip after a reviewer typed the passphrase."""
    with start_opener(folder) as opener:
        token = opener.unlock("a-example", PASSPHRASE).token
        file = (folder.vault / f"clips/{clip.clip_id}.mp4.age").open("rb")
        header = read_header(file).raw
        file.seek(0)
        playable = Playable(file, opener.file_key(token, header))
        return b"".join(playable.pieces(Part(0, playable.size)))


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file below a folder, with its mode and content."""
    return {
        path.relative_to(folder).as_posix(): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@contextmanager
def small_disk(folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a disk of `size` bytes there: a real one for root; for others one that says no when it is to be durable."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        yield


def test_a_restored_dock_is_in_order_plays_its_clips_and_deletes_them_when_due(town: Town) -> None:
    before = everything(town.dock.dock.folder.vault)
    made = town.back_up()
    assert (made.keyslots, made.indexed, made.copied, made.wrong) == (1, 2, 2, ())
    assert everything(town.dock.dock.folder.vault) == before, "the vault is only read"
    restored = town.restore()
    assert (restored.clips, restored.missing, restored.clock_is_trusted) == (2, (), True)
    assert restored.entries == made.entries + 1
    assert list(findings(town.new, utc_now)) == SET_BACK
    assert played(town.new, town.clips[0]) == played(town.dock.dock.folder, town.clips[0])
    later = utc_now() + timedelta(days=100)
    dock = Dock.open(town.new, lambda: later, just_started)
    RetentionWorker(dock, ClockWatch()).run()
    decisions.vouch_for_clock(dock, actor=ACTOR, reason="compared")
    confirm(dock)
    assert set(RetentionWorker(dock, ClockWatch()).run().deleted) == {clip.clip_id for clip in town.clips}
    with dock.catalogue.reading() as connection:
        custody.check(connection, town.dock.pki.authority(), "dock-1")
    dock.close()
    assert not list(town.new.vault.rglob("*.age"))


def confirm(dock: Dock) -> None:
    with dock.catalogue.reading() as connection:
        (alarm,) = alarms.still_open(connection)
    decisions.clear_alarm(dock, alarm.alarm_id, actor=ACTOR, reason="holds are set again")


def test_a_restored_dock_takes_in_what_units_bring_next(town: Town) -> None:
    town.back_up()
    town.restore()
    with running(town.new, town.dock.pki) as dock:
        unit = dock.visitor(town.camera.identity)
        assert dock.uploads() == [], "its bytes are lost, so the unit begins anew"
        town.camera.sequence -= 1  # the one that was under way
        town.camera.newest = town.clips[-1].manifest_sha256
        clip = town.camera.clip()
        dock.receipt(unit.bring(clip))
        assert dock.is_stored(clip)


def test_without_its_clips_a_restored_dock_names_each_until_the_vault_is_brought(town: Town) -> None:
    assert town.back_up(with_clips=False).copied == 0
    restored = town.restore()
    assert len(restored.missing) == 2
    assert all(clip.clip_id in "".join(restored.missing) for clip in town.clips)
    assert "Clip" in "".join(findings(town.new, utc_now))
    shutil.copytree(town.dock.dock.folder.vault / "clips", town.new.vault / "clips", dirs_exist_ok=True)
    assert list(findings(town.new, utc_now)) == SET_BACK


def test_a_vault_that_survived_is_left_as_it_is(town: Town) -> None:
    town.back_up()
    town.new.path.mkdir()
    shutil.copytree(town.dock.dock.folder.vault, town.new.vault)
    (town.new.path / "lost+found").mkdir()
    before = everything(town.new.vault)
    assert town.restore().missing == ()
    assert everything(town.new.vault) == before
    assert list(findings(town.new, utc_now)) == SET_BACK


def test_the_custody_log_says_what_was_done_with_which_backup(small_town: Town) -> None:
    made = small_town.back_up()
    small_town.restore()
    dock = Dock.open(small_town.new)
    with dock.catalogue.reading() as connection:
        restored, begun = entries.latest(connection, limit=2)
    dock.close()
    assert (begun.action, begun.actor) == ("backup-begun", ACTOR)
    assert restored.action == "restored"
    assert json.loads(restored.details)["backup"] == made.sha256


def test_a_backup_is_for_its_owner_alone_and_holds_the_keyslots_and_keys_as_they_are(small_town: Town) -> None:
    os.umask(0o022)
    small_town.back_up()
    assert stat.S_IMODE(small_town.backup.stat().st_mode) == 0o600
    small_town.restore()
    old, new = everything(small_town.dock.dock.folder.path), everything(small_town.new.path)
    for name in ("dock.key", "signer.key", "session.key", "keyslots/a-example.age"):
        assert new[name] == (0o600, old[name][1])
    assert stat.S_IMODE(small_town.new.keyslots.stat().st_mode) == 0o700
    assert not [path for path in small_town.path.iterdir() if path.name.startswith(".")], "nothing is left beside"


def test_tar_and_sha256sum_alone_unpack_and_check_a_backup(small_town: Town, tmp_path: Path) -> None:
    small_town.back_up()
    place = tmp_path / "unpacked"
    place.mkdir()
    subprocess.run(["tar", "-xf", small_town.backup, "-C", place], check=True)
    (folder,) = place.iterdir()
    for listing in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", listing], cwd=folder, check=True)
    assert (folder / "data/vault/clips" / f"{small_town.clips[0].clip_id}.json").is_file()


def test_a_clip_that_was_changed_in_the_vault_is_not_copied_and_named(small_town: Town) -> None:
    sealed = small_town.dock.dock.folder.vault / f"clips/{small_town.clips[0].clip_id}.mp4.age"
    content = bytearray(sealed.read_bytes())
    content[4000] ^= 1
    sealed.write_bytes(content)
    made = small_town.back_up()
    assert made.copied == 0
    (sentence,) = made.wrong
    assert small_town.clips[0].clip_id in sentence
    assert "its sealed file was changed" in sentence


def test_a_clip_that_retention_deletes_meanwhile_is_no_finding(small_town: Town) -> None:
    dock = small_town.dock.dock

    def delete_first(kept: list[Clip]) -> list[Clip]:
        later = Dock.open(dock.folder, lambda: utc_now() + timedelta(days=40), just_started)
        RetentionWorker(later, ClockWatch()).run()
        decisions.vouch_for_clock(later, actor=ACTOR, reason="compared")
        assert RetentionWorker(later, ClockWatch()).run().deleted
        later.close()
        return kept

    made = make_backup(dock, small_town.backup, actor=ACTOR, with_clips=True, follow=delete_first)
    assert (made.indexed, made.copied, made.wrong) == (1, 0, ())


def test_nothing_is_overwritten(small_town: Town) -> None:
    small_town.backup.write_text("an older one")
    with pytest.raises(BagTakenError, match="overwrites nothing"):
        small_town.back_up()
    assert small_town.backup.read_text() == "an older one"


def test_any_one_bit_that_changed_is_found_or_is_none_of_what_is_restored(small_town: Town) -> None:
    small_town.back_up()
    good = small_town.backup.read_bytes()
    small_town.restore()
    expected = {name: content for name, content in everything(small_town.new.path).items() if "sqlite3" not in name}
    shutil.rmtree(small_town.new.path)
    refused = 0
    chance = random.Random(7)
    for _ in range(80):
        content = bytearray(good)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        small_town.backup.write_bytes(content)
        with suppress(BagDamagedError):
            small_town.restore()
        if not small_town.new.path.exists():
            refused += 1
        else:  # filling between two files of the tar
            restored = everything(small_town.new.path)
            assert {name: restored[name] for name in expected} == expected
            shutil.rmtree(small_town.new.path)
    assert refused > 50


def test_a_backup_cut_anywhere_is_refused(small_town: Town) -> None:
    small_town.back_up()
    good = small_town.backup.read_bytes()
    listed = good.rindex(b"tagmanifest-sha256.txt")
    chance = random.Random(7)
    for size in [0, 1, 512, listed, *(chance.randrange(listed) for _ in range(60))]:
        small_town.backup.write_bytes(good[:size])
        with pytest.raises(BagDamagedError, match="nothing was written"):
            small_town.restore()
        assert not small_town.new.path.exists()


@pytest.mark.parametrize("content", [b"", b"no tar at all", bytes(20480)])
def test_what_is_no_backup_is_refused_in_a_sentence(small_town: Town, content: bytes) -> None:
    small_town.backup.write_bytes(content)
    with pytest.raises(BagDamagedError, match="take another copy"):
        small_town.restore()


@pytest.mark.parametrize(
    "place", ["dock/../../evil", "vault/clips/../../dock.toml", "dock/keyslots/../x.age", "dock/keyslots/.age", "more"]
)
def test_a_backup_made_by_somebody_else_writes_nowhere_but_in_its_places(small_town: Town, place: str) -> None:
    small_town.back_up()
    forged = small_town.path / "forged.tar"
    with bag.reading(small_town.backup) as found, bag.writing(forged, "x", utc_now()) as writer:
        for each in found.places():
            writer.add_text(each, found.text(each))
        writer.add_text(place, b"evil")
        writer.finish()
    with pytest.raises(BagDamagedError, match="which no backup has"):
        small_town.restore(forged)
    assert not small_town.new.path.exists()


def test_a_folder_with_anything_in_it_is_not_restored_into(small_town: Town) -> None:
    small_town.back_up()
    small_town.new.path.mkdir()
    (small_town.new.path / "dock.toml").write_text("another dock's")
    with pytest.raises(NotEmptyError, match=r"dock\.toml is there"):
        small_town.restore()
    assert everything(small_town.new.path).keys() == {"dock.toml"}


def test_a_restore_that_was_cut_off_is_begun_anew_by_the_next(
    small_town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_town.back_up()
    moves = 0

    def cut(source: Path, target: Path) -> None:
        nonlocal moves
        moves += 1
        if moves == 6:
            raise KeyboardInterrupt
        source.rename(target)

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_replace", cut)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            small_town.restore()
    there = {path.name for path in small_town.new.path.iterdir()}
    assert ".restoring" in there
    assert "dock.toml" not in there
    assert small_town.restore().missing == ()
    assert list(findings(small_town.new, utc_now)) == SET_BACK
    assert not (small_town.new.path / ".restoring").exists()


def test_a_full_disk_leaves_nothing_behind(small_town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    small_town.back_up()
    with small_disk(small_town.new.path, 64 << 10, monkeypatch):
        with pytest.raises(OSError, match="No space left"):
            small_town.restore()
        assert list(small_town.new.path.iterdir()) == []
    target = small_town.path / "medium"
    with small_disk(target, 64 << 10, monkeypatch):
        with pytest.raises((OSError, CopyFailedError), match=r"No space left|disk is full"):
            small_town.back_up(target / "backup.tar")
        assert list(target.iterdir()) == []


def test_a_backup_of_a_newer_catalogue_is_refused(small_town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    small_town.back_up()
    monkeypatch.setattr(schema, "is_known", lambda revision: revision == "0001")
    with pytest.raises(NewerBackupError, match="install that version or a newer one"):
        small_town.restore()
    assert not small_town.new.path.exists()


def test_settings_of_another_dock_or_another_database_are_refused(small_town: Town) -> None:
    small_town.back_up()
    text = small_town.new_settings.read_text()
    small_town.new_settings = small_town.path / "other.toml"
    small_town.new_settings.write_text(text.replace("dock-1", "dock-2"))
    with pytest.raises(OtherDockError, match="'dock-2'"):
        small_town.restore()
    small_town.new_settings.write_text(f'{text}\ncatalogue_url = "postgresql://localhost/dock"\n')
    with pytest.raises(OtherDatabaseError, match="of the same kind"):
        small_town.restore()
    assert not small_town.new.path.exists()


def test_a_database_that_holds_something_or_does_not_answer_is_refused(
    town: Town, request: pytest.FixtureRequest
) -> None:
    if "sqlite" in request.node.name:
        place = town.path / "elsewhere.sqlite3"
        place.touch()
        old = f"{town.new_settings.read_text()}"
        town.new_settings.write_text(f'{old}\ncatalogue_url = "sqlite:///{place}"\n')
        town.back_up()
    else:
        town.back_up()
        text = town.new_settings.read_text()
        town.new_settings.write_text(text.replace("postgresql://", "postgresql://nobody:secret-word@localhost:1/"))
        with pytest.raises(CatalogueError, match="cannot be opened") as refused:
            town.restore()
        assert "secret-word" not in str(refused.value)
        town.new_settings = town.dock.dock.folder.settings_file
    with pytest.raises(CatalogueThereError, match="name an empty one"):
        town.restore()
    assert not town.new.path.exists()


@pytest.mark.parametrize("town", ["postgresql"], indirect=True)
def test_a_tool_of_postgresql_that_is_missing_or_refuses_is_told_in_a_sentence(
    town: Town, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(ToolMissingError, match="postgresql-client"):
        town.back_up()
    (tools / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump: error: server version mismatch' >&2\nexit 1\n")
    (tools / "pg_dump").chmod(0o755)
    with pytest.raises(ToolFailedError, match=r"pg_dump refused \(server version mismatch\)"):
        town.back_up()
    assert not town.backup.exists()
    assert shutil.which("pg_dump") == str(tools / "pg_dump")
