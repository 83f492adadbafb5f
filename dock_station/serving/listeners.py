"""The dock's listeners: the bays, where units come with a certificate, and the pages, where people sign in."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from dock_station.bays import door
from dock_station.bays.refused import RefusedCertificates
from dock_station.dock import Dock
from dock_station.serving.http import Server
from dock_station.serving.liveness import Alive, beating
from dock_station.serving.tls import Contexts, bays_context, pages_context

log = structlog.get_logger()

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

BAYS_THREADS = 32  # more than a dock has bays, for a pulled cable leaves a connection behind for a while
PAGES_THREADS = 32
MAX_PAGES_BODY = 1 << 20  # a form


@dataclass(frozen=True)
class Listener:
    """One open door: its name and where it is."""

    name: str
    address: str
    port: int


def listen_at_the_bays(dock: Dock) -> Server:
    """Return the server of the bays, not started yet; raises TlsFilesError."""
    refused = RefusedCertificates(dock)
    return Server(
        address=dock.settings.bays_address,
        port=dock.settings.bays_port,
        app=door.create_app(dock, refused),
        contexts=Contexts(dock.folder, bays_context),
        threads=BAYS_THREADS,
        max_body=0,
        on_refused=refused.note,
    )


def listen_for_people(dock: Dock, app: WsgiApp) -> Server:
    """Return the server of the pages, not started yet; raises TlsFilesError."""
    return Server(
        address=dock.settings.pages_address,
        port=dock.settings.pages_port,
        app=app,
        contexts=Contexts(dock.folder, pages_context),
        threads=PAGES_THREADS,
        max_body=MAX_PAGES_BODY,
    )


@contextmanager
def listening(name: str, server: Server, alive: Alive = lambda: None) -> Iterator[Listener]:
    """Serve as long as the block runs; then finish what can be finished in a few seconds, and close.

    `alive` is called about once a second by a server that does not hang. Raises OSError where the address cannot be
    listened at.
    """
    server.prepare()
    address, port = server.bind_addr[:2]
    thread = threading.Thread(target=server.serve, name=f"{name} listener")
    thread.start()
    log.info("listening", listener=name, address=address, port=port)
    try:
        with beating(server, alive):
            yield Listener(name, address, port)
    finally:
        server.stop()
        thread.join()
        log.info("stopped", listener=name)
