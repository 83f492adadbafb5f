"""What goes wrong around the opener: killed, its parent killed, its time over, its socket left behind, a stranger."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dock_station.opening.keeper import start_opener
from dock_station.opening.keyslots import KeyslotDamagedError, Keyslots, NoKeyslotError, WrongPassphraseError
from dock_station.opening.opener import Opener, OpenerNotRunningError
from dock_station.opening.unlocks import LONGEST_DELAY_SECONDS, MAX_UNLOCKS, LockedError, TooSoonError, Unlocks
from dock_station.settings import DockFolder
from evidence.age import FileKey, Header, HybridIdentity, ScryptRecipient, X25519Identity, seal_bytes
from tests.pki import Pki, dock_folder
from tests.recording import PATIENCE, Hand

ROOT = Path(__file__).parents[2]
PASSPHRASE = "the passphrase of the first"
IDENTITY = HybridIdentity.generate()
COMMAND = [sys.executable, "-m", "dock_station.opening.opener", "--folder"]


@pytest.fixture
def folder(tmp_path: Path) -> DockFolder:
    folder = dock_folder(tmp_path / "dock", Pki())
    folder.keyslots.mkdir()
    Keyslots(folder.keyslots, work_factor=10).add("a-example", PASSPHRASE, IDENTITY)
    return folder


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def unlocks(folder: DockFolder, hand: Hand) -> Unlocks:
    return Unlocks(Keyslots(folder.keyslots, work_factor=10), unlock_seconds=600, seconds=hand.monotonic)


def header() -> bytes:
    return Header.seal([IDENTITY.recipient], FileKey.generate()).raw


def pid_of(opener: Opener) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(opener.socket_path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answers(opener: Opener) -> bool:
    try:
        opener.seconds_left("any")
    except OpenerNotRunningError:
        return False
    return True


@contextmanager
def alone(folder: DockFolder) -> Iterator[subprocess.Popen[bytes]]:
    """Run an opener as a service of its own, as systemd does."""
    command = [*COMMAND, str(folder.path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL) as child:
        try:
            wait_until(lambda: answers(Opener(folder.opener_socket)))
            yield child
        finally:
            child.kill()


def test_a_killed_opener_is_told_and_the_next_one_starts_over_its_leftover(folder: DockFolder) -> None:
    with alone(folder) as child:
        opener = Opener(folder.opener_socket)
        token = opener.unlock("a-example", PASSPHRASE).token
        child.send_signal(signal.SIGKILL)
        child.wait(PATIENCE)
        with pytest.raises(OpenerNotRunningError):
            opener.file_key(token, header())
    assert folder.opener_socket.exists()
    with start_opener(folder) as opener, pytest.raises(LockedError):
        opener.file_key(token, header())
    assert not folder.opener_socket.exists()


def test_one_that_is_killed_is_started_again_and_everything_is_locked(folder: DockFolder) -> None:
    with capture_logs() as events, start_opener(folder) as opener:
        for _ in range(2):
            token = opener.unlock("a-example", PASSPHRASE).token
            pid = pid_of(opener)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists() and answers(opener))  # type: ignore[misc]
            with pytest.raises(LockedError):
                opener.file_key(token, header())
        last = pid_of(opener)
    assert events == [{"event": "opener_ended", "status": -signal.SIGKILL, "log_level": "error"}] * 2
    assert not Path(f"/proc/{last}").exists()


def test_one_that_cannot_start_again_is_tried_until_it_can(
    folder: DockFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = folder.settings_file.read_bytes()
    with capture_logs() as events, start_opener(folder) as opener:
        folder.settings_file.unlink()
        os.kill(pid_of(opener), signal.SIGKILL)
        wait_until(lambda: len(events) >= 2)
        assert not answers(opener)
        folder.settings_file.write_bytes(settings)
        wait_until(lambda: answers(opener))
    assert [event["status"] for event in events[:2]] == [-signal.SIGKILL, 5]
    assert "dock.toml is missing" in capfd.readouterr().err


def test_the_block_ends_also_while_the_next_opener_is_being_started(folder: DockFolder) -> None:
    with capture_logs() as events, start_opener(folder) as opener:
        os.kill(pid_of(opener), signal.SIGKILL)
        wait_until(lambda: len(events) == 1)
    assert not answers(opener)


def test_when_whoever_started_it_is_killed_it_ends_too(folder: DockFolder) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from dock_station.opening.keeper import start_opener\n"
        "from dock_station.settings import DockFolder\n"
        "with start_opener(DockFolder(Path(sys.argv[1]))):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(folder.path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        opener = Opener(folder.opener_socket)
        pid = pid_of(opener)
        opener.unlock("a-example", PASSPHRASE)
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in state_of(pid))
    assert not answers(opener)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"


def test_an_ordered_end_is_quick_and_leaves_no_socket(folder: DockFolder) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with alone(folder) as child:
            child.send_signal(number)
            assert child.wait(PATIENCE) == 0
        assert not folder.opener_socket.exists()


def test_a_client_that_says_nothing_or_half_keeps_nobody_waiting(folder: DockFolder) -> None:
    with start_opener(folder) as opener:
        silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for number, connection in enumerate(silent):
            connection.connect(str(opener.socket_path))
            if number % 2:
                connection.sendall(b"\x00\x00\x00\x40{")
        assert opener.unlock("a-example", PASSPHRASE).token
        for connection in silent:
            connection.close()
        assert answers(opener)


def test_a_crash_of_the_unlocked_opener_writes_no_core_and_nothing_else(folder: DockFolder) -> None:
    with alone(folder) as child:
        opener = Opener(folder.opener_socket)
        opener.unlock("a-example", PASSPHRASE)
        before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
        child.send_signal(signal.SIGABRT)
        assert child.wait(PATIENCE) == -signal.SIGABRT
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
    assert not list(ROOT.glob("core*"))
    for path in folder.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert IDENTITY.seed not in content
            assert PASSPHRASE.encode() not in content


def test_its_memory_is_closed_to_every_other_process_of_its_user(folder: DockFolder) -> None:
    with alone(folder) as child:
        assert Path(f"/proc/{child.pid}/mem").stat().st_uid == 0
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)
        if os.geteuid() != 0:
            with pytest.raises(PermissionError):
                Path(f"/proc/{child.pid}/environ").read_bytes()


def test_an_unlock_ends_to_the_second_and_is_overwritten(unlocks: Unlocks, hand: Hand) -> None:
    token, _ = unlocks.unlock("a-example", PASSPHRASE)
    secret = unlocks._unlocks[token].secret
    hand.seconds += 599.9
    assert unlocks.file_key(token, header())
    assert unlocks.seconds_left(token) == pytest.approx(0.1)
    hand.seconds += 0.1
    assert any(secret)
    with pytest.raises(LockedError):
        unlocks.file_key(token, header())
    assert not any(secret)


def test_an_unlock_that_nobody_asks_about_is_overwritten_too(unlocks: Unlocks, hand: Hand) -> None:
    secrets = [unlocks._unlocks[unlocks.unlock("a-example", PASSPHRASE)[0]].secret for _ in range(3)]
    hand.seconds += 600
    unlocks.expire()
    assert not any(map(any, secrets))
    assert unlocks._unlocks == {}


def test_locking_and_ending_overwrite_what_was_unlocked(unlocks: Unlocks) -> None:
    token, _ = unlocks.unlock("a-example", PASSPHRASE)
    other, _ = unlocks.unlock("a-example", PASSPHRASE)
    secret, other_secret = unlocks._unlocks[token].secret, unlocks._unlocks[other].secret
    unlocks.lock(token)
    unlocks.lock(token)
    assert (any(secret), any(other_secret)) == (False, True)
    unlocks.forget_all()
    assert not any(other_secret)


def test_each_wrong_passphrase_makes_the_next_wait_twice_as_long(unlocks: Unlocks, hand: Hand) -> None:
    for expected in (1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_DELAY_SECONDS, LONGEST_DELAY_SECONDS):
        with pytest.raises(WrongPassphraseError):
            unlocks.unlock("a-example", "a wrong passphrase")
        hand.seconds += expected - 0.01
        with pytest.raises(TooSoonError):
            unlocks.unlock("a-example", PASSPHRASE)
        hand.seconds += 0.02
    unlocks.unlock("a-example", PASSPHRASE)
    with pytest.raises(WrongPassphraseError):
        unlocks.unlock("a-example", "a wrong passphrase")
    hand.seconds += 1.01
    unlocks.unlock("a-example", PASSPHRASE)


def test_who_has_no_keyslot_fills_no_memory(unlocks: Unlocks) -> None:
    for number in range(50):
        with pytest.raises(NoKeyslotError):
            unlocks.unlock(f"nobody-{number}", PASSPHRASE)
    assert unlocks._failures == {}


def test_there_are_never_more_unlocks_than_allowed(unlocks: Unlocks) -> None:
    first, _ = unlocks.unlock("a-example", PASSPHRASE)
    for _ in range(MAX_UNLOCKS):
        newest, _ = unlocks.unlock("a-example", PASSPHRASE)
    assert unlocks.seconds_left(first) == 0
    assert unlocks.seconds_left(newest) == 600
    assert len(unlocks._unlocks) == MAX_UNLOCKS


def test_the_older_kind_of_station_key_opens_too(folder: DockFolder, hand: Hand) -> None:
    identity = X25519Identity.generate()
    keyslots = Keyslots(folder.keyslots, work_factor=10)
    keyslots.add("b-example", PASSPHRASE, identity)
    unlocks = Unlocks(keyslots, unlock_seconds=600, seconds=hand.monotonic)
    file_key = FileKey.generate()
    token, _ = unlocks.unlock("b-example", PASSPHRASE)
    assert unlocks.file_key(token, Header.seal([identity.recipient], file_key).raw) == file_key.raw


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no keyslot",
        b"age-encryption.org/v1\n-> scrypt cut",
        b"x" * 200_000,
        seal_bytes(b"no identity", [ScryptRecipient(PASSPHRASE, 10)]),
        seal_bytes(b"\xff\xfe", [ScryptRecipient(PASSPHRASE, 10)]),
        seal_bytes(b"", [IDENTITY.recipient])[:-3],
    ],
)
def test_a_damaged_keyslot_is_named(folder: DockFolder, content: bytes) -> None:
    (folder.keyslots / "b-example.age").write_bytes(content)
    with pytest.raises((KeyslotDamagedError, WrongPassphraseError)) as caught:
        Keyslots(folder.keyslots).open("b-example", PASSPHRASE)
    assert "IDENTITY" not in str(caught.value)


def test_every_changed_byte_of_a_keyslot_is_noticed(folder: DockFolder) -> None:
    path = folder.keyslots / "a-example.age"
    content = bytearray(path.read_bytes())
    keyslots = Keyslots(folder.keyslots)
    # A changed work factor may ask for a million times the memory: it is bounded before it is tried.
    for at in range(len(content)):
        content[at] ^= 1
        path.write_bytes(content)
        content[at] ^= 1
        with pytest.raises((KeyslotDamagedError, WrongPassphraseError)):
            keyslots.open("a-example", PASSPHRASE)
    path.write_bytes(content)
    assert keyslots.open("a-example", PASSPHRASE) == IDENTITY
