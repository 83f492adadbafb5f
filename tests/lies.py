"""Docks that are not what they should be: real ones whose answers are changed on their way out."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dock_station.settings import DockFolder
from evidence.signature import Signed
from tests.dock import RunningDock, running_behind
from tests.pki import Pki


@dataclass
class Answer:
    """What the dock was about to say."""

    status: str
    headers: dict[str, str]
    content: bytes

    @property
    def signed(self) -> Signed:
        return msgspec.json.decode(self.content, type=Signed)


Lie = Callable[[Answer], Answer | None]


@dataclass
class Mouth:
    """Speaks for a real dock: `lies` change its answers, by method and the end of the path; None changes nothing."""

    app: Callable[..., Iterable[bytes]]
    lies: dict[tuple[str, str], Lie] = field(default_factory=dict)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        said: list[Any] = []

        def listen(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
            said[:] = [status, dict(headers)]

        content = b"".join(self.app(environ, listen))
        answer = Answer(said[0], said[1], content)
        for (method, end), lie in self.lies.items():
            if environ["REQUEST_METHOD"] == method and environ["PATH_INFO"].endswith(end):
                answer = lie(answer) or answer
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        start_response(answer.status, [*headers.items(), ("Content-Length", str(len(answer.content)))])
        return [answer.content]


def lying_dock(folder: DockFolder, pki: Pki) -> AbstractContextManager[tuple[RunningDock, Mouth]]:
    """Open the bays of a dock that is set up, with a mouth that can be taught to lie."""
    return running_behind(folder, pki, Mouth)
