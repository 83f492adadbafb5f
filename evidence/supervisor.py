"""Tells the service manager that a process is ready, alive or stopping, in the words of sd_notify(3)."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

_PATIENCE = 1.0  # seconds; the manager reads its socket all the time, and waiting longer would help nobody
_PINGS = 4  # in the time that the manager waits for one: one that is late or lost is no hang yet


class Supervisor:
    """The way to the service manager: where none asked for notifications, every method does nothing.

    All methods are cheap and none ever raises: a manager that cannot be reached will draw its own conclusions.
    """

    def __init__(
        self,
        address: str | None,
        watchdog_seconds: float | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Speak to the Unix socket `address`, an absolute path or `@` and an abstract name, as systemd(1) gives it.

        `watchdog_seconds` is how long the manager waits for a sign of life before it ends the process.
        """
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self._between = watchdog_seconds / _PINGS if watchdog_seconds else None
        self._monotonic = monotonic
        self._is_ready = False
        self._due = 0.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Supervisor":
        """Return what systemd(1) has set up for this process: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID."""
        address = environ.get("NOTIFY_SOCKET", "")
        return cls(address if address[:1] in ("/", "@") else None, _watchdog_seconds(environ))

    @property
    def starts_again(self) -> bool:
        """Whether there is a manager, which starts a process anew that has failed."""
        return self._address is not None

    def ready(self) -> None:
        """Tell that all is up and at work; told once, however often it is called."""
        if not self._is_ready:
            self._is_ready = self._send("READY=1", _PATIENCE)

    def alive(self) -> None:
        """Give a sign of life; to be called at each turn of what must never hang."""
        if self._between is None or self._monotonic() < self._due:
            return
        if self._send("WATCHDOG=1", 0):  # one that found no room in the queue is given again at the next turn
            self._due = self._monotonic() + self._between

    def stopping(self) -> None:
        """Tell that the process is about to end, as it was asked to."""
        self._send("STOPPING=1", _PATIENCE)

    def status(self, sentence: str) -> None:
        """Say in one sentence, for people, how it stands."""
        self._send(f"STATUS={' '.join(sentence.split())}", _PATIENCE)

    def _send(self, message: str, patience: float) -> bool:
        if self._address is None:
            return False
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(patience)
            line.connect(self._address)
            line.send(message.encode())
            return True
        return False


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Return how long the manager waits for this very process, None where it does not."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(os.getpid()))
    if meant != str(os.getpid()) or not (microseconds.isascii() and microseconds.isdigit()):
        return None
    return int(microseconds) / 1e6
