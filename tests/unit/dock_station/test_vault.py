"""The vault on a real disk: what it says is stored is stored, what it threw away is gone, and bytes are read back."""

import hashlib
import os
from pathlib import Path

import pytest

from dock_station.read_back import STEP, Follower, ReadBack
from dock_station.vault import NoRoomError, PartLostError, Vault, VaultError
from tests.dock import until

CLIP = "019344a0-1111-7abc-8def-0123456789ab"
CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path / "vault", reserve_bytes=0)
    vault.prepare()
    return vault


def put(vault: Vault, content: bytes = CONTENT, upload_id: str = "up") -> None:
    with vault.appending(upload_id, 0) as part:
        part.write(memoryview(content))
        part.sync()


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "vault").rglob("*") if path.is_file())


def test_its_folders_and_files_are_for_the_dock_alone(vault: Vault, tmp_path: Path) -> None:
    put(vault)
    put(vault, upload_id="other")
    vault.store("up", CLIP, manifest=b"{}", signature=b"s")
    for path in (tmp_path / "vault").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_stored_clip_has_its_three_files_and_no_upload(vault: Vault, tmp_path: Path) -> None:
    put(vault)
    key = vault.store("up", CLIP, manifest=b"{}", signature=b"s")
    assert files(tmp_path) == [f"{CLIP}.json", f"{CLIP}.json.sig", f"{CLIP}.mp4.age"]
    assert vault.sealed_file(key).read_bytes() == CONTENT
    assert (vault.manifest(key), vault.signature(key)) == (b"{}", b"s")


def test_storing_discarding_and_deleting_may_be_done_again(vault: Vault, tmp_path: Path) -> None:
    put(vault)
    for _ in range(2):
        key = vault.store("up", CLIP, manifest=b"{}", signature=b"s")
    assert vault.sealed_file(key).read_bytes() == CONTENT
    for _ in range(2):
        vault.delete(key)
    for _ in range(2):
        vault.discard("up")
    assert files(tmp_path) == []


def test_the_digest_is_that_of_the_stored_bytes_before_and_after_they_got_their_name(vault: Vault) -> None:
    put(vault)
    wanted = hashlib.sha256(CONTENT).hexdigest()
    assert vault.sha256("up", CLIP, len(CONTENT)) == wanted
    vault.store("up", CLIP, manifest=b"{}", signature=b"s")
    assert vault.sha256("up", CLIP, len(CONTENT)) == wanted


def test_bytes_beyond_what_was_acknowledged_go_when_the_upload_goes_on(vault: Vault, tmp_path: Path) -> None:
    put(vault)
    with vault.appending("up", 1000) as part:
        assert (tmp_path / "vault/incoming/up.part").stat().st_size == 1000
        part.write(memoryview(b"new"))
        part.sync()
    assert vault.sha256("up", CLIP, 1003) == hashlib.sha256(CONTENT[:1000] + b"new").hexdigest()


def test_bytes_that_were_hashed_and_then_written_anew_are_hashed_anew(vault: Vault) -> None:
    put(vault)
    vault.sha256("up", CLIP, len(CONTENT))
    other = b"x" * (len(CONTENT) - 1000)
    with vault.appending("up", 1000) as part:
        part.write(memoryview(other))
        part.sync()
    assert vault.sha256("up", CLIP, len(CONTENT)) == hashlib.sha256(CONTENT[:1000] + other).hexdigest()


def test_a_piece_that_is_taken_back_leaves_nothing(vault: Vault) -> None:
    put(vault)
    with vault.appending("up", 1000) as part:
        part.write(memoryview(b"damaged"))
        part.cut(1000)
        part.write(memoryview(b"sound"))
    assert vault.sha256("up", CLIP, 1005) == hashlib.sha256(CONTENT[:1000] + b"sound").hexdigest()


@pytest.mark.parametrize("left", [None, 0, 999])
def test_acknowledged_bytes_that_are_gone_are_missed(vault: Vault, tmp_path: Path, left: int | None) -> None:
    put(vault)
    part = tmp_path / "vault/incoming/up.part"
    if left is None:
        part.unlink()
    else:
        os.truncate(part, left)
    with pytest.raises(PartLostError), vault.appending("up", 1000):
        pytest.fail("it went on")
    with pytest.raises(PartLostError):
        vault.sha256("up", CLIP, 1000)


def test_room_is_what_is_free_without_the_reserve_and_what_is_promised(tmp_path: Path) -> None:
    far_too_much = 1 << 60
    Vault(tmp_path, reserve_bytes=0).require_room(1000, promised=0)
    for reserve, wanted, promised in ((0, far_too_much, 0), (far_too_much, 1, 0), (0, 1, far_too_much)):
        with pytest.raises(NoRoomError, match=f"{wanted} bytes more are needed"):
            Vault(tmp_path, reserve_bytes=reserve).require_room(wanted, promised)


def test_a_manifest_that_cannot_be_read_is_missed_in_one_sentence(vault: Vault) -> None:
    with pytest.raises(VaultError, match="have IT look at its disk"):
        vault.manifest(vault.key_of(CLIP))
    with pytest.raises(VaultError, match="have IT look at its disk"):
        vault.signature(vault.key_of(CLIP))


def test_a_digest_is_taken_piece_by_piece_and_is_that_of_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    read_back = ReadBack(file)
    for size in (1, 1000, 1000, 100_000):
        read_back.catch_up(size)
        assert read_back.hashed_bytes == size
    assert read_back.sha256_of(len(CONTENT)) == hashlib.sha256(CONTENT).hexdigest()
    assert read_back.sha256_of(10) == hashlib.sha256(CONTENT[:10]).hexdigest()


def test_after_an_error_the_digest_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT[:100])
    read_back = ReadBack(file)
    with pytest.raises(EOFError):
        read_back.catch_up(200)
    assert read_back.hashed_bytes == 0
    file.write_bytes(CONTENT)
    assert read_back.sha256_of(200) == hashlib.sha256(CONTENT[:200]).hexdigest()


def test_a_follower_reads_behind_the_writer_and_never_beyond_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    piece = os.urandom(STEP)
    read_back = ReadBack(path)
    with path.open("wb", buffering=0) as file, Follower(read_back) as follower:
        for number in range(1, 4):
            file.write(piece)
            follower.wrote(number * STEP - 1)  # one byte less than is there: that one is not to be touched
            until(lambda number=number: read_back.hashed_bytes >= (number - 1) * STEP)  # type: ignore[misc]
            assert read_back.hashed_bytes <= number * STEP - 1
    assert read_back.hashed_bytes >= STEP
    assert read_back.sha256_of(3 * STEP) == hashlib.sha256(piece * 3).hexdigest()


def test_a_follower_whose_file_fails_is_silent_and_the_last_word_is_not(tmp_path: Path) -> None:
    read_back = ReadBack(tmp_path / "missing")
    with Follower(read_back) as follower:
        follower.wrote(2 * STEP)
    with pytest.raises(FileNotFoundError):
        read_back.sha256_of(1)
