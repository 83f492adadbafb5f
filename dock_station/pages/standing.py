"""How each bay stands, out of what the catalogue knows of its unit: one plain state for whoever passes the dock."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dock_station.bays.presence import are_watched
from dock_station.bays.uploads import KEPT_FOR
from dock_station.catalogue import bays, units
from dock_station.catalogue.bays import Bay
from dock_station.dock import Dock
from dock_station.pages import words
from evidence.identifiers import NEW_UNIT

CALLS_WITHIN = timedelta(seconds=30)
MOVES_WITHIN = timedelta(minutes=2)  # a long clip is read back and hashed before it counts as handed over
FRESH_SECONDS = 1.0  # however many look, the catalogue is asked once in that time

GOOD, BUSY, BAD, FREE = "good", "busy", "bad", "free"


@dataclass(frozen=True)
class Standing:
    """How one bay stands: `kind` is one of four, `percent` is there while something moves."""

    kind: str
    sentence: str
    hint: str | None = None
    percent: int | None = None


@dataclass(frozen=True)
class ShownBay:
    """One bay as it is shown."""

    port: str
    name: str
    unit_id: str | None
    standing: Standing


@dataclass(frozen=True)
class HandOver:
    """What a unit has handed over since it was plugged in: `done` of `total` clips, `part` of the next one."""

    done: int
    total: int
    refused: int
    part: float
    moved_at: datetime

    @property
    def percent(self) -> int:
        """How far it is; 100 only when everything is here."""
        return min(99, int(100 * (self.done + self.part) / self.total)) if self.done < self.total else 100


class Board:
    """The bays of a dock, as they stand; None while nobody watches them. It writes nothing."""

    def __init__(self, dock: Dock, monotonic: Callable[[], float]) -> None:
        self._dock = dock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen_at = -FRESH_SECONDS
        self._seen: list[ShownBay] | None = None

    def seen(self) -> list[ShownBay] | None:
        """Return the bays, at most a second old."""
        with self._lock:
            if self._monotonic() - self._seen_at >= FRESH_SECONDS:
                self._seen = self._look()
                self._seen_at = self._monotonic()
            return self._seen

    def _look(self) -> list[ShownBay] | None:
        if not are_watched(self._dock.folder.bays_lock_file):
            return None
        now, names = self._dock.clock(), self._dock.settings.bay_names
        with self._dock.catalogue.reading() as connection:
            taken = {bay.bay: bay for bay in bays.taken(connection)}
            how_often = Counter(bay.unit_id for bay in taken.values())
            return [
                _shown(connection, port, taken.get(port), names, how_often, now) for port in _in_order(names, taken)
            ]


def _in_order(names: Mapping[str, str], taken: Mapping[str, Bay]) -> list[str]:
    """Return the ports: those that have a name first, as IT has listed them, then the others by their numbers."""
    return [*names, *sorted(taken.keys() - names.keys(), key=lambda port: [int(n) for n in re.findall(r"\d+", port)])]


def _shown(
    connection: Connection,
    port: str,
    bay: Bay | None,
    names: Mapping[str, str],
    how_often: Mapping[str | None, int],
    now: datetime,
) -> ShownBay:
    unit_id = bay.unit_id if bay else None
    if bay is None:
        standing = Standing(FREE, words.BAY_EMPTY)
    elif bay.unit_id is None:
        standing = Standing(BAD, words.BAY_UNKNOWN)
    elif how_often[bay.unit_id] > 1:
        standing = Standing(BAD, words.BAY_TWICE)
    elif bay.unit_id.startswith(NEW_UNIT):
        standing = Standing(BUSY, words.BAY_NEW)
    else:
        standing = _of_unit(connection, bay, bay.unit_id, now)
    return ShownBay(port, names.get(port, port), unit_id, standing)


def _of_unit(connection: Connection, bay: Bay, unit_id: str, now: datetime) -> Standing:
    unit = units.find(connection, unit_id)
    greeted_at = unit.greeted_at if unit else None
    has_called = greeted_at is not None and greeted_at >= bay.since
    if bay.refused_at and not (has_called and greeted_at and greeted_at > bay.refused_at):
        return Standing(BAD, words.BAY_CERTIFICATE)
    if unit is None or greeted_at is None or not has_called:
        is_late = now - bay.since >= CALLS_WITHIN
        return Standing(BUSY, words.BAY_NOT_CALLED, words.BAY_NOT_CALLED_HINT if is_late else None)
    return _of_hand_over(_hand_over(connection, bay, unit_id, unit.clips_waiting or 0, greeted_at), now)


def _of_hand_over(hand_over: HandOver, now: datetime) -> Standing:
    if hand_over.done >= hand_over.total:
        return Standing(GOOD, words.BAY_HANDED_OVER)
    if hand_over.refused and hand_over.done + hand_over.refused >= hand_over.total:
        return Standing(BAD, words.bay_keeps(hand_over.total - hand_over.done))
    stands_still = now - hand_over.moved_at >= MOVES_WITHIN
    return Standing(
        BUSY,
        words.bay_hands_over(hand_over.done, hand_over.total, hand_over.percent),
        words.BAY_STANDS_STILL_HINT if stands_still else None,
        hand_over.percent,
    )


def _hand_over(connection: Connection, bay: Bay, unit_id: str, waiting: int, greeted_at: datetime) -> HandOver:
    # A unit may greet more than once in one docking, each time with fewer clips: what came before counts as well.
    done = bays.count_received(connection, unit_id, bay.since)
    before = bays.count_received(connection, unit_id, bay.since, greeted_at)
    upload = bays.newest_upload(connection, unit_id)
    moments = [greeted_at]
    part = 0.0
    if upload and (touched_at := upload.expires_at - KEPT_FOR) >= bay.since:
        moments.append(touched_at)
        part = upload.offset_bytes / upload.length_bytes
    if newest := bays.newest_received(connection, unit_id):
        moments.append(newest)
    return HandOver(done, before + waiting, bays.count_refused(connection, unit_id), part, max(moments))
