"""Refused certificates, noted at the bay that the client called from, so that people before the dock see why."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from dock_station.bays.cable import bay_of
from dock_station.catalogue import bays
from dock_station.dock import Dock
from evidence.errors import MirrorcamError

QUIET = timedelta(seconds=10)  # a refused unit calls again and again: the catalogue is written to only so often


class RefusedCertificates:
    """What the door tells of each certificate that it has refused; it never fails, and nothing is decided by it."""

    def __init__(self, dock: Dock, find_bay: Callable[[str], str | None] = bay_of) -> None:
        self._dock = dock
        self._find_bay = find_bay

    def note(self, address: str) -> None:
        """Note that the certificate of who called from `address` was refused."""
        name = self._find_bay(address)
        if name is None:
            return
        now = self._dock.clock()
        with contextlib.suppress(MirrorcamError, SQLAlchemyError):
            with self._dock.catalogue.reading() as connection:
                known = [bay for bay in bays.taken(connection) if bay.bay == name]
                is_new = known and (known[0].refused_at is None or now - known[0].refused_at >= QUIET)
            if is_new:
                with self._dock.catalogue.writing() as connection:
                    bays.refuse(connection, name, now)
