"""One connection over the cable: what the unit says goes to the dock, what the dock says comes back, byte by byte."""

import contextlib
import selectors
import socket
from collections.abc import Callable

from appliance.usb.watching import close, watch

_HELD_BYTES = 256 << 10  # in each direction, at most; who sends more has to wait until the other end has taken it
_PIECE_BYTES = 64 << 10


class Connection:
    """A client and the dock, joined; `on_end` is told once, with what broke it, or None where both were done.

    `close` ends it at once at both ends, and throws away what was still on its way.
    """

    def __init__(
        self,
        client: socket.socket,
        dock: socket.socket,
        selector: selectors.BaseSelector,
        on_end: Callable[["Connection", OSError | None], None],
    ) -> None:
        client.setblocking(False)
        self._client = client
        self._dock = dock
        self._selector = selector
        self._on_end = on_end
        self._up = _Stream(client, dock)
        self._down = _Stream(dock, client)
        self._watch()

    def close(self) -> None:
        """Let both go."""
        close(self._selector, self._client)
        close(self._selector, self._dock)

    def _client_moved(self, events: int) -> None:
        self._move(events, come=self._up, go=self._down)

    def _dock_moved(self, events: int) -> None:
        self._move(events, come=self._down, go=self._up)

    def _move(self, events: int, *, come: "_Stream", go: "_Stream") -> None:
        try:
            if events & selectors.EVENT_READ and come.wants_more:
                come.take()
            if events & selectors.EVENT_WRITE:
                go.give()
        except OSError as error:
            self._on_end(self, error)
            return
        if come.is_over and go.is_over:
            self._on_end(self, None)
        else:
            self._watch()

    def _watch(self) -> None:
        for end, come, go, moved in (
            (self._client, self._up, self._down, self._client_moved),
            (self._dock, self._down, self._up, self._dock_moved),
        ):
            wanted = (selectors.EVENT_READ if come.wants_more else 0) | (selectors.EVENT_WRITE if go.has_some else 0)
            watch(self._selector, end, wanted, moved)


class _Stream:
    """One direction, with what was read and is not passed on yet."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source = source
        self._target = target
        self._held = bytearray()
        self._has_ended = False
        self.is_over = False  # its end was passed on as well

    @property
    def wants_more(self) -> bool:
        return not self._has_ended and len(self._held) < _HELD_BYTES

    @property
    def has_some(self) -> bool:
        return bool(self._held)

    def take(self) -> None:
        """Read what is there, and pass on what can be; raises OSError."""
        with contextlib.suppress(BlockingIOError):
            piece = self._source.recv(min(_PIECE_BYTES, _HELD_BYTES - len(self._held)))
            self._held += piece
            self._has_ended = not piece
        self.give()

    def give(self) -> None:
        """Pass on what can be; raises OSError."""
        with contextlib.suppress(BlockingIOError):
            while self._held:
                del self._held[: self._target.send(self._held)]
        if self._has_ended and not self._held and not self.is_over:
            self.is_over = True
            self._target.shutdown(socket.SHUT_WR)
