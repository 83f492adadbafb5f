"""The dock at work: its listeners, the opener and the watch of the bays, in one process or each side in its own."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from dock_station import pages
from dock_station.bays import usb
from dock_station.bays.presence import watching
from dock_station.catalogue import schema
from dock_station.dock import Dock
from dock_station.enrolment.opening import opened_on_demand
from dock_station.opening.keeper import start_opener
from dock_station.serving.http import Server
from dock_station.serving.listeners import listen_at_the_bays, listen_for_people, listening
from dock_station.serving.liveness import Together
from dock_station.settings import DockFolder
from evidence.errors import EnvironmentalError
from evidence.supervisor import Supervisor


class CannotListenError(EnvironmentalError):
    """An address of dock.toml cannot be listened at."""

    def __init__(self, name: str, server: Server) -> None:
        address, port = server.bind_addr[:2]
        super().__init__(
            f"The {name} cannot be opened at {address} port {port}: see whether the dock runs already, or choose "
            "another port, or an address of this computer, in dock.toml."
        )


def run(folder: DockFolder, *, with_bays: bool, with_pages: bool) -> None:
    """Be the dock, or the one side of it, until SIGTERM or SIGINT; at the first start make the catalogue.

    The service manager is told that it is ready when all that was asked for listens, and gets signs of life as long as
    none of it hangs. Raises CannotListenError, and what `Dock.open` raises.
    """
    stop = stop_by_signal()
    make_catalogue(folder)
    supervisor = Supervisor.from_environment()
    alive = Together(supervisor.alive)
    with closing(Dock.open(folder)) as dock, ExitStack() as running:
        if with_bays:
            _listen(running, "bays", listen_at_the_bays(dock), alive)
            running.enter_context(watching(dock, usb.udev, usb.require_udev, lambda: alive.part("bay watch")))
            running.enter_context(opened_on_demand(dock, lambda: alive.part("enrolment watch")))
        if with_pages:
            opener = running.enter_context(start_opener(folder))
            _listen(running, "pages", listen_for_people(dock, pages.create_app(dock, opener)), alive)
        supervisor.ready()
        stop.wait()
        supervisor.stopping()


def make_catalogue(folder: DockFolder) -> None:
    """Make the catalogue where there is none yet; of processes that start at the same time one does it."""
    with closing(Dock.open_unchecked(folder)) as dock, _alone(folder.path):
        if schema.revision(dock.catalogue) is None:
            schema.migrate(dock.catalogue)


def stop_by_signal() -> threading.Event:
    """Return what SIGTERM and SIGINT set from now on."""
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def _listen(running: ExitStack, name: str, server: Server, alive: Together) -> None:
    try:
        running.enter_context(listening(name, server, alive.part(name)))
    except OSError as error:
        raise CannotListenError(name, server) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process after the other in; the kernel lets the next one in also when one dies."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
