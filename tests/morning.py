"""IT's office for tests: a town on a network of its own, set up by IT's commands as processes, and by no others.

All that a command prints is in `transcript.txt`, with the seconds that it took.
"""

import ctypes
import os
import signal
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from appliance.settings import UnitFolder
from provisioning.demo.processes import Program, command
from provisioning.dock import BAYS_ADDRESS
from tests.cards import CARD, data_partition, loop_device, pull, put_in, run
from tests.enrolling import LOGIN, PASSWORD, AtThePages
from tests.unit_process import PROGRAM, environment

REVIEWER_PASSPHRASE, RECOVERY_PASSPHRASE = "seven invented demo words", "other invented demo words"
DOCK_PAGES = f"https://[{BAYS_ADDRESS}]:8443"
PATIENCE = 120  # seconds that a test waits for what takes a few at most

_CLONE_NEWNET = 0x40000000  # linux/sched.h


@contextmanager
def bays_network() -> Iterator[None]:
    """Be on a network of one's own, as long as the block runs: the address that all docks have is on it."""
    assert os.geteuid() == 0, "run this as root: it makes a network namespace"
    name = f"mirrorcam-{uuid.uuid4().hex[:8]}"
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "address", "add", f"{BAYS_ADDRESS}/64", "dev", "lo", "nodad")
        _enter(libc, f"/run/netns/{name}")
        yield
    finally:
        if libc.setns(home, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "there is no way back to the network")
        os.close(home)
        run("ip", "netns", "delete", name)


def _enter(libc: ctypes.CDLL, network: str) -> None:
    descriptor = os.open(network, os.O_RDONLY)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "the network cannot be entered")
    finally:
        os.close(descriptor)


class Command:
    """A command of IT's that goes on while others are called: its lines, as they come."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment(),
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str, *, count: int = 1) -> None:
        """Wait until so many lines had this text."""
        with self._news:
            found = self._news.wait_for(lambda: sum(text in line for line in self.lines) >= count, PATIENCE)
        assert found, self.lines

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as said:
            for line in said:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()


@dataclass(frozen=True)
class Office:
    """The folder that IT works in: `town`, `dock`, images, and a folder for each unit's data partition."""

    path: Path

    @property
    def transcript(self) -> Path:
        """What was called and printed so far."""
        return self.path / "transcript.txt"

    def unit(self, name: str) -> UnitFolder:
        return UnitFolder(self.path / name)

    def try_call(self, *words: str, lines: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
        """Call one of our commands to its end, with what is typed on its standard input."""
        began = time.monotonic()
        done = subprocess.run(
            [command(words[0]), *words[1:]],
            cwd=self.path,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            env=environment(),
            timeout=PATIENCE,
            check=False,
        )
        self.note(words, done.stdout + done.stderr, time.monotonic() - began)
        return done

    def call(self, *words: str, lines: Sequence[str] = ()) -> str:
        """Call one of our commands, which must end well, and return what it prints."""
        done = self.try_call(*words, lines=lines)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def note(self, words: Sequence[str], said: str, seconds: float) -> None:
        with self.transcript.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(words)}\n{said}[{seconds:.1f} s]\n\n")

    @contextmanager
    def going_on(self, *words: str) -> Iterator[Command]:
        """Have a command go on as long as the block runs; whatever happens, nothing of it stays."""
        began = time.monotonic()
        going = Command([command(words[0]), *words[1:]], self.path)
        try:
            yield going
        finally:
            going.process.kill()
            going.end()
            self.note(words, "".join(going.lines), time.monotonic() - began)

    def set_up(self) -> None:
        """Make the authority, its dock, and the people of the dock: once for a town."""
        self.call(
            *("mirrorcam-provision", "authority", "create", "town", "--town", "Sampleton", "--reviewer", "a-example"),
            *("--reviewer-passphrase-file", "-", "--recovery-passphrase-file", "-"),
            lines=(REVIEWER_PASSPHRASE, RECOVERY_PASSPHRASE),
        )
        dock = ("mirrorcam-provision", "dock", "create", "dock", "--authority", "town")
        self.call(*dock, "--id", "town-hall", "--host", "dock.example")
        with (self.path / "dock/dock.toml").open("a") as settings:
            settings.write("vault_reserve_bytes = 0\n")  # the disk of whoever runs this may be small
        self.call("mirrorcam-dock", "migrate", "--folder", "dock")
        person = ("mirrorcam-dock", "person", "add", LOGIN, "--role", "it", "--password-file", "-", "--folder", "dock")
        self.call(*person, lines=(PASSWORD,))

    @contextmanager
    def dock_at_work(self) -> Iterator[Program]:
        """Run the dock as it was set up, with its own addresses and ports."""
        program = Program("mirrorcam-dock", "serve", "--folder", str(self.path / "dock"), log=self.path / "dock.log")
        try:
            for _ in ("bays", "pages"):
                program.wait_for("listening")
            yield program
        finally:
            program.end()

    @contextmanager
    def enrolment(self) -> Iterator[Command]:
        """Run the command that signs, as long as the block runs."""
        with self.going_on("mirrorcam-provision", "unit", "enrol", "--authority", "town", "--dock", "dock") as signing:
            signing.wait_for("Enrolment is open")
            yield signing

    @contextmanager
    def at_the_pages(self) -> Iterator[AtThePages]:
        """Sign IT in at the dock's pages."""
        trusted = ssl.create_default_context(cafile=str(self.path / "town/authority.crt"))
        with httpx.Client(base_url=DOCK_PAGES, verify=trusted, timeout=30, trust_env=False) as client:
            person = AtThePages(client)
            assert person.send("/sign-in", login=LOGIN, password=PASSWORD).status_code == 302
            yield person

    def write_cards(self, image: str, *names: str, authority: str = "town") -> Command:
        """Put one card after the other into one reader; the data partition of each becomes a unit's folder."""
        card = self.path / "card"
        card.write_bytes(bytes(CARD))
        with loop_device(card) as device:
            given = ("--authority", authority, "--device", str(device), "--confirm", device.name, "--repeat")
            with self.going_on("mirrorcam-provision", "card", "write", image, *given) as writing:
                for number, name in enumerate(names, start=1):
                    writing.wait_for(f"Card {number} is ready: label it")
                    self._take_out(card, name)
                    pull(device, card)
                    writing.wait_for("Put in the next card", count=number)
                    if number < len(names):
                        put_in(device, card, bytes(CARD))
                assert writing.interrupt() == 0
        return writing

    def _take_out(self, card: Path, name: str) -> None:
        """Copy what is on a card's data partition into a folder, as a unit mounts it there."""
        partition = data_partition(card, self.path / f"{name}.data")
        folder = self.path / name
        folder.mkdir()
        run("debugfs", "-R", f"rdump / {folder}", str(partition))
        partition.unlink()
        (folder / "lost+found").rmdir()

    def unit_dock(self, name: str) -> "subprocess.CompletedProcess[str]":
        """Have a unit hand its clips over, and return how that ended."""
        return self.try_call(PROGRAM.name, "dock", "--folder", name)
