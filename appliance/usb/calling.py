"""Calling the dock for one client: over the cable's own network card, at one address after the other."""

import contextlib
import errno
import os
import selectors
import socket
from dataclasses import dataclass
from typing import Any, Protocol

from appliance.usb.watching import close, watch

# A pulled cable gives no error by itself, and some boards do not even see it: what was sent and not acknowledged for
# three seconds ends the connection, and a silent one is asked every second whether it is still there. tcp(7)
_TCP_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3_000),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)

Route = tuple[int, Any]  # an address family, and an address of it


@dataclass(frozen=True)
class Way:
    """How to get to the dock: by which card, and to which of the dock's addresses, the best one first."""

    interface: str
    routes: tuple[Route, ...]


def way_to(host: str, port: int, interface: str) -> Way:
    """Return the way to a host; an address in its place is taken as it is, and nobody is asked. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return Way(interface, tuple((family, address) for family, _, _, _, address in found))


class CallListener(Protocol):
    """Who is told, once, what has become of a call."""

    def answered(self, call: "Call", dock: socket.socket) -> None:
        """Take over the client and the dock's socket: one of its addresses has answered."""

    def failed(self, call: "Call", error: OSError) -> None:
        """Hear that no address has answered; `error` is of the last one."""


class Call:
    """Connects to the dock while the client waits."""

    def __init__(
        self, client: socket.socket, way: Way, selector: selectors.BaseSelector, listener: CallListener
    ) -> None:
        self.client = client
        self._way = way
        self._routes = iter(way.routes)
        self._selector = selector
        self._listener = listener
        self._dock: socket.socket | None = None

    def begin(self) -> None:
        """Call the first address."""
        self._try_next(OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)))

    def close(self) -> None:
        """Give up, and let the client go."""
        if self._dock is not None:
            close(self._selector, self._dock)
        self.client.close()

    def _try_next(self, error: OSError) -> None:
        for family, address in self._routes:
            try:
                dock = self._connect(family, address)
            except OSError as failed:
                error = failed
            else:
                self._wait_for(dock)
                return
        self._listener.failed(self, error)

    def _wait_for(self, dock: socket.socket) -> None:
        self._dock = dock
        watch(self._selector, dock, selectors.EVENT_WRITE, lambda _: self._decided(dock))

    def _decided(self, dock: socket.socket) -> None:
        failed = dock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            close(self._selector, dock)
            self._dock = None
            self._try_next(OSError(failed, os.strerror(failed)))
        else:
            self._selector.unregister(dock)
            self._listener.answered(self, dock)

    def _connect(self, family: int, address: Any) -> socket.socket:
        dock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with contextlib.suppress(PermissionError):  # before Linux 5.7 only root may; the routes must do then
                dock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._way.interface.encode())
            for option in _TCP_OPTIONS:
                dock.setsockopt(*option)
            with contextlib.suppress(BlockingIOError):
                dock.connect(address)
        except OSError:
            dock.close()
            raise
        return dock
