"""Signs of life that a hung server cannot give: each goes the way of a request, or stands for work that was done."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

BEAT_SECONDS = 1.0
MOST_AT_ONCE = 4096  # beats that wait for a worker, read away together

Alive = Callable[[], None]


class Beating(Protocol):
    """A server that counts what its workers have got done."""

    works: int

    def put_conn(self, conn: "Pulse", /) -> None:
        """Wait for what comes on a connection, and have a worker see to it."""


class Pulse:
    """A connection of the server with itself, which its selector, its queue and its workers see to as to any other."""

    accepted = True
    remote_addr, remote_port = "pulse", 0

    def __init__(self, server: Beating, line: socket.socket) -> None:
        self._server = server
        self.socket = line
        self.rfile = self
        self.last_used = 0.0  # the server's own note

    def has_data(self) -> bool:
        """Whether something is here that the operating system does not know of."""
        return False

    def communicate(self) -> bool:
        """Take the beats that have come; the connection stays open as long as there may be more."""
        self._server.works += 1
        return bool(self.socket.recv(MOST_AT_ONCE))

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


class Heart:
    """What beats through a server: a turn now tells whether the server got anything done since the turn before.

    A server whose workers are all busy with uploads has no time for a beat, and counts as alive by what they read: it
    must not be ended for having much to do. One whose selector or whose every worker hangs does neither.
    """

    def __init__(self, server: Beating, alive: Alive) -> None:
        self._server = server
        self._alive = alive
        self._before = server.works
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        server.put_conn(Pulse(server, theirs))

    def turn(self) -> None:
        """Give the sign of life that is due, and beat once more."""
        now = self._server.works
        if now != self._before:
            self._alive()
        self._before = now
        with contextlib.suppress(OSError):  # full: nobody reads
            self._ours.send(b".")

    def close(self) -> None:
        """Beat no more."""
        self._ours.close()


@contextmanager
def beating(server: Beating, alive: Alive) -> Iterator[None]:
    """Call `alive` about once a second, as long as the server gets anything done and the block runs."""
    stop = threading.Event()
    heart = Heart(server, alive)

    def beat() -> None:
        while not stop.wait(BEAT_SECONDS):
            heart.turn()

    thread = threading.Thread(target=beat, name="heart")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        heart.close()


class Together:
    """Passes one sign of life on each time all of its parts have given theirs.

    Contract: when one part hangs, no sign is passed on any more, whatever the others do.
    """

    def __init__(self, alive: Alive) -> None:
        self._alive = alive
        self._lock = threading.Lock()
        self._parts: set[str] = set()
        self._silent: set[str] = set()

    def part(self, name: str) -> Alive:
        """Add a part, and return what it calls at each of its turns."""
        with self._lock:
            self._parts.add(name)
            self._silent.add(name)

        def alive() -> None:
            with self._lock:
                self._silent.discard(name)
                if self._silent:
                    return
                self._silent |= self._parts
            self._alive()

        return alive
