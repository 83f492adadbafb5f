"""A dock that hands an update on: a real one's bays, and before them a door that speaks the words of updates alone."""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dock_station.settings import DockFolder
from evidence.docking import OUTCOME_PATH, UPDATE_PATH, UpdateOffer, UpdateOutcome
from evidence.strict import read_json
from tests.dock import RunningDock, running_behind
from tests.pki import Pki
from tests.signed_bundles import COMPATIBLE, NEWER

BLOCK = 1 << 16


@dataclass
class UpdateDoor:
    """Offers `bundle`, and keeps what it is told; `between` is called before each block that it sends.

    `sha256` and `announced` (bytes) are what it says of the bundle instead of the truth.
    """

    app: Callable[..., Iterable[bytes]]
    bundle: bytes | None = None
    release: str = NEWER
    compatible: str = COMPATIBLE
    sha256: str | None = None
    announced: int | None = None
    outcomes: list[UpdateOutcome] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    looks: int = 0
    between: Callable[[], None] = lambda: None

    def offer(self, size: int = 300_000) -> None:
        self.bundle = os.urandom(size)

    @property
    def digest(self) -> str:
        return self.sha256 or hashlib.sha256(self.bundle or b"").hexdigest()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
            case "POST", path if path == OUTCOME_PATH:
                content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                self.outcomes.append(read_json(content, UpdateOutcome, "outcome"))
                start_response("204 No Content", [])
                return []
            case "GET", path if path == UPDATE_PATH:
                return self._offer(start_response)
            case "GET", path if path == f"{UPDATE_PATH}/{self.digest}":
                return self._send(environ.get("HTTP_RANGE", ""), start_response)
        return self.app(environ, start_response)

    def _offer(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.looks += 1
        if self.bundle is None:
            start_response("204 No Content", [])
            return []
        size = self.announced or len(self.bundle)
        offer = UpdateOffer(release=self.release, compatible=self.compatible, bytes=size, sha256=self.digest)
        content = msgspec.json.encode(offer)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
        return [content]

    def _send(self, wanted: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.ranges.append(wanted)
        content = self.bundle or b""
        start = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
        headers = [("Content-Length", str(len(content) - start))]
        if wanted:
            headers.append(("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"))
        start_response("206 Partial Content" if wanted else "200 OK", headers)
        for at in range(start, len(content), BLOCK):
            self.between()
            yield content[at : at + BLOCK]


def updating_dock(folder: DockFolder, pki: Pki) -> AbstractContextManager[tuple[RunningDock, UpdateDoor]]:
    """Open the bays of a dock that is set up, with a door for updates before them."""
    return running_behind(folder, pki, UpdateDoor)
