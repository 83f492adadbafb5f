"""The folder through which dock and authority reach each other while units are enrolled: requests there, answers here.

The authority's private key is never on a dock, and a dock's programs never run beside it: what passes is files. The
dock writes `requests/`, the authority `answers/` and `register.json`; each file is whole or absent, and named by the
unit's public key.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evidence.durable import sync_folder, write_durably
from evidence.enrolment import Answer, Confirmed, Register
from evidence.errors import EnvironmentalError
from evidence.strict import read_json, write_json

LOCK_SECONDS = 2.0  # longer than anyone looks whether the lock is held
_NAME = re.compile(r"[0-9a-f]{64}\.json")


class EnrolmentOpenError(EnvironmentalError):
    """Another command has this dock's enrolment open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Enrolment is open already, by another command that works in {path}: end that one first.")


@dataclass(frozen=True)
class EnrolmentFiles:
    """The folder `enrolment/` of a dock.

    Whether enrolment is open is told by a lock on the folder, not by a file: the kernel lets go of it with the command
    that holds it, however that ends, so no door stays open behind somebody's back and no clock is asked.
    """

    path: Path

    @property
    def requests(self) -> Path:
        """What persons have confirmed, for the authority to answer."""
        return self.path / "requests"

    @property
    def answers(self) -> Path:
        """What the authority has answered."""
        return self.path / "answers"

    @property
    def register_file(self) -> Path:
        """The ids that the authority has given."""
        return self.path / "register.json"

    def prepare(self) -> None:
        """Make the folders where they are missing; whoever makes them, they belong to the dock's user."""
        owner = self.path.parent.stat()
        for folder in (self.path, self.requests, self.answers):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
                if os.geteuid() == 0:
                    os.chown(folder, owner.st_uid, owner.st_gid)
                sync_folder(folder.parent)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep enrolment open as long as the block runs; raises EnrolmentOpenError."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def is_open(self) -> bool:
        """Say whether enrolment is open now."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def ask(self, key: str, confirmed: Confirmed) -> None:
        """Ask the authority for a certificate, and forget what it has answered about this key before."""
        self._answer_file(key).unlink(missing_ok=True)
        sync_folder(self.answers)
        write_durably(self._request_file(key), write_json(confirmed))

    def is_asked(self, key: str) -> bool:
        """Say whether the authority was asked about this key."""
        return self._request_file(key).exists()

    def answer_of(self, key: str) -> Answer | None:
        """Return what the authority has answered, None where it has not yet; raises SchemaError."""
        try:
            return read_json(self._answer_file(key).read_bytes(), Answer, "answer of the authority")
        except FileNotFoundError:
            return None

    def forget(self, key: str) -> None:
        """Take a question back, and its answer."""
        self._request_file(key).unlink(missing_ok=True)
        self._answer_file(key).unlink(missing_ok=True)
        sync_folder(self.requests)
        sync_folder(self.answers)

    def unanswered(self) -> list[str]:
        """Return the keys about which the authority is asked and has not answered, in a fixed order."""
        asked = {path.name for path in self.requests.iterdir() if _NAME.fullmatch(path.name)}
        answered = {path.name for path in self.answers.iterdir()}
        return sorted(name.removesuffix(".json") for name in asked - answered)

    def asked(self, key: str) -> Confirmed:
        """Return what the authority is asked about this key; raises SchemaError or OSError."""
        return read_json(self._request_file(key).read_bytes(), Confirmed, "request to the authority")

    def answer(self, key: str, answer: Answer) -> None:
        """Answer."""
        write_durably(self._answer_file(key), write_json(answer))

    def register(self) -> Register:
        """Return the ids that the authority has given, none where it has not said so yet; raises SchemaError."""
        try:
            return read_json(self.register_file.read_bytes(), Register, "register of units")
        except FileNotFoundError:
            return Register()

    def keep_register(self, register: Register) -> None:
        """Say which ids the authority has given; written only where it has changed."""
        content = write_json(register)
        if not self.register_file.exists() or self.register_file.read_bytes() != content:
            write_durably(self.register_file, content)

    def _request_file(self, key: str) -> Path:
        return self.requests / f"{key}.json"

    def _answer_file(self, key: str) -> Path:
        return self.answers / f"{key}.json"

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise EnrolmentOpenError(self.path) from error
                time.sleep(0.05)  # somebody may just be looking whether it is held
            else:
                return
