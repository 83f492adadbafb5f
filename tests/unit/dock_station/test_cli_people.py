"""The commands against a real catalogue, secrets by file, stdin or, in a process of its own, a real terminal."""

import os
import pty
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dock_station.catalogue import entries
from dock_station.catalogue.schema import migrate
from dock_station.commands.people import keyslot_app, person_app
from dock_station.dock import Dock
from dock_station.opening.keyslots import Keyslots, WrongPassphraseError
from dock_station.people import People
from evidence.age import HybridIdentity
from evidence.errors import ExitCode, MirrorcamError
from tests.pki import Pki, dock_folder

ROOT = Path(__file__).parents[3]
PATIENCE = 60
PASSWORD = "several words for a test"
PASSPHRASE = "the passphrase of the first"
NEW_PASSPHRASE = "the passphrase of the second"
ME = pwd.getpwuid(os.getuid()).pw_name
PROGRAM = (
    "import typer\n"
    "from dock_station.commands.people import keyslot_app, person_app\n"
    "from evidence import commandline\n"
    "app = typer.Typer()\n"
    "app.add_typer(person_app, name='person')\n"
    "app.add_typer(keyslot_app, name='keyslot')\n"
    "commandline.run(app, 'mirrorcam-dock')\n"
)


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[Dock]:
    dock = Dock.open_unchecked(dock_folder(tmp_path / "dock", Pki()))
    migrate(dock.catalogue)
    dock.folder.keyslots.mkdir()
    yield dock
    dock.close()


@pytest.fixture
def identity(dock: Dock) -> HybridIdentity:
    identity = HybridIdentity.generate()
    Keyslots(dock.folder.keyslots, work_factor=10).add("a-example", PASSPHRASE, identity)
    return identity


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(dock: Dock, *arguments: str, typed: str = "") -> Done:
    app = typer.Typer()
    app.add_typer(person_app, name="person")
    app.add_typer(keyslot_app, name="keyslot")
    done = CliRunner().invoke(app, [*arguments, "--folder", str(dock.folder.path)], input=typed)
    if isinstance(done.exception, MirrorcamError):
        return Done(done.exception.exit_code, done.stdout, str(done.exception))
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return Done(done.exit_code, done.stdout, done.stderr)


def run_alone(dock: Dock, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments, "--folder", str(dock.folder.path)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=ROOT)


def add(dock: Dock, login: str, role: str = "evidence-officer") -> None:
    done = run(dock, "person", "add", login, "--role", role, "--password-file", "-", typed=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr


def actions(dock: Dock) -> list[tuple[str, str, str]]:
    with dock.catalogue.reading() as connection:
        return [(entry.actor, entry.action, entry.subject) for entry in entries.all_in_order(connection)]


def test_a_person_who_was_added_can_sign_in_and_the_log_says_who_did_it(dock: Dock) -> None:
    add(dock, "a-example")
    assert People(dock).sign_in("a-example", PASSWORD, "::1").role == "evidence-officer"
    assert actions(dock) == [(f"shell:{ME}", "person-added", "person:a-example")]


def test_the_list_shows_role_keyslot_and_state(dock: Dock, identity: HybridIdentity) -> None:
    assert "Nobody may sign in yet" in run(dock, "person", "list").stdout
    add(dock, "a-example")
    add(dock, "b-example", "auditor")
    assert run(dock, "person", "disable", "b-example").returncode == 0
    lines = [line.split() for line in run(dock, "person", "list").stdout.splitlines()]
    assert ["a-example", "evidence-officer", "yes", "active"] in lines
    assert ["b-example", "auditor", "disabled"] in lines


def test_a_name_that_is_too_long_for_the_terminal_is_shown_whole(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    add(dock, "the-login-of-32-characters-there")
    assert "the-login-of-32-characters-there" in run(dock, "person", "list").stdout


def test_a_new_password_from_a_file_replaces_the_old_one(dock: Dock, tmp_path: Path) -> None:
    add(dock, "a-example")
    secret = tmp_path / "secret"
    secret.write_text("entirely different words\nand a second line\n")
    assert run(dock, "person", "passwd", "a-example", "--password-file", str(secret)).returncode == 0
    assert People(dock).sign_in("a-example", "entirely different words", "::1")


def test_a_password_is_typed_twice_at_a_terminal_and_not_shown(dock: Dock) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, "person", "add", "a-example", "--role", "it"]
    with subprocess.Popen(
        [*command, "--folder", str(dock.folder.path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        start_new_session=True,
    ) as child:
        os.close(theirs)
        shown = b""
        for prompt in (b"or more: ", b"again: "):
            while prompt not in shown:
                shown += os.read(ours, 1024)
            os.write(ours, f"{PASSWORD}\n".encode())
        while b"may sign in" not in shown:
            shown += os.read(ours, 1024)
        assert child.wait(PATIENCE) == 0
    os.close(ours)
    assert PASSWORD.encode() not in shown
    assert People(dock).sign_in("a-example", PASSWORD, "::1")


def test_without_terminal_and_file_it_says_what_to_do(dock: Dock) -> None:
    done = run_alone(dock, "person", "add", "a-example", "--role", "it")
    assert done.returncode == ExitCode.ENVIRONMENT
    assert "Traceback" not in done.stderr
    assert "give --password-file FILE" in done.stderr


def test_no_command_takes_a_secret_as_an_argument(dock: Dock) -> None:
    for arguments in (
        ("person", "add", "a-example", "--role", "it", "--password", PASSWORD),
        ("person", "passwd", "a-example", "--password", PASSWORD),
        ("keyslot", "add", "b-example", "--by", "a-example", "--passphrase", PASSPHRASE),
    ):
        assert run(dock, *arguments).returncode == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("person", "add", "A Example", "--role", "it", "--password-file", "-"), "A login has lower case"),
        (("person", "passwd", "nobody", "--password-file", "-"), "Nobody here has the login 'nobody'"),
        (("person", "disable", "nobody"), "Nobody here has the login 'nobody'"),
        (("keyslot", "remove", "nobody"), "'nobody' has no keyslot"),
        (("keyslot", "add", "nobody", "--by", "a-example"), "'nobody' is nobody who may open clips"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(dock: Dock, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(dock, *arguments, typed=f"{PASSWORD}\n")
    assert done.returncode in {ExitCode.FAILED, ExitCode.KEY_DOES_NOT_FIT}
    assert sentence in done.stderr
    assert actions(dock) == []


def test_too_short_a_password_is_refused(dock: Dock) -> None:
    done = run(dock, "person", "add", "a-example", "--role", "it", "--password-file", "-", typed="short\n")
    assert (done.returncode, "12 to 1024 characters" in done.stderr) == (ExitCode.FAILED, True)


def test_a_keyslot_is_given_by_a_reviewer_and_opens_the_same_identity(dock: Dock, identity: HybridIdentity) -> None:
    add(dock, "b-example")
    arguments = ("keyslot", "add", "b-example", "--by", "a-example")
    files = ("--passphrase-file", "-", "--new-passphrase-file", "-")
    done = run(dock, *arguments, *files, typed=f"{PASSPHRASE}\n{NEW_PASSPHRASE}\n")
    assert done.returncode == 0, done.stderr
    keyslots = Keyslots(dock.folder.keyslots)
    assert keyslots.open("b-example", NEW_PASSPHRASE) == identity
    with pytest.raises(WrongPassphraseError):
        keyslots.open("b-example", PASSPHRASE)
    assert run(dock, "keyslot", "list").stdout.split() == ["a-example", "b-example"]
    assert actions(dock)[-1] == (f"shell:{ME}", "keyslot-added", "person:b-example")


def test_the_wrong_passphrase_gives_nobody_a_keyslot(dock: Dock, identity: HybridIdentity) -> None:
    add(dock, "b-example")
    arguments = ("keyslot", "add", "b-example", "--by", "a-example")
    files = ("--passphrase-file", "-", "--new-passphrase-file", "-")
    done = run(dock, *arguments, *files, typed=f"a wrong passphrase\n{NEW_PASSPHRASE}\n")
    assert done.returncode == ExitCode.KEY_DOES_NOT_FIT
    done = run(dock, *arguments, *files, typed=f"{PASSPHRASE}\nshort\n")
    assert done.returncode == ExitCode.FAILED
    assert "at least 12 characters" in done.stderr
    assert run(dock, "keyslot", "list").stdout.split() == ["a-example"]
    assert [action for _, action, _ in actions(dock)] == ["person-added"]


@pytest.mark.parametrize("role", ["it", "auditor"])
def test_who_may_not_open_clips_gets_no_keyslot(dock: Dock, identity: HybridIdentity, role: str) -> None:
    add(dock, "b-example", role)
    done = run(dock, "keyslot", "add", "b-example", "--by", "a-example", typed=f"{PASSPHRASE}\n")
    assert "nobody who may open clips" in done.stderr
    assert done.returncode == ExitCode.FAILED


def test_a_keyslot_is_removed_but_never_the_last_one(dock: Dock, identity: HybridIdentity) -> None:
    Keyslots(dock.folder.keyslots, work_factor=10).add("b-example", NEW_PASSPHRASE, identity)
    assert run(dock, "keyslot", "remove", "a-example").returncode == 0
    done = run(dock, "keyslot", "remove", "b-example")
    assert done.returncode == ExitCode.FAILED
    assert "is the last one" in done.stderr
    assert [action for _, action, _ in actions(dock)] == ["keyslot-removed"]
