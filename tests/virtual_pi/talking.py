"""Talking to QEMU and to the agent inside the machine: one JSON object a line, over a Unix socket."""

import itertools
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class NoAnswerError(TimeoutError):
    """Nobody answered in time."""


class RefusedError(RuntimeError):
    """What was asked for was refused."""


class Line:
    """One connection; an answer that comes too late for its question is passed over."""

    def __init__(self, path: Path, *, seconds: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        _connect(self._socket, path, time.monotonic() + seconds)
        self._received = b""
        self._numbers = itertools.count(1)

    def ask(self, command: str, *, seconds: float = 30.0, **arguments: Any) -> Any:
        """Return the answer to `command`; raises RefusedError or NoAnswerError."""
        number = next(self._numbers)
        deadline = time.monotonic() + seconds
        self._send({"execute": command, "arguments": arguments, "id": number}, deadline, command)
        while True:
            answer = self._read(deadline, command)
            if answer.get("id") == number and "return" in answer:
                return answer["return"]
            if answer.get("id") == number and "error" in answer:
                raise RefusedError(f"{command}: {answer['error'].get('desc')}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _send(self, message: dict[str, Any], deadline: float, command: str) -> None:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError as error:  # whoever does not read yet, such as a machine that still starts
            raise NoAnswerError(f"Nobody takes '{command}'.") from error

    def _read(self, deadline: float, command: str) -> dict[str, Any]:
        while b"\n" not in self._received:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                more = self._socket.recv(1 << 20)
            except TimeoutError as error:
                raise NoAnswerError(f"No answer to '{command}'.") from error
            if not more:
                raise NoAnswerError(f"The line broke at '{command}'.")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        return dict(json.loads(line.lstrip(b"\xff")))


def until(condition: Callable[[], Any], *, seconds: float, what: str, pause: float = 0.1) -> Any:
    """Return what `condition` returns as soon as it is true; raises NoAnswerError, naming `what` was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise NoAnswerError(f"Waited {seconds:.0f} s in vain: {what}.")
        time.sleep(pause)


def _connect(connection: socket.socket, path: Path, deadline: float) -> None:
    while True:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if time.monotonic() > deadline:
                raise NoAnswerError(f"Nothing listens at {path.name}.") from error
            time.sleep(0.02)
        else:
            return
