"""The command `mirrorcam-provision card write` on real block devices: what it asks, prints and ends with."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioning.authority import AuthorityFolder, create_authority
from tests.cards import CARD, IMAGE, data_partition, loop_device, pull, put_in, read_file, run
from tests.unit.provisioning.conftest import CHEAP, openssl

OLD = b"old\n" * (CARD // 4)
PATIENCE = 60  # seconds that a test waits for what takes a moment


@dataclass(frozen=True)
class Desk:
    """Where cards are written: an image, a town, a card in its reader."""

    folder: Path
    image: Path
    device: Path
    card: Path

    def command(self, *options: str) -> list[str]:
        given = ("--authority", "town", "--dock-url", "https://[fd6d:6972:726f::1]:8445")
        return [sys.executable, "-m", "provisioning.cli", "card", "write", self.image.name, *given, *options]

    def write(self, *options: str) -> "subprocess.CompletedProcess[str]":
        command = self.command("--device", str(self.device), "--confirm", self.device.name, *options)
        return call(command, self.folder)

    def is_untouched(self) -> bool:
        return self.card.read_bytes() == OLD


def call(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=folder, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL, env=environment()
    )


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of today: the command asks this computer's clock."""
    folder = tmp_path_factory.mktemp("town") / "town"
    create_authority(
        AuthorityFolder(folder), town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=datetime.now(UTC)
    )
    return folder


@pytest.fixture
def desk(image_file: Path, town: Path, tmp_path: Path) -> Iterator[Desk]:
    shutil.copytree(town, tmp_path / "town")
    card = tmp_path / "card"
    card.write_bytes(OLD)
    with loop_device(card) as device:
        yield Desk(tmp_path, image_file, device, card)


def refused(done: "subprocess.CompletedProcess[str]", code: int, sentence: str) -> None:
    assert done.returncode == code, done.stderr
    assert re.search(sentence, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mirrorcam-provision: ")


def test_a_card_is_written_with_the_authoritys_public_side_on_it(desk: Desk) -> None:
    done = desk.write("--screen", "720x720")
    assert done.returncode == 0, done.stderr
    assert f"{desk.device} is ready for units of Sampleton: {IMAGE} bytes were written and read back." in done.stdout
    assert "label it mirrorcam-test-0.1.0." in done.stdout
    assert "nobody has signed it" in done.stdout
    for doing in ("Checking the image", "Writing", "Reading back"):
        assert doing in done.stderr
    partition = data_partition(desk.card, desk.folder / "partition")
    enrolment = 'dock_url = "https://[fd6d:6972:726f::1]:8445"\nscreen_width = 720\nscreen_height = 720\n'
    assert read_file(partition, "enrolment.toml").decode() == enrolment
    assert read_file(partition, "authority.crt") == (desk.folder / "town/authority.crt").read_bytes()
    run("sfdisk", "--verify", str(desk.card))


def test_a_signed_image_is_written_and_said_to_be(desk: Desk) -> None:
    key = desk.folder / "town/policy-signer.key"
    signing = ("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", f"{desk.image}.sha256")
    openssl(*signing, "-out", f"{desk.image}.sig")
    done = desk.write()
    assert done.returncode == 0, done.stderr
    assert "its signature is good" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        ("image absent", 5, "mirrorcam-test.* cannot be read"),
        ("digest absent", 5, r"\.sha256"),
        ("one bit", 3, r"is not what its \.sha256 says"),
        ("signature", 3, "is not signed by"),
        ("town absent", 5, "authority.crt is missing"),
        ("town of others", 3, "another authority issued it"),
        ("certificate broken", 5, "certificate file"),
    ],
)
def test_a_bad_image_or_authority_is_one_sentence_and_the_card_stays_as_it_was(
    desk: Desk, spoil: str, code: int, sentence: str
) -> None:
    if spoil == "image absent":
        desk.image.unlink()
    elif spoil == "digest absent":
        Path(f"{desk.image}.sha256").unlink()
    elif spoil == "one bit":
        content = bytearray(desk.image.read_bytes())
        content[IMAGE // 2] ^= 1
        desk.image.write_bytes(content)
    elif spoil == "signature":
        Path(f"{desk.image}.sig").write_bytes(bytes(64))
    elif spoil == "town absent":
        shutil.rmtree(desk.folder / "town")
    elif spoil == "town of others":
        other = AuthorityFolder(desk.folder / "other")
        create_authority(other, town="Otherton", reviewer="b", passphrases=CHEAP, at=datetime.now(UTC))
        shutil.copy(other.policy_signer_certificate_file, desk.folder / "town")
    else:
        (desk.folder / "town/authority.crt").write_text("no certificate\n")
    refused(desk.write(), code, sentence)
    assert desk.is_untouched()


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--device", "{device}", "--confirm", "sdb"), 1, "'sdb' is not 'loop"),
        (("--device", "{device}", "--confirm", "{device}"), 1, "is not 'loop"),
        (("--device", "{device}"), 1, "no terminal"),
        (("--device", "/dev/absent", "--confirm", "absent"), 5, "no disk /dev/absent"),
        (("--device", "/dev/null", "--confirm", "null"), 5, "no disk /dev/null"),
        (("--device", "card", "--confirm", "card"), 5, "no disk card"),
    ],
)
def test_a_card_that_is_not_named_twice_is_not_touched(
    desk: Desk, options: tuple[str, ...], code: int, sentence: str
) -> None:
    given = [option.replace("{device}", str(desk.device)) for option in options]
    refused(call(desk.command(*given), desk.folder), code, sentence)
    assert desk.is_untouched()


@pytest.mark.parametrize(
    "options",
    [
        ("--confirm", "loop0"),
        ("--dock-url", "http://dock.example"),
        ("--dock-url", "https://dock.example/path"),
        ("--dock-url", 'https://dock".example'),
        ("--dock-url", "dock"),
        ("--screen", "800"),
        ("--screen", "80x48"),
        ("--screen", "8000x480"),
        ("--microphone", "default"),
        ("--microphone", 'alsa:"x'),
    ],
)
def test_wrong_usage_ends_with_2(desk: Desk, options: tuple[str, ...]) -> None:
    done = call(desk.command(*options), desk.folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert desk.is_untouched()


def test_a_mounted_card_is_refused_whatever_is_confirmed(desk: Desk) -> None:
    run("mkfs.ext4", "-q", "-F", str(desk.card))
    before = desk.card.read_bytes()
    place = desk.folder / "mounted"
    place.mkdir()
    run("mount", "-o", "ro", str(desk.device), str(place))
    try:
        refused(desk.write(), 1, f"is in use .mounted at {place}")
        assert desk.card.read_bytes() == before
    finally:
        run("umount", str(place))


def test_a_card_that_is_too_small_is_refused(desk: Desk) -> None:
    os.truncate(desk.card, IMAGE - 512)
    run("losetup", "--set-capacity", str(desk.device))
    refused(desk.write(), 1, f"too small: it has {IMAGE - 512} bytes, the image needs {IMAGE} bytes")


class Typist:
    """Somebody at a terminal who reads and types."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.screen, terminal = pty.openpty()
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self.shown = ""

    def read_until(self, pattern: str) -> None:
        """Read on until `pattern` is on the screen; raises OSError when the command ends before."""
        before = len(self.shown)
        while not re.search(pattern, self.shown[before:]):
            self._read(pattern)

    def type(self, text: str) -> None:
        os.write(self.screen, f"{text}\n".encode())

    def end(self) -> int:
        try:
            while True:
                self._read("end")
        except OSError:  # the command has closed its end
            return self.process.wait(PATIENCE)

    def _read(self, awaited: str) -> None:
        assert select.select([self.screen], [], [], PATIENCE)[0], f"no {awaited}: {self.shown}"
        self.shown += os.read(self.screen, 4096).decode(errors="replace")

    def leave(self) -> None:
        """End the command, however the test ended."""
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.screen)


@contextmanager
def typing(command: list[str], folder: Path) -> Iterator[Typist]:
    typist = Typist(command, folder)
    try:
        yield typist
    finally:
        typist.leave()


class TestAtATerminal:
    def test_the_name_is_asked_for_and_typed(self, desk: Desk) -> None:
        with typing(desk.command("--device", str(desk.device)), desk.folder) as typist:
            typist.read_until(rf"All that is on it will be lost\. Type its name, {desk.device.name}: $")
            typist.type(desk.device.name)
            assert typist.end() == 0
        assert "37.7 MB" in typist.shown
        assert not desk.is_untouched()

    @pytest.mark.parametrize("typed", ["y", "sda", "yes", "/dev/{name}"])
    def test_anything_else_leaves_the_card_as_it_was(self, desk: Desk, typed: str) -> None:
        with typing(desk.command("--device", str(desk.device)), desk.folder) as typist:
            typist.read_until(r"Type its name, .*: $")
            typist.type(typed.replace("{name}", desk.device.name))
            assert typist.end() == 1
        assert "nothing was written" in typist.shown
        assert desk.is_untouched()

    def test_one_card_after_the_other_until_somebody_stops(self, desk: Desk) -> None:
        options = ("--device", str(desk.device), "--confirm", desk.device.name, "--repeat")
        written = []
        with typing(desk.command(*options), desk.folder) as typist:
            for number, content in ((1, OLD), (2, OLD[: IMAGE // 2])):
                typist.read_until(rf"Card {number} is ready: label it mirrorcam-test-0\.1\.0")
                written.append(desk.card.read_bytes()[:IMAGE])
                pull(desk.device, desk.card)
                typist.read_until("Put in the next card")
                put_in(desk.device, desk.card, content)
            typist.read_until("too small")
            os.kill(typist.process.pid, signal.SIGINT)
            assert typist.end() == 1
        assert "Cards ready: 2; not ready: 1" in typist.shown
        assert written[0] == written[1]
