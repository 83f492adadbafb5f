"""`mirrorcam-dock backup` and `restore` at the shell: what they print, and how they end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dock_station.opening.keyslots import Keyslots
from evidence.age import X25519Identity
from tests.stored import StoredDock
from tests.unit.dock_station.test_cli import call, good, refused

PASSPHRASE = "the passphrase of the first"


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredDock]:
    stored = StoredDock(tmp_path / "dock")
    stored.folder.session_key_file.touch(mode=0o600)
    stored.folder.keyslots.mkdir()
    Keyslots(stored.folder.keyslots, work_factor=2).add("a-example", PASSPHRASE, X25519Identity.generate())
    stored.folder.settings_file.write_text(stored.folder.settings_file.read_text() + "vault_reserve_bytes = 0\n")
    stored.store()
    yield stored
    stored.dock.close()


def test_a_dock_goes_into_a_file_and_comes_out_of_it_whole(stored: StoredDock, tmp_path: Path) -> None:
    backup, new = tmp_path / "dock.tar", tmp_path / "new"
    said = good(call("backup", backup, "--with-clips", folder=stored.path))
    assert "the custody log up to entry 1, 1 keyslots, and the index of 1 clips; copied: 1." in said
    assert "destroy this backup by then" in said
    said = good(call("restore", backup, folder=new))
    assert "All 2 entries of the custody log are good" in said
    assert "All 1 clips are in the vault." in said
    assert "Nothing is deleted until the holds of since then are set again" in said
    good(call("alarms", "clear", "1", "--reason", "there were none", folder=new))
    assert good(call("doctor", folder=new)) == "Everything is in order.\n"
    assert "All 3 entries are good." in good(call("custody", "verify", folder=new))
    assert "All 1 clips" in good(call("clips", "verify", folder=new))


def test_what_is_missing_after_a_restore_ends_it_with_1(stored: StoredDock, tmp_path: Path) -> None:
    backup = tmp_path / "dock.tar"
    assert "copied: 0." in good(call("backup", backup, folder=stored.path))
    assert "1 of 1 clips are not in the vault" in refused(call("restore", backup, folder=tmp_path / "new"), 1)


def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(stored: StoredDock, tmp_path: Path) -> None:
    backup = tmp_path / "dock.tar"
    good(call("backup", backup, "--with-clips", folder=stored.path))
    assert "overwrites nothing" in refused(call("backup", backup, folder=stored.path), 1)
    assert "is not empty" in refused(call("restore", backup, folder=stored.path), 1)
    assert "No such file" in refused(call("restore", tmp_path / "none.tar", folder=tmp_path / "new"), 5)
    assert "No such file" in refused(call("backup", tmp_path / "none/dock.tar", folder=stored.path), 5)
    content = bytearray(backup.read_bytes())
    content[content.index(b"dock_id")] ^= 1
    backup.write_bytes(content)
    assert "is not what was written" in refused(call("restore", backup, folder=tmp_path / "new"), 3)
    backup.write_bytes(content[:-5000])
    assert "take another copy" in refused(call("restore", backup, folder=tmp_path / "new"), 3)


def test_a_clip_that_was_changed_is_named_and_the_rest_is_in_the_backup(stored: StoredDock, tmp_path: Path) -> None:
    clip = stored.store()
    stored.dock.vault.sealed_file(clip.vault_key).write_bytes(b"x" * clip.ciphertext_bytes)
    done = call("backup", tmp_path / "dock.tar", "--with-clips", folder=stored.path)
    assert f"Clip {clip.clip_id} was not copied: its sealed file was changed." in done.stdout
    assert "1 of the clips could not be copied" in refused(done, 3)
