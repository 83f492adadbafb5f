"""The fault log's file: whole or absent after a power cut, never larger than its bound, untouched while all is well."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from appliance.faults.fault import Fault, What
from evidence.durable import sync_folder, write_durably

BOUND = 64 << 10  # bytes; as many again are kept of what came before
_LOOKED_BACK = 16  # lines in which a fault that comes again is looked for: faults of a loop come in turns
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_boot() -> str:
    """Return the kernel's name for the time since it was started; raises OSError."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


class FaultLog:
    """The faults of one unit, in a folder that several processes may write to at once.

    Contract: nothing is written but by `note`. After it the fault is durable; after a crash at any line the log is as
    it was before, or with the fault. A fault that comes again in the same start adds to its line's count and no line,
    so a loop of faults does not let the log grow. A log beyond `BOUND` is put aside, in place of the one aside before.
    """

    def __init__(
        self,
        folder: Path,
        *,
        boot: Callable[[], str] = this_boot,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._boot, self._utc = folder, boot, utc
        self._file, self._aside = folder / "faults.jsonl", folder / "faults.before.jsonl"

    def note(self, part: str, what: What, status: str = "") -> None:
        """Keep a fault; raises OSError where it cannot be written, or ValidationError for a part that is no part."""
        at = self._utc().replace(microsecond=0)
        fault = msgspec.convert(
            {"first": at, "last": at, "boot": self._boot(), "part": part, "what": what, "status": status}, Fault
        )
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._folder.parent)
        with self._alone():
            lines = _with(_read(self._file), fault)
            content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
            if len(content) > BOUND:
                self._file.replace(self._aside)
                content = msgspec.json.encode(lines[-1]) + b"\n"
            write_durably(self._file, content, mode=0o600)

    def faults(self) -> list[Fault]:
        """Return what is kept, oldest first; nothing is written. Raises OSError where it cannot be read."""
        return [*_read(self._aside), *_read(self._file)]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for leftover in self._folder.glob(f".{self._file.name}.*"):  # of a write that the power's end cut
                leftover.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)


def _read(file: Path) -> list[Fault]:
    """Return a file's lines; one that is damaged is left out, for the others are worth reading."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    faults = []
    for line in lines:
        with suppress(msgspec.ValidationError, msgspec.DecodeError):
            faults.append(msgspec.json.decode(line, type=Fault))
    return faults


def _with(lines: Sequence[Fault], fault: Fault) -> list[Fault]:
    """Return the lines with one more fault: counted where it is one of the newest, else a line of its own."""
    for at in range(len(lines) - 1, max(len(lines) - _LOOKED_BACK, 0) - 1, -1):
        if lines[at].is_same(fault):
            again = msgspec.structs.replace(lines[at], last=fault.last, times=lines[at].times + 1)
            return [*lines[:at], again, *lines[at + 1 :]]
    return [*lines, fault]
