"""The command `mirrorcam-provision`: what it prints, how it ends, and that no secret is in either."""

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evidence.age import ScryptIdentity, open_bytes
from tests.unit.provisioning.conftest import RECOVERY_PASSPHRASE, REVIEWER_PASSPHRASE, openssl

COMMAND = [sys.executable, "-m", "provisioning.cli"]


def call(*arguments: str, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, input=stdin, text=True, capture_output=True, env=environment, check=False
    )


CREATE = ("authority", "create", "town", "--town", "Sampleton", "--reviewer", "a-example")
FROM_STDIN = ("--reviewer-passphrase-file", "-", "--recovery-passphrase-file", "-")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a town, a dock and a unit were set up by the commands of the guide."""
    folder = tmp_path_factory.mktemp("place")
    passphrases = f"{REVIEWER_PASSPHRASE}\n{RECOVERY_PASSPHRASE}\n"
    for command, stdin in (
        ((*CREATE, *FROM_STDIN), passphrases),
        (("dock", "create", "dock", "--authority", "town", "--id", "town-hall", "--host", "localhost"), ""),
        (("unit", "enrol", "unit", "--authority", "town", "--id", "unit-01", "--dock-url", "https://localhost"), ""),
    ):
        done = call(*command, folder=folder, stdin=stdin)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_passphrases_of_standard_input_go_to_the_key_they_are_for(place: Path) -> None:
    assert open_bytes((place / "town/keyslots/a-example.age").read_bytes(), [ScryptIdentity(REVIEWER_PASSPHRASE)])
    assert open_bytes((place / "town/recovery.age").read_bytes(), [ScryptIdentity(RECOVERY_PASSPHRASE)])


def test_running_again_says_what_is_there_and_ends_well(place: Path) -> None:
    again = call(*CREATE, folder=place)
    assert again.returncode == 0
    assert "Everything is there already; nothing was changed." in again.stdout
    assert "made" not in again.stdout


def test_running_again_after_another_policy_was_signed_ends_well_too(tmp_path: Path) -> None:
    stdin = f"{REVIEWER_PASSPHRASE}\n{RECOVERY_PASSPHRASE}\n"
    assert call(*CREATE, *FROM_STDIN, folder=tmp_path, stdin=stdin).returncode == 0
    assert call("policy", "sign", "--authority", "town", "--profile", "nrw", folder=tmp_path).returncode == 0
    in_force = (tmp_path / "town/policy.toml").read_bytes()
    again = call(*CREATE, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    asked_for_the_first = call(*CREATE, "--profile", "bocholt", folder=tmp_path)
    assert asked_for_the_first.returncode == 1
    assert "another policy is in force" in asked_for_the_first.stderr
    assert (tmp_path / "town/policy.toml").read_bytes() == in_force


def test_a_passphrase_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe twelve characters and more\n")
    for file in ("a", "."):
        refused = call(*CREATE, "--reviewer-passphrase-file", file, folder=tmp_path)
        assert refused.returncode == 5
        assert refused.stderr.count("\n") == 1


def test_a_difference_is_one_sentence_and_exit_code_1(place: Path) -> None:
    refused = call(*CREATE[:4], "Otherton", *CREATE[5:], folder=place)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "it is the authority of Sampleton" in refused.stderr


def test_what_is_printed_holds_no_secret(place: Path, tmp_path: Path) -> None:
    printed = call(*CREATE, *FROM_STDIN, folder=tmp_path, stdin=f"{REVIEWER_PASSPHRASE}\n{RECOVERY_PASSPHRASE}\n")
    text = printed.stdout + printed.stderr
    for secret in (REVIEWER_PASSPHRASE, RECOVERY_PASSPHRASE, "AGE-SECRET", "PRIVATE KEY"):
        assert secret not in text


def test_passphrases_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"{REVIEWER_PASSPHRASE}\n")
    (tmp_path / "b").write_text(f"{RECOVERY_PASSPHRASE}\n")
    files = ("--reviewer-passphrase-file", "a", "--recovery-passphrase-file", "b")
    assert call(*CREATE, *files, folder=tmp_path).returncode == 0
    assert open_bytes((tmp_path / "town/recovery.age").read_bytes(), [ScryptIdentity(RECOVERY_PASSPHRASE)])


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        ("short\nother invented demo words\n", "The passphrase of a-example is shorter than 12 characters"),
        ("one and the same phrase\none and the same phrase\n", "The recovery key has the reviewer's passphrase"),
    ],
)
def test_a_weak_passphrase_is_refused(tmp_path: Path, stdin: str, sentence: str) -> None:
    refused = call(*CREATE, *FROM_STDIN, folder=tmp_path, stdin=stdin)
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert not (tmp_path / "town/recovery.pub").exists()


def test_without_a_terminal_and_a_file_it_says_which_option_to_give(tmp_path: Path) -> None:
    refused = call(*CREATE, folder=tmp_path)
    assert refused.returncode == 5
    assert "give --reviewer-passphrase-file FILE" in refused.stderr


def test_at_a_terminal_each_passphrase_is_typed_twice_and_not_shown(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    typist = subprocess.Popen(
        [*COMMAND, *CREATE], cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown = ""
    for passphrase in (REVIEWER_PASSPHRASE, REVIEWER_PASSPHRASE, RECOVERY_PASSPHRASE, RECOVERY_PASSPHRASE):
        shown += _read_until(master, r"(Passphrase|The same again): $")
        os.write(master, f"{passphrase}\n".encode())
    shown += _read_until(master, r"in two places\.\s*$")
    os.close(master)
    assert typist.wait(30) == 0
    assert "IT looks away" in shown
    assert REVIEWER_PASSPHRASE not in shown
    assert RECOVERY_PASSPHRASE not in shown


def _read_until(terminal: int, pattern: str) -> str:
    text = ""
    while not re.search(pattern, text):
        text += os.read(terminal, 4096).decode()  # raises OSError when the command ends first
    return text


def test_a_policy_is_signed_brought_to_the_dock_and_shown(place: Path) -> None:
    signed = call("policy", "sign", "--authority", "town", "--profile", "nrw", "--into", "dock", folder=place)
    assert signed.returncode == 0, signed.stderr
    shown = call("policy", "show", "dock", folder=place)
    assert re.search(r"policy_id +│ nrw-1", shown.stdout)
    assert re.search(r"retention_days +│ 14", shown.stdout)


def test_a_profile_is_printed_to_begin_ones_own_with(place: Path, tmp_path: Path) -> None:
    printed = call("policy", "show", "--profile", "bayern", folder=place)
    (tmp_path / "own.toml").write_text(printed.stdout.replace("bayern-1", "sampleton-1"))
    signed = call("policy", "sign", "--authority", "town", "--file", str(tmp_path / "own.toml"), folder=place)
    assert signed.returncode == 0, signed.stderr


def test_a_stolen_dock_is_revoked_and_another_one_told_in_one_step(place: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(place, tmp_path / "place"))
    made = call("dock", "create", "annex", "--authority", "town", "--id", "annex", "--host", "localhost", folder=place)
    assert made.returncode == 0, made.stderr
    done = call("dock", "revoke", "town-hall", "--authority", "town", "--into", "annex", folder=place)
    assert done.returncode == 0, done.stderr
    assert "list of revoked certificates, dock town-hall added" in " ".join(done.stdout.split())
    stolen, listed = place / "dock/dock.crt", place / "annex/revocations.pem"
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-crl_check", "-CRLfile", listed, "-CAfile", place / "town/authority.crt", stolen)


def test_a_stolen_unit_is_revoked_at_the_dock_in_one_step(place: Path) -> None:
    before = (place / "dock/revocations.pem").read_bytes()
    assert call("unit", "revoke", "unit-01", "--authority", "town", "--into", "dock", folder=place).returncode == 0
    assert (place / "dock/revocations.pem").read_bytes() != before
    assert re.search(r"unit-01.*revoked", call("unit", "list", "--authority", "town", folder=place).stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("unit", "enrol", "x", "--authority", "town", "--id", "Unit 1", "--dock-url", "https://localhost"),
        ("unit", "enrol", "x", "--authority", "town", "--dock-url", "https://localhost"),
        ("policy", "sign", "--authority", "town"),
        ("policy", "show"),
        ("dock", "create", "x", "--authority", "town", "--id", "x", "--host", "localhost", "--pages-port", "70000"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2_and_makes_nothing(place: Path, arguments: tuple[str, ...]) -> None:
    assert call(*arguments, folder=place).returncode == 2
    assert not (place / "x").exists()


def test_a_folder_without_an_authority_is_named(tmp_path: Path) -> None:
    refused = call("unit", "list", "--authority", "nowhere", folder=tmp_path)
    assert refused.returncode == 5
    assert "mirrorcam-provision authority create" in refused.stderr


def test_every_example_in_the_help_is_a_command_that_exists(place: Path) -> None:
    pages = [("--help",), ("authority", "create", "--help"), ("unit", "enrol", "--help"), ("policy", "sign", "--help")]
    examples = [
        line.split()[1:3]
        for page in pages
        for line in call(*page, folder=place).stdout.splitlines()
        if line.strip().startswith("mirrorcam-provision ")
    ]
    assert len(examples) >= 7
    for example in examples:
        assert call(*example, "--help", folder=place).returncode == 0


WRONG = {
    "authority create t --town 'two\nlines' --reviewer a": (1, "on one line"),
    "authority create t --town T --reviewer a --profile other": (2, "There is no profile 'other'"),
    "dock create d --authority nowhere --id d --host d": (5, "nowhere/authority.key is missing"),
    "dock create d --authority town --id d --host 'a b'": (2, "is no host name"),
    "dock create d --authority town --id d --host d --pages-port 8444": (2, "both listen at port 8444"),
    "dock update unit --authority town": (5, "is no dock's folder"),
    "unit enrol u --authority town --id u --dock-url http://dock.example": (2, "https://dock.example:8444"),
    "unit enrol u --authority town --id u --dock-url https://dock.example:99999": (2, "https://dock.example:8444"),
    "unit enrol u --authority town --id u --dock-url https://dock.example/path": (2, "https://dock.example:8444"),
    "unit enrol u --authority town --id unit-01 --dock-url https://dock.example": (1, "an id is used once"),
    "unit enrol u --authority town --request town --dock-url https://dock.example": (5, "name a file"),
    "unit list --authority dock": (5, "dock/authority.key is missing"),
    "policy sign --authority town --file nowhere.toml": (5, "name one that is there"),
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_said_with_what_to_do_and_nothing_is_made(place: Path, line: str) -> None:
    exit_code, sentence = WRONG[line]
    before = {path.name for path in place.iterdir()}
    refused = call(*shlex.split(line), folder=place)
    assert (refused.returncode, sentence in refused.stderr) == (exit_code, True), refused.stderr
    assert not {"t", "u"} & ({path.name for path in place.iterdir()} - before)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give either --dock, or the folder of one unit"),
        (("unit", "--dock", "dock"), "give either --dock, or the folder of one unit"),
        (("--dock", "dock", "--id", "unit-09"), "ids are given on the dock's page"),
        (("unit",), "say where the unit finds its dock"),
    ],
)
def test_enrolling_needs_a_dock_or_a_units_folder(place: Path, arguments: tuple[str, ...], sentence: str) -> None:
    refused = call("unit", "enrol", "--authority", "town", *arguments, folder=place)
    assert refused.returncode == 2
    assert sentence in refused.stderr


def test_a_folder_that_is_no_docks_is_not_opened(place: Path) -> None:
    refused = call("unit", "enrol", "--authority", "town", "--dock", "unit", folder=place)
    assert refused.returncode == 5
    assert refused.stderr.count("\n") == 1
    assert "is no dock's folder" in refused.stderr


def test_enrolment_that_nobody_ends_ends_by_itself(place: Path) -> None:
    done = call("unit", "enrol", "--authority", "town", "--dock", "dock", "--hours", "0.001", folder=place)
    assert done.returncode == 0, done.stderr
    assert "Enrolment is closed; 0 units enrolled." in done.stdout
