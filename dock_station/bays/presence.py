"""Which bay holds which unit, noted in the catalogue as units are plugged in and taken out, before they say a word."""

import fcntl
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dock_station.bays.usb import NoUdevError, Plugged, Unplugged, Usb
from dock_station.catalogue import bays
from dock_station.catalogue.database import CatalogueFailsError
from dock_station.dock import Dock
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.identifiers import NAME_PATTERN

log = structlog.get_logger()

TURN_SECONDS = 1.0  # how long it waits for news at most
AGAIN_SECONDS = 2.0  # between two tries: what fails does not keep the processor busy
LOOK_SECONDS = 30.0  # how often it looks at all ports once more: the kernel drops news that it has no room for
SAME_SECONDS = 1.0  # nobody takes a unit out and plugs it in again so quickly
LOCK_SECONDS = 2.0  # longer than anyone looks whether the lock is held


class WatchedTwiceError(EnvironmentalError):
    """Another process of this dock watches its bays."""

    def __init__(self) -> None:
        super().__init__("The bays are watched by another process of this dock: see that only one is started.")


class BayWatch:
    """What keeps the catalogue's bays as they are.

    Contract: at its start whatever an earlier run has left is gone; a moment after a unit was plugged in or taken out
    the catalogue has it. When udev or the catalogue fails, it begins anew, with a look at all ports, until it works.
    It writes only what has changed. What a device says of itself is noted and shown, never obeyed.
    """

    def __init__(
        self,
        dock: Dock,
        listen: Callable[[], AbstractContextManager[Usb]],
        *,
        alive: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dock = dock
        self._listen = listen
        self._alive = alive
        self._monotonic = monotonic
        self._plugged: dict[str, Plugged] = {}  # by the place in the system, which is all that udev tells at the end

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set."""
        while not stop.is_set():
            try:
                self._begin()
                with self._listen() as usb:
                    self._watch(usb, stop)
            except SQLAlchemyError as error:
                log.error("bays_watch_failed", reason=str(CatalogueFailsError(error)))  # noqa: TRY400 – says it all
            except MirrorcamError as error:
                log.error("bays_watch_failed", reason=str(error))  # noqa: TRY400 – the sentence says it all
            self._alive()
            stop.wait(AGAIN_SECONDS)

    def _begin(self) -> None:
        self._plugged.clear()
        with self._dock.catalogue.writing() as connection:
            bays.clear(connection)

    def _watch(self, usb: Usb, stop: threading.Event) -> None:
        look_at = self._monotonic() + LOOK_SECONDS  # from a look's beginning: what changes in it is seen by the next
        self._look(usb)
        while not stop.is_set():
            self._alive()
            news = usb.wait(TURN_SECONDS)
            if isinstance(news, Plugged):
                self._came(news)
            elif isinstance(news, Unplugged):
                self._went(news.sys_path)
            elif self._monotonic() >= look_at:
                look_at = self._monotonic() + LOOK_SECONDS
                self._look(usb)

    def _look(self, usb: Usb) -> None:
        present = {plugged.sys_path: plugged for plugged in usb.present()}
        for sys_path in self._plugged.keys() - present.keys():
            self._went(sys_path)
        for plugged in present.values():
            self._came(plugged)

    def _came(self, plugged: Plugged) -> None:
        known = self._plugged.get(plugged.sys_path)
        if known and _is_same(known, plugged):
            return  # it was there when all ports were looked at, and its coming was heard of besides
        unit_id = plugged.serial if re.match(NAME_PATTERN, plugged.serial) else None
        since = self._dock.clock() - timedelta(seconds=max(0.0, self._monotonic() - plugged.began))
        with self._dock.catalogue.writing() as connection:
            bays.plug_in(connection, plugged.port, unit_id, since)
        self._plugged[plugged.sys_path] = plugged
        log.info("bay_taken", bay=plugged.port, unit_id=unit_id)

    def _went(self, sys_path: str) -> None:
        known = self._plugged.get(sys_path)
        if known is None:
            return  # something else than a unit
        with self._dock.catalogue.writing() as connection:
            bays.unplug(connection, known.port)
        del self._plugged[sys_path]
        log.info("bay_free", bay=known.port)


@contextmanager
def watching(
    dock: Dock,
    listen: Callable[[], AbstractContextManager[Usb]],
    require: Callable[[], None],
    join: Callable[[], Callable[[], None]],
) -> Iterator[None]:
    """Watch the bays as long as the block runs; where that cannot be, say so once in the log and go on without.

    `require` raises NoUdevError where there is nothing to listen to; `join` returns what the watch calls at each turn.
    """
    try:
        require()
        lock = _locked(dock.folder.bays_lock_file)
    except (NoUdevError, WatchedTwiceError) as error:
        log.warning("bays_not_watched", reason=str(error))
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=BayWatch(dock, listen, alive=join()).run, args=(stop,), name="bay watch")
    with lock:
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def are_watched(lock_file: Path) -> bool:
    """Say whether a process watches the bays now; the kernel knows, also after that process was killed."""
    try:
        with lock_file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _is_same(known: Plugged, plugged: Plugged) -> bool:
    return known.serial == plugged.serial and abs(known.began - plugged.began) < SAME_SECONDS


def _locked(lock_file: Path) -> IO[bytes]:
    """Return the file, locked until it is closed; raises WatchedTwiceError."""
    deadline = time.monotonic() + LOCK_SECONDS
    file = lock_file.open("ab")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                file.close()
                raise WatchedTwiceError from error
            time.sleep(0.05)  # somebody may just be looking whether it is held
        else:
            return file
