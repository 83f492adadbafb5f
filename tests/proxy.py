"""A cable for tests: a TCP proxy that counts the bytes of each direction and can be cut at any of them."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIECE = 16 << 10


class Cable:
    """What lies between a unit and its dock; `up` and `down` are the bytes that crossed it since `mend`.

    `cut_up` and `cut_down` say after how many bytes to or from the dock it is cut; from then on until `mend` nothing
    crosses it, and no new connection comes about.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._lock = threading.Lock()
        self._listener = socket.create_server(("localhost", 0))
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._is_cut = False
        self.mend()
        self._start(self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def mend(self, *, cut_up: int | None = None, cut_down: int | None = None) -> None:
        """Put the cable in again, to be cut after so many bytes or never."""
        with self._lock:
            self.up = self.down = 0
            self._cut_up, self._cut_down = cut_up, cut_down
            self._is_cut = False

    def cut(self) -> None:
        """Cut the cable now."""
        with self._lock:
            self._cut()

    def drop(self) -> None:
        """End the connections that there are; the cable stays."""
        with self._lock:
            self._end_all()

    def close(self) -> None:
        with self._lock:
            self._cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                unit_end, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._is_cut:
                    unit_end.close()
                    continue
                try:
                    dock_end = socket.create_connection(("127.0.0.1", self._to_port))
                except OSError:
                    unit_end.close()
                    continue
                self._ends += [unit_end, dock_end]
            self._start(self._carry, unit_end, dock_end, True)
            self._start(self._carry, dock_end, unit_end, False)

    def _carry(self, source: socket.socket, target: socket.socket, is_up: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                with self._lock:
                    piece = self._counted(piece, is_up=is_up)
                    was_cut = self._is_cut
                if piece:
                    target.sendall(piece)
                if was_cut:
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _counted(self, piece: bytes, *, is_up: bool) -> bytes:
        """Return what of a piece still crosses."""
        if self._is_cut:
            return b""
        crossed, limit = (self.up, self._cut_up) if is_up else (self.down, self._cut_down)
        if limit is not None and crossed + len(piece) >= limit:
            piece = piece[: limit - crossed]
            self._is_cut = True
        if is_up:
            self.up += len(piece)
        else:
            self.down += len(piece)
        return piece

    def _cut(self) -> None:
        self._is_cut = True
        self._end_all()

    def _end_all(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()


@contextmanager
def cable_to(port: int) -> Iterator[Cable]:
    """Lay a cable to a port of this machine."""
    cable = Cable(port)
    try:
        yield cable
    finally:
        cable.close()
