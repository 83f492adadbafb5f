"""The opener: the one process that holds the station identity, behind a socket that only its own user reaches."""

import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

import msgspec
import typer

from dock_station.opening.keyslots import (
    KeyslotDamagedError,
    Keyslots,
    NoKeyslotError,
    NotEnoughMemoryError,
    WrongPassphraseError,
)
from dock_station.opening.unlocks import HeaderRefusedError, LockedError, NotForThisStationError, TooSoonError, Unlocks
from dock_station.settings import DockFolder
from evidence import commandline
from evidence.age import MAX_HEADER_SIZE
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.memory import MemoryNotLockedError, forbid_core_dumps, lock_memory

# A message is its length (4 bytes, big-endian) and JSON; the longest carries a header of 64 KiB in base64.
_LENGTH = struct.Struct(">I")
MAX_MESSAGE = 2 * MAX_HEADER_SIZE
_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)
BACKLOG = 64
MESSAGE_SECONDS = 10.0  # for a message to arrive whole
ANSWER_SECONDS = 120.0  # passphrases are tried one after the other, a second or more each
EXPIRY_SECONDS = 0.25  # how much later than due an unlock may be overwritten; it is refused on time

READY = b"ready\n"


class OpenerNotRunningError(EnvironmentalError):
    """Nobody answers at the opener's socket."""

    def __init__(self) -> None:
        super().__init__(
            "The process that opens clips is not running; it is being started again: retry in some seconds, and tell "
            "IT if it does not come back."
        )


class OpenerAlreadyRunsError(EnvironmentalError):
    """Another opener answers at this dock's socket."""

    def __init__(self) -> None:
        super().__init__("The process that opens this dock's clips runs already: stop it first.")


class OpenerMessageError(MirrorcamError):
    """What came over the opener's socket is no message, or too long."""

    def __init__(self) -> None:
        super().__init__("The process that opens clips was sent something that it does not understand.")


# What the opener tells whoever asked: each error is made anew from its `facts` at the other end.
_TOLD: dict[str, type[MirrorcamError]] = {
    kind.__name__: kind
    for kind in (
        LockedError,
        TooSoonError,
        WrongPassphraseError,
        NoKeyslotError,
        KeyslotDamagedError,
        NotEnoughMemoryError,
        NotForThisStationError,
        HeaderRefusedError,
    )
}


class _Unlock(msgspec.Struct, tag="unlock", forbid_unknown_fields=True):
    login: Annotated[str, msgspec.Meta(max_length=64)]
    passphrase: str


class _AskFileKey(msgspec.Struct, tag="give-file-key", forbid_unknown_fields=True):
    token: str
    header: bytes


class _AskSecondsLeft(msgspec.Struct, tag="tell-seconds-left", forbid_unknown_fields=True):
    token: str


class _Lock(msgspec.Struct, tag="lock", forbid_unknown_fields=True):
    token: str


class _FileKey(msgspec.Struct, tag="file-key"):
    file_key: bytes


class _SecondsLeft(msgspec.Struct, tag="seconds-left"):
    seconds: float


class _Failed(msgspec.Struct, tag="failed"):
    error: str
    facts: list[str | int]


class Unlocked(msgspec.Struct, frozen=True, tag="unlocked"):
    """What unlocking gives: the token to ask for file keys with, and how long it is good for."""

    token: str
    seconds_left: float


_Question = _Unlock | _AskFileKey | _AskSecondsLeft | _Lock
_Answer = Unlocked | _FileKey | _SecondsLeft | _Failed


@dataclass(frozen=True)
class Opener:
    """The way to the opener for everyone else; one connection for each question, from any number of threads."""

    socket_path: Path

    def unlock(self, login: str, passphrase: str) -> Unlocked:
        """Open a reviewer's keyslot for some minutes.

        Raises TooSoonError, WrongPassphraseError, NoKeyslotError, KeyslotDamagedError, NotEnoughMemoryError or
        OpenerNotRunningError.
        """
        answer = self._ask(_Unlock(login, passphrase))
        if not isinstance(answer, Unlocked):
            raise OpenerMessageError
        return answer

    def file_key(self, token: str, header: bytes) -> bytes:
        """Return the 16-byte file key of the clip that begins with this age header.

        Raises LockedError, NotForThisStationError, HeaderRefusedError or OpenerNotRunningError.
        """
        answer = self._ask(_AskFileKey(token, header))
        if not isinstance(answer, _FileKey):
            raise OpenerMessageError
        return answer.file_key

    def seconds_left(self, token: str) -> float:
        """Return how long the token is still good for, 0 for one that is not; raises OpenerNotRunningError."""
        answer = self._ask(_AskSecondsLeft(token))
        if not isinstance(answer, _SecondsLeft):
            raise OpenerMessageError
        return answer.seconds

    def lock(self, token: str) -> None:
        """Let the token open nothing more, now; raises OpenerNotRunningError."""
        self._ask(_Lock(token))

    def _ask(self, question: _Question) -> _Answer:
        content = _encoded(question)
        try:
            with _connected(self.socket_path) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.sendall(content)
                answer: _Answer = msgspec.json.decode(_receive(connection), type=_Answer)
        except (OSError, msgspec.DecodeError) as error:
            raise OpenerNotRunningError from error
        if isinstance(answer, _Failed):
            raise _TOLD.get(answer.error, OpenerMessageError)(*answer.facts)
        return answer


class Service:
    """Answers questions at the socket until it is stopped."""

    def __init__(self, unlocks: Unlocks) -> None:
        self._unlocks = unlocks
        self._ended = threading.Event()

    def stop(self) -> None:
        """End `serve` soon."""
        self._ended.set()

    def serve(self, listening: socket.socket) -> None:
        """Take connections until stopped; then forget everything."""
        listening.settimeout(EXPIRY_SECONDS)
        try:
            while not self._ended.is_set():
                self._unlocks.expire()
                with suppress(TimeoutError):
                    connection, _ = listening.accept()
                    threading.Thread(target=self.attend, args=(connection,), daemon=True).start()
        finally:
            self._unlocks.forget_all()

    def attend(self, connection: socket.socket) -> None:
        """Answer the one question that comes over a connection, if it comes from this user, and hang up."""
        with connection, suppress(OSError, msgspec.DecodeError, OpenerMessageError):
            if _uid_of_peer(connection) != os.getuid():
                return
            connection.settimeout(MESSAGE_SECONDS)
            question = msgspec.json.decode(_receive(connection), type=_Question)
            connection.sendall(_encoded(self._answer(question)))

    def _answer(self, question: _Question) -> _Answer:
        try:
            match question:
                case _Unlock(login, passphrase):
                    return Unlocked(*self._unlocks.unlock(login, passphrase))
                case _AskFileKey(token, header):
                    return _FileKey(self._unlocks.file_key(token, header))
                case _AskSecondsLeft(token):
                    return _SecondsLeft(self._unlocks.seconds_left(token))
                case _Lock(token):
                    self._unlocks.lock(token)
                    return _SecondsLeft(0.0)
        except MirrorcamError as error:
            return _Failed(type(error).__name__, list(getattr(error, "facts", ())))


def run(
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="The dock's folder.")],
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when standard input ends, and say on standard output when ready.")
    ] = False,
) -> None:
    """Hold the station key while somebody may open clips; `mirrorcam-dock serve` starts this by itself."""
    forbid_core_dumps()
    try:
        lock_memory()
    except MemoryNotLockedError as error:
        typer.echo(str(error), err=True)
    dock = DockFolder(folder)
    unlocks = Unlocks(
        Keyslots(dock.keyslots), unlock_seconds=60.0 * dock.settings().unlock_minutes, seconds=seconds_since_boot
    )
    service = Service(unlocks)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        service.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with _listening(dock.opener_socket) as listening:
        if with_parent:
            threading.Thread(target=_outlive, args=(service,), daemon=True).start()
            os.write(sys.stdout.fileno(), READY)
        service.serve(listening)


def _outlive(service: Service) -> None:
    """Stop when whoever started this process has ended, however that came about."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    service.stop()


def seconds_since_boot() -> float:
    """Return the clock of all deadlines here; unlike time.monotonic it goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Listen at a socket that only this user may open; a leftover of an opener that was killed is replaced."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with suppress(OSError), _connected(path):
        raise OpenerAlreadyRunsError
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        before = os.umask(0o177)
        try:
            with _short(path) as address:
                listening.bind(address)
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        with _short(path) as address:
            connection.connect(address)
        yield connection


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give another path to the same place: a socket's may have 107 bytes only (unix(7))."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _uid_of_peer(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1])


def _encoded(message: _Question | _Answer) -> bytes:
    try:
        content = msgspec.json.encode(message)
    except UnicodeEncodeError as error:  # half of a surrogate pair: no keyboard sends it
        raise WrongPassphraseError from error
    if len(content) > MAX_MESSAGE:
        raise OpenerMessageError
    return _LENGTH.pack(len(content)) + content


def _receive(connection: socket.socket) -> bytes:
    (size,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    if size > MAX_MESSAGE:
        raise OpenerMessageError
    return _receive_exactly(connection, size)


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionResetError
        received += piece
    return bytes(received)


def main() -> None:
    """Run the command line."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(run)
    commandline.run(app, "mirrorcam-opener")


if __name__ == "__main__":
    main()
