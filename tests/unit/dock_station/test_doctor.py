"""The doctor: nothing to say of a dock in order, and one sentence for each thing that is not."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dock_station.catalogue import alarms, bays, clips, deletions
from dock_station.catalogue import uploads as uploads_rows
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.uploads import Upload
from dock_station.clock import utc_now
from dock_station.doctor import findings
from dock_station.settings import DockFolder
from evidence.docking import UpdateOffer
from tests.dock import until
from tests.pki import YEAR, Pki, dock_folder, policy_toml, write_policy
from tests.ports import Ports
from tests.stored import DAY, StoredDock


@pytest.fixture
def stored(tmp_path: Path) -> StoredDock:
    stored = StoredDock(tmp_path / "dock")
    folder = stored.folder
    folder.session_key_file.touch(mode=0o600)
    folder.keyslots.mkdir()
    (folder.keyslots / "a-example.age").touch(mode=0o600)
    folder.settings_file.write_text(folder.settings_file.read_text() + "vault_reserve_bytes = 0\n")
    return stored


def found(stored: StoredDock) -> list[str]:
    before = snapshot(stored.path)
    told = list(findings(stored.folder, stored.time.now))
    assert snapshot(stored.path) == before, "a doctor looks and touches nothing"
    return told


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """All files but the database's own helpers, with size and time of change."""
    files = [path for path in folder.rglob("*") if path.is_file() and "sqlite3-" not in path.name]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def the_one(stored: StoredDock) -> str:
    (sentence,) = found(stored)
    return sentence


def test_a_dock_in_order_gives_nothing_to_say(stored: StoredDock) -> None:
    stored.store()
    stored.store(age=DAY)
    assert found(stored) == []


def test_bays_that_are_noted_as_taken_while_nobody_watches_them_are_named(stored: StoredDock) -> None:
    with stored.dock.catalogue.writing() as connection:
        bays.plug_in(connection, "1-1.3", "unit-1", stored.time.now())
    assert "'mirrorcam-dock bays'" in the_one(stored)


@pytest.mark.parametrize(
    ("unit_ids", "words"), [((None,), "no unit of this town"), (("unit-1", "unit-1"), "all say they are unit unit-1")]
)
def test_a_bay_whose_device_is_not_what_it_should_be_is_named(
    stored: StoredDock, unit_ids: tuple[str | None, ...], words: str
) -> None:
    stored.folder.settings_file.write_text(f'{stored.folder.settings_file.read_text()}[bay_names]\n"1-1.0" = "Bay 0"\n')
    ports = Ports()
    with ports.watched_by(stored.dock):
        until(lambda: ports.looked > 0)
        with stored.dock.catalogue.writing() as connection:
            for number, unit_id in enumerate(unit_ids):
                bays.plug_in(connection, f"1-1.{number}", unit_id, stored.time.now())
            bays.plug_in(connection, "1-1.7", "unit-7", stored.time.now())
        sentences = found(stored)
    assert len(sentences) == len(unit_ids)
    assert all(words in sentence for sentence in sentences)
    assert sentences[0].startswith("'Bay 0' holds")


def _lose(stored: StoredDock, clip: Clip) -> None:
    stored.dock.vault.sealed_file(clip.vault_key).unlink()


def _cut(stored: StoredDock, clip: Clip) -> None:
    os.truncate(stored.dock.vault.sealed_file(clip.vault_key), 100)


def _change_manifest(stored: StoredDock, clip: Clip) -> None:
    file = stored.folder.vault / f"{clip.vault_key}.json"
    file.write_bytes(file.read_bytes().replace(b"wearer-7", b"wearer-8"))


def _lose_manifest(stored: StoredDock, clip: Clip) -> None:
    (stored.folder.vault / f"{clip.vault_key}.json").unlink()


def _change_signature(stored: StoredDock, clip: Clip) -> None:
    (stored.folder.vault / f"{clip.vault_key}.json.sig").write_bytes(bytes(64))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_lose, "sealed file cannot be read"),
        (_cut, "has 100 bytes, not 4096"),
        (_change_manifest, "manifest was changed"),
        (_lose_manifest, "manifest or signature cannot be read"),
        (_change_signature, "signature was changed"),
    ],
)
def test_a_clip_that_is_not_as_the_catalogue_has_it_is_named(
    stored: StoredDock, spoil: Callable[[StoredDock, Clip], None], words: str
) -> None:
    clip, _ = stored.store(), stored.store()
    spoil(stored, clip)
    sentence = the_one(stored)
    assert clip.clip_id in sentence
    assert words in sentence


def test_a_file_that_the_catalogue_does_not_know_is_named(stored: StoredDock) -> None:
    (stored.folder.vault / "clips" / "stranger.mp4.age").touch()
    assert "vault/clips/stranger.mp4.age is not in the catalogue" in the_one(stored)


def test_a_sealed_file_that_outlived_its_record_is_named(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    with stored.dock.catalogue.writing() as connection:
        deletions.intend(connection, clip, cause="retention-over", due_at=clip.due_at, at=stored.time.now())
        deletions.finish(connection, clip.clip_id, stored.time.now())
        clips.mark_deleted(connection, clip.clip_id, stored.time.now())
    assert any("sealed file is still there" in sentence for sentence in found(stored))


def test_an_upload_that_lost_acknowledged_bytes_is_named(stored: StoredDock) -> None:
    stored.store()
    now = stored.time.now()
    with stored.dock.catalogue.writing() as connection:
        uploads_rows.add(connection, Upload("f" * 32, "unit-1", "some-clip", "", 500, 300, now, now + DAY))
    assert "300 were acknowledged" in the_one(stored)


def test_a_deletion_that_hangs_is_named(stored: StoredDock) -> None:
    clip = stored.store(age=31 * DAY)
    with stored.dock.catalogue.writing() as connection:
        at = stored.time.now() - timedelta(hours=2)
        deletions.intend(connection, clip, cause="retention-over", due_at=clip.due_at, at=at)
    assert "mirrorcam-dock retention" in the_one(stored)


def test_open_alarms_are_counted(stored: StoredDock) -> None:
    with stored.dock.catalogue.writing() as connection:
        alarms.raise_alarm(connection, kind="clip-refused", subject="clip:x", sentence="Bad.", at=stored.time.now())
    assert "Alarms that are open: 1" in the_one(stored)


def test_a_secret_that_others_can_read_is_named_and_so_is_one_that_is_missing(stored: StoredDock) -> None:
    stored.folder.signer_key_file.chmod(0o644)
    assert "signer.key can be read by others (mode 0644)" in the_one(stored)
    stored.folder.signer_key_file.chmod(0o600)
    stored.folder.session_key_file.unlink()
    assert "session.key is missing" in the_one(stored)


def test_a_dock_without_any_keyslot_is_told_that_nobody_can_open_a_clip(stored: StoredDock) -> None:
    (stored.folder.keyslots / "a-example.age").unlink()
    assert "nobody can open a clip" in the_one(stored)


def test_certificates_that_end_soon_are_named_each(stored: StoredDock) -> None:
    stored.time.jump(YEAR - 20 * DAY)
    told = found(stored)
    for name in ("dock.crt", "signer.crt", "the policy's signer"):
        assert any(f"The certificate of {name} ends on" in sentence for sentence in told)


def test_a_list_of_revoked_certificates_that_is_too_old_is_named(stored: StoredDock) -> None:
    stored.time.jump(YEAR + DAY)
    assert any("should have been replaced" in sentence for sentence in found(stored))


def test_a_revoked_or_foreign_certificate_is_named(stored: StoredDock) -> None:
    Pki().dock("dock-1").write(stored.folder.tls_key_file, stored.folder.tls_certificate_file)
    assert "another authority issued it" in the_one(stored)


def test_a_certificate_for_another_key_is_named(stored: StoredDock) -> None:
    stored.folder.tls_certificate_file.write_bytes(stored.pki.dock("dock-1").certificate_pem)
    assert "dock.crt is for another key than dock.key" in the_one(stored)


@pytest.mark.parametrize("content", [policy_toml(days=5), "no policy at all"])
def test_a_policy_that_was_changed_is_named(stored: StoredDock, content: str) -> None:
    stored.folder.policy_file.write_text(content)
    assert "The policy cannot be used" in the_one(stored)


def test_a_policy_with_an_impossible_setting_is_named_with_the_setting(stored: StoredDock) -> None:
    write_policy(stored.folder, stored.pki, policy_toml(days=100, high=90))
    assert "retention_days" in the_one(stored)


def test_a_clock_that_disagrees_with_the_custody_log_is_named(stored: StoredDock) -> None:
    with stored.dock.catalogue.writing() as connection:
        stored.dock.custody.append(connection, actor="dock", action="dock-alive", subject="dock:dock-1")
    stored.time.jump(timedelta(days=-1))
    assert any("24 hours behind the newest entry" in sentence for sentence in found(stored))


def test_a_folder_with_nothing_in_it_gets_sentences_and_no_error(tmp_path: Path, stored: StoredDock) -> None:
    (tmp_path / "empty").mkdir()
    told = list(findings(DockFolder(tmp_path / "empty"), stored.time.now))
    assert len(told) > 3
    assert any("dock.toml is missing" in sentence for sentence in told)


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """All files and folders, with size and time of change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}


def test_a_dock_whose_catalogue_was_never_made_is_told_and_stays_without_one(tmp_path: Path) -> None:
    folder = dock_folder(tmp_path / "dock", Pki())
    before = everything(folder.path)
    told = list(findings(folder, utc_now))
    assert any("mirrorcam-dock migrate" in sentence for sentence in told)
    assert everything(folder.path) == before


def test_a_vault_that_is_not_mounted_is_told_and_not_made_anew(stored: StoredDock) -> None:
    stored.store()
    stored.folder.vault.rename(stored.path / "elsewhere")
    assert the_one(stored) == "The vault's folders are missing (incoming, clips): see that its disk is mounted."
    assert not stored.folder.vault.exists()


def test_an_offer_whose_bundle_is_missing_or_cut_is_named_and_a_whole_one_is_not(stored: StoredDock) -> None:
    files = stored.folder.updates
    files.prepare()
    files.write_offer(
        UpdateOffer(release="0.2.0+20261120T000000Z", compatible="mirrorcam-debian", bytes=3, sha256="0" * 64)
    )
    assert "bundle withdraw" in the_one(stored)
    files.bundle("0" * 64).write_bytes(b"xx")
    assert "its file has another size" in the_one(stored)
    files.bundle("0" * 64).write_bytes(b"xxx")
    assert found(stored) == []
    files.offer_file.write_text("{")
    assert "bundle withdraw" in the_one(stored)
