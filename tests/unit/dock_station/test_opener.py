"""The opener is a real process here, asked over its real socket; the scrypt work factor alone is small."""

import os
import resource
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dock_station.opening.keeper import OpenerNotStartedError, start_opener
from dock_station.opening.keyslots import Keyslots, NoKeyslotError, WrongPassphraseError
from dock_station.opening.opener import (
    MAX_MESSAGE,
    Opener,
    OpenerMessageError,
    OpenerNotRunningError,
    Service,
    Unlocked,
)
from dock_station.opening.unlocks import HeaderRefusedError, LockedError, NotForThisStationError, TooSoonError, Unlocks
from dock_station.settings import DockFolder
from evidence.age import FileKey, Header, HybridIdentity
from tests.pki import Pki, dock_folder

PATIENCE = 30
PASSPHRASE = "the passphrase of the first"


@pytest.fixture(scope="module")
def identity() -> HybridIdentity:
    return HybridIdentity.generate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, identity: HybridIdentity) -> DockFolder:
    folder = dock_folder(tmp_path_factory.mktemp("dock"), Pki())
    folder.keyslots.mkdir(mode=0o700)
    keyslots = Keyslots(folder.keyslots, work_factor=10)
    keyslots.add("a-example", PASSPHRASE, identity)
    keyslots.add("b-example", "the passphrase of the second", identity)
    keyslots.add("c-example", "the passphrase of the third", identity)
    return folder


@pytest.fixture(scope="module")
def opener(folder: DockFolder) -> Iterator[Opener]:
    with start_opener(folder) as opener:
        yield opener


@pytest.fixture(scope="module")
def unlocked(opener: Opener) -> Unlocked:
    return opener.unlock("a-example", PASSPHRASE)


def sealed_to(identity: HybridIdentity) -> tuple[FileKey, bytes]:
    file_key = FileKey.generate()
    return file_key, Header.seal([identity.recipient], file_key).raw


def pid_of(opener: Opener) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(opener.socket_path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)


def test_a_passphrase_unlocks_and_gives_the_file_keys_of_this_stations_clips(
    opener: Opener, unlocked: Unlocked, identity: HybridIdentity
) -> None:
    file_key, header = sealed_to(identity)
    assert opener.file_key(unlocked.token, header) == file_key.raw
    assert 0 < opener.seconds_left(unlocked.token) <= unlocked.seconds_left == 600


def test_after_lock_no_file_key_is_given(opener: Opener, unlocked: Unlocked, identity: HybridIdentity) -> None:
    second = opener.unlock("b-example", "the passphrase of the second")
    file_key, header = sealed_to(identity)
    assert opener.file_key(second.token, header) == file_key.raw
    opener.lock(second.token)
    with pytest.raises(LockedError, match="locked"):
        opener.file_key(second.token, header)
    assert opener.seconds_left(second.token) == 0
    assert opener.file_key(unlocked.token, header) == file_key.raw, "another's unlock is untouched"


def test_a_token_that_was_never_given_opens_nothing(opener: Opener, identity: HybridIdentity) -> None:
    with pytest.raises(LockedError):
        opener.file_key("guessed", sealed_to(identity)[1])


def test_a_wrong_passphrase_is_told_and_makes_the_next_one_wait(opener: Opener) -> None:
    with pytest.raises(WrongPassphraseError, match="does not open your keyslot"):
        opener.unlock("c-example", "a wrong passphrase")
    with pytest.raises(TooSoonError, match=r"wait 1 second and"):
        opener.unlock("c-example", "the passphrase of the third")


def test_a_login_without_keyslot_is_told(opener: Opener) -> None:
    with pytest.raises(NoKeyslotError, match="'nobody' has no keyslot"):
        opener.unlock("nobody", "any passphrase at all")


def test_a_login_is_no_path(opener: Opener) -> None:
    with pytest.raises(NoKeyslotError):
        opener.unlock("../keyslots/a-example", PASSPHRASE)


def test_a_clip_of_another_town_is_told(opener: Opener, unlocked: Unlocked) -> None:
    with pytest.raises(NotForThisStationError, match="not sealed to this station"):
        opener.file_key(unlocked.token, sealed_to(HybridIdentity.generate())[1])


def test_a_changed_header_is_refused(opener: Opener, unlocked: Unlocked, identity: HybridIdentity) -> None:
    _, header = sealed_to(identity)
    with pytest.raises(HeaderRefusedError):
        opener.file_key(unlocked.token, header[:-2] + bytes([header[-2] ^ 1]) + header[-1:])
    with pytest.raises(HeaderRefusedError, match="no age file"):
        opener.file_key(unlocked.token, b"no header at all")


def test_a_passphrase_that_no_keyboard_can_type_is_wrong_and_no_crash(opener: Opener) -> None:
    with pytest.raises(WrongPassphraseError):
        opener.unlock("a-example", "half a pair \ud800")


def test_too_long_a_message_is_not_even_read(opener: Opener) -> None:
    with pytest.raises(OpenerMessageError):
        opener.unlock("a-example", "x" * MAX_MESSAGE)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(opener.socket_path))
        connection.sendall((MAX_MESSAGE + 1).to_bytes(4, "big"))
        connection.settimeout(PATIENCE)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("content", [b"", b"no JSON", b'{"type":"other"}', b'{"type":"lock","token":1}', b"\xff"])
def test_what_is_no_message_is_answered_by_hanging_up(opener: Opener, unlocked: Unlocked, content: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(opener.socket_path))
        connection.sendall(len(content).to_bytes(4, "big") + content)
        connection.settimeout(PATIENCE)
        assert connection.recv(1) == b""
    assert opener.seconds_left(unlocked.token) > 0


def test_the_socket_and_its_folder_are_for_one_user_only(opener: Opener) -> None:
    assert stat.S_IMODE(opener.socket_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(opener.socket_path.parent.stat().st_mode) == 0o700


def test_another_user_who_reaches_the_socket_gets_no_answer(
    folder: DockFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Becoming a second user needs root, so here it is the opener that takes itself for somebody else.
    service = Service(Unlocks(Keyslots(folder.keyslots), unlock_seconds=60, seconds=time.monotonic))
    question = b'{"type":"tell-seconds-left","token":"any"}'
    for uid, answered in ((os.getuid(), True), (os.getuid() + 1, False)):
        ours, theirs = socket.socketpair()
        with ours:
            ours.sendall(len(question).to_bytes(4, "big") + question)
            with monkeypatch.context() as patch:
                patch.setattr(os, "getuid", lambda uid=uid: uid)
                service.attend(theirs)
            try:
                answer = ours.recv(1)
            except ConnectionResetError:
                answer = b""
            assert bool(answer) is answered


def test_it_writes_no_core_and_its_command_and_environment_hold_no_secret(
    opener: Opener, unlocked: Unlocked, identity: HybridIdentity
) -> None:
    pid = pid_of(opener)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    for name in ("cmdline", "environ"):
        content = Path(f"/proc/{pid}/{name}").read_bytes()
        for secret in (PASSPHRASE.encode(), identity.secret_text().encode(), unlocked.token.encode()):
            assert secret not in content


def test_a_second_opener_of_the_same_dock_does_not_start(
    opener: Opener, folder: DockFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OpenerNotStartedError), start_opener(folder):
        pass
    assert "runs already" in capfd.readouterr().err
    assert opener.socket_path.exists()


def test_without_a_dock_it_says_what_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OpenerNotStartedError), start_opener(DockFolder(tmp_path)):
        pass
    assert "dock.toml is missing" in capfd.readouterr().err


def test_without_an_opener_every_question_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    nobody = Opener(DockFolder(tmp_path).opener_socket)
    for ask in (
        lambda: nobody.unlock("a-example", PASSPHRASE),
        lambda: nobody.file_key("token", b""),
        lambda: nobody.seconds_left("token"),
        lambda: nobody.lock("token"),
    ):
        with pytest.raises(OpenerNotRunningError, match="is not running"):
            ask()
