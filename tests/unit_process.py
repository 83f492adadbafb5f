"""The unit as a process of its own for tests: started as a person would start it, driven by lines, read by its log."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.footage import bikes

PATIENCE = 30  # seconds that a test waits for what takes a few at most
PROGRAM = Path(sys.executable).with_name("mirrorcam-unit")

Line = dict[str, Any]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "COLUMNS": "200", **more}


@dataclass
class UnitProcess:
    """One running `mirrorcam-unit run`."""

    process: "subprocess.Popen[str]"
    lines: list[Line] = field(default_factory=list)
    errors: str = ""
    _news: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    def __post_init__(self) -> None:
        self._readers = [threading.Thread(target=work) for work in (self._read_lines, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def say(self, line: str) -> None:
        """Do what a wearer would do: touch, hold SECONDS, dock, undock, quit."""
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def wait_for(self, event: str, *, count: int = 1) -> Line:
        """Return the line of this event, once it has come `count` times; fails when the process ends before."""

        def found() -> list[Line]:
            return [line for line in self.lines if line["event"] == event]

        with self._news:
            self._news.wait_for(lambda: len(found()) >= count or self._ended, PATIENCE)
        assert len(found()) >= count, f"no {event}: {self.events} {self.errors}"
        return found()[count - 1]

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def record(self, *, count: int = 1) -> Line:
        """Touch, wait until something is durable, hold to stop, and return what the log says of the ended clip."""
        self.say("touch")
        self.wait_for("first_durable", count=count)
        self.say("hold 2.2")
        return self.wait_for("recording_ended", count=count)

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait for the end of the process, sent `number` first if given, and return its exit code."""
        if number:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def _read_lines(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.lines.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr
        self.errors = self.process.stderr.read()


@contextmanager
def running_unit(
    folder: Path, *options: str | Path, camera: str | None = None, with_environment: Mapping[str, str] | None = None
) -> Iterator[UnitProcess]:
    """Run the unit of a folder as long as the block runs; whatever happens, nothing of it stays."""
    command: list[str | Path] = [PROGRAM, "run", "--folder", folder, "--camera", camera or f"file:{bikes()}"]
    command += ["--touches-from-stdin", *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=with_environment or environment(),
    )
    unit = UnitProcess(process)
    try:
        yield unit
    finally:
        process.kill()
        unit.end()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


def call(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run `mirrorcam-unit` with these arguments to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
