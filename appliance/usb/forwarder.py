"""The forwarder: the only process on the unit that has a network, and all it can do there is call the dock."""

import selectors
import socket
from collections.abc import Callable

from appliance.usb.cable_journal import CableJournal
from appliance.usb.calling import Call, Way
from appliance.usb.connection import Connection
from appliance.usb.link import Link
from appliance.usb.watching import Moved
from evidence.errors import reason_of
from evidence.supervisor import Supervisor

MAX_CONNECTIONS = 8
_LOOK_SECONDS = 1.0  # how long a change may go unseen of which, against all rules, nobody told


class Forwarder:
    """Joins each connection at the listener with a new one to the dock, while there is a cable.

    Contract: without a carrier there is no connection: who comes is let go at once, and when the carrier goes, so does
    every connection, within the turn of the loop that hears of it. It neither keeps nor understands what it passes on,
    and holds no more of it than a few hundred kilobytes: who sends waits for who receives.
    """

    def __init__(
        self,
        listener: socket.socket,
        link: Link,
        find_way: Callable[[], Way],
        *,
        journal: CableJournal,
        supervisor: Supervisor,
    ) -> None:
        """Serve at `listener`, a Unix socket; `find_way` says how to get to the dock, or raises OSError."""
        listener.setblocking(False)
        self._listener = listener
        self._link = link
        self._find_way = find_way
        self._journal = journal
        self._supervisor = supervisor
        self._bell, self._ringer = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._open: set[Call | Connection] = set()
        self._has_carrier = False
        self._is_silent = False
        self._is_stopping = False

    def run(self) -> None:
        """Serve until `stop` is called."""
        try:
            self._listen()
            self._look()
            self._supervisor.ready()
            while not self._is_stopping:
                self._turn()
                self._supervisor.alive()
        finally:
            self._supervisor.stopping()
            self._close()

    def stop(self) -> None:
        """Have it end; may be called from a signal handler or another thread."""
        self._is_stopping = True
        self._ringer.send(b"\0")

    def _turn(self) -> None:
        for key, events in self._selector.select(_LOOK_SECONDS):
            current = self._selector.get_map().get(key.fd)
            if current and current.fileobj is key.fileobj:  # nothing before it in this turn has ended it
                moved: Moved = key.data
                moved(events)
        self._look()

    # Who comes

    def _listen(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._bell, selectors.EVENT_READ, lambda _: self._bell.recv(1))
        for bell in self._link.bells:
            self._selector.register(bell, selectors.EVENT_READ, lambda _: self._link.listen())

    def _accept(self, _events: int) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        if not self._link.has_carrier():
            client.close()
        elif len(self._open) >= MAX_CONNECTIONS:
            self._journal.crowded(len(self._open))
            client.close()
        else:
            self._call(client)

    def _call(self, client: socket.socket) -> None:
        try:
            way = self._find_way()
        except OSError as error:
            self._say_silent(error)
            client.close()
            return
        call = Call(client, way, self._selector, self)
        self._open.add(call)
        call.begin()

    def answered(self, call: Call, dock: socket.socket) -> None:
        """Join the two."""
        self._open.remove(call)
        self._is_silent = False
        self._open.add(Connection(call.client, dock, self._selector, self._ended))

    def failed(self, call: Call, error: OSError) -> None:
        """Let the client go."""
        self._say_silent(error)
        self._ended(call, error)

    def _ended(self, call: Call | Connection, _error: OSError | None) -> None:
        self._open.discard(call)
        call.close()

    def _say_silent(self, error: OSError) -> None:
        if not self._is_silent:
            self._is_silent = True
            self._journal.dock_silent(reason_of(error))

    # The cable

    def _look(self) -> None:
        has_carrier = self._link.has_carrier()
        if has_carrier == self._has_carrier:
            return
        self._has_carrier = has_carrier
        self._is_silent = False
        if has_carrier:
            self._journal.cable_in(self._link.interface)
        else:
            self._journal.cable_out(self._link.interface, connections=self._cut())

    def _cut(self) -> int:
        connections = len(self._open)
        for each in self._open:
            each.close()
        self._open.clear()
        return connections

    def _close(self) -> None:
        self._cut()
        self._selector.close()
        for end in (self._listener, self._bell, self._ringer):
            end.close()
