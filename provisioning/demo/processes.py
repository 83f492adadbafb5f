"""The demo's programs: the same commands that a town runs, started, listened to and ended."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.errors import MirrorcamError

Event = dict[str, Any]

# What a busy computer may take for what usually takes a second.
PATIENCE_SECONDS = 40.0
_END_SECONDS = 20.0


class CommandFailedError(MirrorcamError):
    """A command of the demo ended with an error."""

    def __init__(self, command: str, said: str) -> None:
        super().__init__(f"'{command}' failed: {said or 'it said nothing'}")


class NothingHeardError(MirrorcamError):
    """A program of the demo did not say what it should have; `said` is its own sentence, if it had one."""

    def __init__(self, program: str, event: str, said: str, log: Path) -> None:
        super().__init__(f"{program} did not report '{event}'. {said or 'It gave no reason.'} Its log: {log}.")


def command(name: str) -> str:
    """Return where one of our four commands is: beside the Python that runs this."""
    return str(Path(sys.executable).with_name(name))


def run(name: str, *arguments: str, lines: Sequence[str] = ()) -> str:
    """Run one of our commands to its end with `lines` on its standard input, and return what it printed.

    Raises CommandFailedError. Secrets go over standard input: arguments can be seen by everyone on the computer.
    """
    spoken = "".join(f"{line}\n" for line in lines)
    ended = subprocess.run(
        [command(name), *arguments], input=spoken, capture_output=True, text=True, check=False, timeout=120
    )
    if ended.returncode:
        raise CommandFailedError(f"{name} {arguments[0]}", ended.stderr.strip())
    return ended.stdout


class Program:
    """One of our commands at work; the events it reports are kept and written to a log."""

    def __init__(self, name: str, *arguments: str, log: Path, hears: int | None = subprocess.DEVNULL) -> None:
        """Start it; `hears` is its standard input, as `subprocess.Popen` takes it."""
        self.name = name
        self.log = log
        self.events: list[Event] = []
        self._news: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [command(name), *arguments], stdin=hears, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._listener = threading.Thread(target=self._listen, name=f"{name} listener", daemon=True)
        self._listener.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_for(self, event: str, *, seconds: float = PATIENCE_SECONDS, **facts: object) -> Event:
        """Return the next event of this name with these facts; raises NothingHeardError."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                heard = self._news.get(timeout=min(left, 0.2))
            except queue.Empty:
                if not self.is_running:
                    break
                continue
            if heard.get("event") == event and facts.items() <= heard.items():
                return heard
        self._listener.join(0 if self.is_running else _END_SECONDS)
        raise NothingHeardError(self.name, event, self._complaint(), self.log)

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        if self._process.stdin:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        return self._process.wait()

    def end(self) -> int:
        """Have it end, and return its exit code; harmless when it has ended."""
        if self.is_running:
            self._process.terminate()
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listener.join(_END_SECONDS)
        return code

    def _complaint(self) -> str:
        """Return the newest sentence in which it says what is wrong: a line that is no event, or an error event's."""
        for event in reversed(self.events):
            if said := event.get("said") or (event.get("level") == "error" and event.get("sentence")):
                return str(said)
        return ""

    def _listen(self) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            for line in self._process.stdout or ():
                log.write(line)
                log.flush()
                event = _event_of(line)
                self.events.append(event)
                self._news.put(event)


def _event_of(line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        return {"event": "", "said": line.strip()}
    return event if isinstance(event, dict) else {"event": "", "said": line.strip()}
