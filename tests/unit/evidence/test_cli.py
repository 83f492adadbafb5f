"""The command `mirrorcam-clip`: what it prints, how it ends, what it leaves, and that no secret is in any of it."""

import base64
import contextlib
import io
import os
import pty
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import av
import pytest

from evidence.age import CHUNK_SIZE, HybridIdentity, ScryptRecipient, X25519Identity, seal_bytes
from evidence.strict import write_json
from tests.clips import Case, call, make_case
from tests.recording import decoded

PASSPHRASE = "seven invented demo words"
WORK_FACTOR = 2


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Two clips of one unit, the second with some chunks; nothing in this folder is changed by a test."""
    return make_case(tmp_path_factory.mktemp("case"), seconds=2)


@pytest.fixture
def copied(case: Case, tmp_path: Path) -> Path:
    """A copy of the second clip and the certificates, to be spoilt; the path of its sealed file."""
    clip = case.clips[1]
    for file in (clip.sealed_file, clip.manifest_file, clip.signature_file, case.authority, case.folder / "unit.crt"):
        shutil.copy(file, tmp_path)
    return tmp_path / clip.sealed_file.name


def verify(sealed: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    return call("verify", sealed, "--authority", sealed.with_name("authority.crt"), *more)


def open_it(sealed: Path, key: Path, output: Path | str, *more: str, stdin: str = "") -> tuple[int, str]:
    done = call("open", sealed, "--identity", key, "--output", output, *more, stdin=stdin)
    return done.returncode, done.stderr


def keyslot(folder: Path, identity: X25519Identity | HybridIdentity) -> Path:
    path = folder / "a-example.age"
    path.write_bytes(seal_bytes(f"{identity.secret_text()}\n".encode(), [ScryptRecipient(PASSPHRASE, WORK_FACTOR)]))
    return path


# inspect


@pytest.mark.parametrize("ending", ["", ".mp4.age", ".json", ".json.sig"])
def test_a_clip_is_found_by_any_of_its_names(case: Case, ending: str) -> None:
    clip = case.clips[1]
    shown = call("inspect", clip.sealed_file.with_name(clip.clip_id + ending))
    assert shown.returncode == 0, shown.stderr
    assert f"Clip              {clip.clip_id}" in shown.stdout
    assert "unit unit-1, worn by wearer-7, its clip number 2" in shown.stdout
    assert "1 of kind X25519" in shown.stdout
    assert str(case.unit.identity.recipient) in shown.stdout
    assert "there, as the manifest says" in shown.stdout


def test_a_sealed_file_alone_is_inspected_as_far_as_it_goes(copied: Path) -> None:
    alone = copied.with_name("somebody-called-it-so.age")
    copied.rename(alone)
    shown = call("inspect", alone)
    assert shown.returncode == 0, shown.stderr
    assert "none beside it" in shown.stdout
    assert "not known without a manifest or a key" in shown.stdout


def test_a_clip_that_was_cut_since_shows_in_its_inspection(copied: Path) -> None:
    os.truncate(copied, copied.stat().st_size - 100)
    assert "the file has 100 bytes fewer than its manifest says" in call("inspect", copied).stdout


# verify


def test_a_genuine_clip_verifies_and_what_was_not_checked_is_said(copied: Path) -> None:
    done = verify(copied)
    assert done.returncode == 0, done.stderr
    assert "is genuine" in done.stdout
    assert "unit unit-1 signed the manifest" in done.stdout
    assert "--previous" in done.stdout
    assert "--receipt" in done.stdout


def test_everything_that_can_be_checked_is_checked_when_given(case: Case, copied: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(write_json(case.receipt(case.clips[1])))
    before = case.clips[0].manifest_file
    revocations = case.folder / "revocations.pem"
    done = verify(copied, "--previous", before, "--receipt", receipt, "--revocations", revocations)
    assert done.returncode == 0, done.stderr
    assert f"it follows clip {case.clips[0].clip_id}, sequence 1" in done.stdout
    assert "dock dock-1 stored it" in done.stdout
    assert "Not checked" not in done.stdout


def test_the_certificate_is_found_as_an_authoritys_folder_has_it(copied: Path) -> None:
    (copied.parent / "units").mkdir()
    copied.with_name("unit.crt").rename(copied.parent / "units/unit-1.crt")
    assert verify(copied).returncode == 0


def test_a_missing_certificate_is_asked_for(copied: Path) -> None:
    copied.with_name("unit.crt").unlink()
    done = verify(copied)
    assert done.returncode == 5
    assert "give the unit's certificate with --unit-certificate" in done.stderr


def test_a_file_that_does_not_fit_is_named_with_exit_code_3(case: Case, copied: Path, tmp_path: Path) -> None:
    other = case.clips[0]
    wrong = tmp_path / "wrong.json"
    wrong.write_bytes(write_json(case.receipt(other)))
    alien = case.unit.pki.unit("unit-2").certificate_pem
    (tmp_path / "alien.crt").write_bytes(alien)
    for arguments, sentence in (
        (("--previous", copied.with_suffix("").with_suffix(".json")), "which was used before"),
        (("--receipt", wrong), "The dock's receipt for clip"),
        (("--unit-certificate", tmp_path / "alien.crt"), "The signature of this manifest does not fit"),
        (("--unit-certificate", case.authority), "it names no Mirrorcam role"),
    ):
        done = verify(copied, *arguments)
        assert done.returncode == 3, arguments
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert "genuine" not in done.stdout


def test_the_manifest_of_another_clip_is_refused(case: Case, copied: Path) -> None:
    other = case.clips[0]
    base = copied.name.removesuffix(".mp4.age")
    shutil.copy(other.manifest_file, copied.with_name(f"{base}.json"))
    shutil.copy(other.signature_file, copied.with_name(f"{base}.json.sig"))
    done = verify(copied)
    assert done.returncode == 3
    assert f"is the one of clip {other.clip_id}" in done.stderr


def test_another_recording_under_a_clips_name_is_refused(case: Case, copied: Path) -> None:
    shutil.copy(case.clips[0].sealed_file, copied)
    done = verify(copied)
    assert done.returncode == 3
    assert "is not what its manifest says" in done.stderr


def test_a_clip_of_another_authority_is_refused(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    foreign = make_case(tmp_path_factory.mktemp("foreign"), clips=1, seconds=1)
    shutil.copy(foreign.authority, copied.with_name("authority.crt"))
    done = verify(copied)
    assert done.returncode == 3
    assert "another authority issued it" in done.stderr


def test_a_revoked_units_clip_is_refused_with_the_list(case: Case, copied: Path) -> None:
    pki = replace(case.unit.pki, _revoked=[])
    pki._key, pki.certificate = case.unit.pki._key, case.unit.pki.certificate
    pki.revoke(case.signer)
    (copied.parent / "revoked.pem").write_bytes(pki.revocations_pem())
    done = verify(copied, "--revocations", copied.parent / "revoked.pem")
    assert done.returncode == 3
    assert "it was revoked on" in done.stderr
    assert verify(copied).returncode == 0


@pytest.mark.parametrize("ending", [".mp4.age", ".json", ".json.sig"])
def test_a_missing_file_of_the_clip_is_named(copied: Path, ending: str) -> None:
    missing = copied.with_name(copied.name.removesuffix(".mp4.age") + ending)
    missing.unlink()
    done = verify(copied)
    assert done.returncode == 5
    assert f"{missing} is missing" in done.stderr


# open


def test_an_opened_clip_plays_and_only_its_owner_may_read_it(case: Case, tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    assert open_it(case.clips[1].sealed_file, case.key, output) == (0, "")
    assert len(decoded(output.read_bytes())) == 60
    assert output.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("make", [X25519Identity.generate, HybridIdentity.generate], ids=["x25519", "hybrid"])
def test_a_keyslot_opens_with_its_passphrase(make: type[X25519Identity] | type[HybridIdentity], tmp_path: Path) -> None:
    identity = make()  # type: ignore[call-arg]
    clip = make_case(tmp_path / "case", clips=1, seconds=1, recipients=(str(identity.recipient),)).clips[0]
    slot = keyslot(tmp_path, identity)
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    from_file = open_it(clip.sealed_file, slot, tmp_path / "a.mp4", "--passphrase-file", str(tmp_path / "passphrase"))
    from_stdin = open_it(clip.sealed_file, slot, tmp_path / "b.mp4", "--passphrase-file", "-", stdin=PASSPHRASE)
    assert from_file == from_stdin == (0, "")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_an_armored_keyslot_opens(case: Case, tmp_path: Path) -> None:
    slot = tmp_path / "slot.age"
    slot.write_text(_armored(keyslot(tmp_path, case.unit.identity).read_bytes()))
    opened = open_it(case.clips[1].sealed_file, slot, tmp_path / "a.mp4", "--passphrase-file", "-", stdin=PASSPHRASE)
    assert opened == (0, "")


def test_a_key_file_that_another_key_would_open_is_named(case: Case, tmp_path: Path) -> None:
    slot = tmp_path / "slot.age"
    slot.write_bytes(seal_bytes(b"x", [X25519Identity.generate().recipient]))
    code, sentence = open_it(
        case.clips[1].sealed_file, slot, tmp_path / "a.mp4", "--passphrase-file", "-", stdin=PASSPHRASE
    )
    assert code == 4
    assert "slot.age: None of the keys given opens this file, which is sealed to X25519" in sentence


def _armored(raw: bytes) -> str:
    lines = "\n".join(textwrap.wrap(base64.b64encode(raw).decode(), 64))
    return f"-----BEGIN AGE ENCRYPTED FILE-----\n{lines}\n-----END AGE ENCRYPTED FILE-----\n"


def test_a_clip_goes_to_a_pipe_without_touching_the_disk(case: Case) -> None:
    command = [sys.executable, "-m", "evidence.cli", "open", str(case.clips[1].sealed_file)]
    command += ["--identity", str(case.key), "--output", "-"]
    piped = subprocess.run(command, capture_output=True, check=True).stdout
    with av.open(io.BytesIO(piped)) as film:
        assert film.streams.video[0].codec.name == "h264"


def test_at_a_terminal_the_passphrase_is_asked_for_and_not_shown(case: Case, tmp_path: Path) -> None:
    slot = keyslot(tmp_path, case.unit.identity)
    command = [sys.executable, "-m", "evidence.cli", "open", str(case.clips[1].sealed_file)]
    command += ["--identity", str(slot), "--output", str(tmp_path / "clip.mp4")]
    master, slave = pty.openpty()
    typist = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    shown = _read_until(master, r"Passphrase of a-example\.age: $")
    os.write(master, f"{PASSPHRASE}\n".encode())
    shown += _read_until(master, r"has the whole clip\.\s*$")
    os.close(master)
    assert typist.wait(30) == 0
    assert PASSPHRASE not in shown


def _read_until(terminal: int, pattern: str) -> str:
    text = ""
    while not re.search(pattern, text):
        text += os.read(terminal, 4096).decode()  # raises OSError when the command ends first
    return text


def test_without_a_terminal_it_says_which_option_to_give(case: Case, tmp_path: Path) -> None:
    slot = keyslot(tmp_path, case.unit.identity)
    code, sentence = open_it(case.clips[1].sealed_file, slot, tmp_path / "clip.mp4")
    assert code == 5
    assert "give --passphrase-file FILE" in sentence


def test_a_wrong_passphrase_ends_with_exit_code_4_and_no_file(case: Case, tmp_path: Path) -> None:
    slot = keyslot(tmp_path, case.unit.identity)
    output = tmp_path / "clip.mp4"
    code, sentence = open_it(case.clips[1].sealed_file, slot, output, "--passphrase-file", "-", stdin="wrong words")
    assert code == 4
    assert "The passphrase does not open this file" in sentence
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"", 4, "the key file holds none"),
        (b"\x00\xff\xfe" * 40, 4, "is no key file"),
        (b"AGE-SECRET-KEY-1QQQQ\n", 4, "This is no age secret key"),
        (b"age-encryption.org/v1\n-> scrypt x\n", 3, "ends inside its header"),
        (b"age-encryption.org/v2\n", 3, "version v2"),
    ],
)
def test_a_file_that_is_no_key_is_one_sentence(
    case: Case, tmp_path: Path, content: bytes, code: int, sentence: str
) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    output = tmp_path / "clip.mp4"
    done = open_it(case.clips[1].sealed_file, key, output, "--passphrase-file", "-", stdin=PASSPHRASE)
    assert done[0] == code, done[1]
    assert sentence in done[1]
    assert done[1].count("\n") == 1
    assert not output.exists()


def test_the_key_of_somebody_else_ends_with_exit_code_4(case: Case, tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_text(HybridIdentity.generate().secret_text())
    code, sentence = open_it(case.clips[1].sealed_file, key, tmp_path / "clip.mp4")
    assert code == 4
    assert "None of the keys given opens this file, which is sealed to X25519" in sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "does not begin with age-encryption.org/v1"),
        (b"\x00\x00\x00\x1cftypiso5", "does not begin with age-encryption.org/v1"),
        (b"age-encryption.org/v1\n-> X25519", "ends inside its header"),
        (b"age-encryption.org/v1\n" + b"-> grease a\n\n" * 6000, "more than the 65536 bytes"),
    ],
)
def test_what_is_no_sealed_clip_is_refused_by_inspect_and_open(
    case: Case, tmp_path: Path, content: bytes, sentence: str
) -> None:
    sealed = tmp_path / "x.mp4.age"
    sealed.write_bytes(content)
    for done in (call("inspect", sealed), call("open", sealed, "--identity", case.key, "--output", tmp_path / "o")):
        assert done.returncode == 3
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


def test_nothing_is_overwritten(case: Case, tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    output.write_bytes(b"somebody's own")
    code, sentence = open_it(case.clips[1].sealed_file, case.key, output)
    assert code == 1
    assert "exists already and is kept as it is" in sentence
    assert output.read_bytes() == b"somebody's own"


def test_a_cut_clip_opens_up_to_the_last_whole_chunk_and_says_so(case: Case, copied: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    assert open_it(copied, case.key, whole)[0] == 0
    os.truncate(copied, copied.stat().st_size - 70_000)
    code, sentence = open_it(copied, case.key, cut)
    assert code == 3
    assert "were opened and kept" in sentence
    size = cut.stat().st_size
    assert size % CHUNK_SIZE == 0
    assert cut.read_bytes() == whole.read_bytes()[:size]
    assert 0 < _frames_before_the_cut(cut) < 60


def _frames_before_the_cut(path: Path) -> int:
    frames = 0
    with av.open(str(path)) as film, contextlib.suppress(av.error.InvalidDataError):  # the last picture is half there
        for _ in film.decode(video=0):
            frames += 1
    return frames


def test_a_clip_cut_in_its_first_chunk_leaves_no_file(case: Case, copied: Path, tmp_path: Path) -> None:
    os.truncate(copied, 5000)
    code, sentence = open_it(copied, case.key, tmp_path / "cut.mp4")
    assert code == 3
    assert "The end of the sealed data is missing" in sentence
    assert not (tmp_path / "cut.mp4").exists()


def test_a_chunk_changed_before_the_end_is_never_written(case: Case, copied: Path, tmp_path: Path) -> None:
    with copied.open("r+b") as sealed:
        sealed.seek(CHUNK_SIZE + 1000)
        sealed.write(b"!!!!")
    code, sentence = open_it(copied, case.key, tmp_path / "clip.mp4")
    assert code == 3
    assert "Chunk 1 of the sealed data was changed" in sentence
    assert not list(tmp_path.glob("*clip.mp4*"))


def test_the_part_file_of_a_unit_that_lost_power_opens_too(case: Case, copied: Path, tmp_path: Path) -> None:
    part = copied.rename(copied.with_name(f"{copied.name}.part"))
    os.truncate(part, part.stat().st_size - 1)
    assert open_it(part, case.key, tmp_path / "clip.mp4")[0] == 3
    assert (tmp_path / "clip.mp4").exists()


# How it is used


@pytest.mark.parametrize(
    "arguments", [(), ("open", "x"), ("verify", "x"), ("inspect",), ("open", "x", "--passphrase", "secret")]
)
def test_wrong_usage_ends_with_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).returncode == 2


def test_every_example_in_the_help_is_a_command_with_options_that_exist() -> None:
    pages = [call("--help").stdout, *(call(name, "--help").stdout for name in ("inspect", "verify", "open"))]
    examples = [line.split() for page in pages for line in page.splitlines() if line.strip().startswith("mirrorcam-")]
    assert len(examples) >= 7
    for _, name, *rest in examples:
        help_page = call(name, "--help").stdout
        assert all(word in help_page for word in rest if word.startswith("--"))
