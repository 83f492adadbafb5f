"""`mirrorcam-clip open`: whose key opens, what is written, what is not, and that no passphrase is ever shown."""

import base64
import io
import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import pytest

from evidence.age import CHUNK_SIZE, HybridIdentity, ScryptRecipient, X25519Identity, seal_bytes
from tests.clips import Case, frames_before_the_cut, make_case, open_it
from tests.recording import decoded

PASSPHRASE = "seven invented demo words"
WORK_FACTOR = 2


def keyslot(folder: Path, identity: X25519Identity | HybridIdentity) -> Path:
    path = folder / "a-example.age"
    path.write_bytes(seal_bytes(f"{identity.secret_text()}\n".encode(), [ScryptRecipient(PASSPHRASE, WORK_FACTOR)]))
    return path


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


def test_at_a_terminal_the_passphrase_is_asked_for_and_not_shown_and_a_bar_moves(case: Case, tmp_path: Path) -> None:
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
    assert "Opening" in shown


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
    assert 0 < frames_before_the_cut(cut) < 60


def test_a_clip_cut_in_its_first_chunk_leaves_no_file(case: Case, copied: Path, tmp_path: Path) -> None:
    os.truncate(copied, 5000)
    code, sentence = open_it(copied, case.key, tmp_path / "cut.mp4")
    assert code == 3
    assert "The end of the sealed data is missing" in sentence
    assert not (tmp_path / "cut.mp4").exists()


@pytest.mark.parametrize("cut", [0, 1000], ids=["whole", "cut"])
def test_a_chunk_changed_before_the_end_is_named_and_all_before_it_is_kept(
    cut: int, case: Case, copied: Path, tmp_path: Path
) -> None:
    whole, before = tmp_path / "whole.mp4", tmp_path / "before.mp4"
    assert open_it(copied, case.key, whole)[0] == 0
    with copied.open("r+b") as sealed:
        sealed.seek(CHUNK_SIZE + 4000)
        sealed.write(b"!!!!")
    os.truncate(copied, copied.stat().st_size - cut)
    code, sentence = open_it(copied, case.key, before)
    assert code == 3
    assert f"{CHUNK_SIZE} bytes of it were opened and kept. Chunk 1 of the sealed data was changed" in sentence
    assert before.read_bytes() == whole.read_bytes()[:CHUNK_SIZE]


def test_a_clip_changed_in_its_first_chunk_leaves_no_file(case: Case, copied: Path, tmp_path: Path) -> None:
    with copied.open("r+b") as sealed:
        sealed.seek(20_000)
        sealed.write(b"!!!!")
    code, sentence = open_it(copied, case.key, tmp_path / "clip.mp4")
    assert code == 3
    assert "Chunk 0 of the sealed data was changed" in sentence
    assert not list(tmp_path.glob("*clip.mp4*"))


def test_the_part_file_of_a_unit_that_lost_power_opens_too(case: Case, copied: Path, tmp_path: Path) -> None:
    part = copied.rename(copied.with_name(f"{copied.name}.part"))
    os.truncate(part, part.stat().st_size - 1)
    assert open_it(part, case.key, tmp_path / "clip.mp4")[0] == 3
    assert (tmp_path / "clip.mp4").exists()
