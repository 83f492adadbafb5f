"""When the enrolment door is there at all: from the moment at which IT opens it until IT's command ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import structlog

from dock_station.dock import Dock
from dock_station.enrolment import door
from dock_station.serving.http import Server
from dock_station.serving.listeners import listening
from dock_station.serving.liveness import Alive
from dock_station.serving.tls import Contexts, pages_context
from evidence.errors import MirrorcamError, reason_of

log = structlog.get_logger()

LOOK_SECONDS = 1.0
THREADS = 4  # each request is a few kilobytes


@contextmanager
def opened_on_demand(dock: Dock, join: Callable[[], Alive]) -> Iterator[None]:
    """Listen for units to be whenever IT has opened enrolment, as long as the block runs; else nothing listens.

    `join` returns what is called at each look, by a watch that does not hang.
    """
    dock.folder.enrolment.prepare()
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(dock, stop, join()), name="enrolment watch")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(dock: Dock, stop: threading.Event, alive: Alive) -> None:
    while not stop.is_set():
        alive()
        if dock.folder.enrolment.is_open():
            _listen_while_open(dock, stop, alive)
        stop.wait(LOOK_SECONDS)


def _listen_while_open(dock: Dock, stop: threading.Event, alive: Alive) -> None:
    with ExitStack() as stack:
        is_listening, told = False, ""
        while True:
            try:
                if not is_listening:
                    stack.enter_context(listening("enrolment", _server(dock)))
                    is_listening = True
            except (MirrorcamError, OSError) as error:
                told = _tell(dock.settings.enrolment_port, reason_of(error).removesuffix("."), told)
            if stop.wait(LOOK_SECONDS) or not dock.folder.enrolment.is_open():
                return
            alive()


def _tell(port: int, reason: str, told: str) -> str:
    if reason != told:
        log.error("enrolment_not_open", port=port, reason=reason)
    return reason


def _server(dock: Dock) -> Server:
    return Server(
        address=dock.settings.bays_address,
        port=dock.settings.enrolment_port,
        app=door.create_app(dock),
        contexts=Contexts(dock.folder, pages_context),  # no client certificate: that is what they come for
        threads=THREADS,
        max_body=door.MAX_BODY,
    )
