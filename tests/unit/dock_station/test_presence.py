"""The watch of the bays: what udev tells ends up in the catalogue, in whatever order it comes and whatever breaks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dock_station.bays import presence
from dock_station.bays.presence import BayWatch, are_watched, watching
from dock_station.bays.usb import NoUdevError, UsbFailsError
from dock_station.catalogue import bays
from tests.dock import until
from tests.ports import Ports, gone, unit
from tests.stored import StoredDock


@dataclass
class Watched:
    """A dock whose bays are watched."""

    stored: StoredDock
    ports: Ports
    seconds: float = 1000.0
    turns: int = 0

    def turn(self) -> None:
        self.turns += 1

    def taken(self) -> dict[str, str | None]:
        with self.stored.dock.catalogue.reading() as connection:
            return {bay.bay: bay.unit_id for bay in bays.taken(connection)}

    def becomes(self, wanted: dict[str, str | None]) -> None:
        until(lambda: self.taken() == wanted)

    @contextmanager
    def watch(self) -> Iterator[None]:
        watch = BayWatch(self.stored.dock, self.ports.listen, alive=self.turn, monotonic=lambda: self.seconds)
        stop = threading.Event()
        thread = threading.Thread(target=watch.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(presence, "AGAIN_SECONDS", 0.01)
    stored = StoredDock(tmp_path / "dock")
    yield Watched(stored, Ports())
    stored.dock.close()


def test_units_that_are_there_at_the_start_are_noted_and_what_an_earlier_run_left_is_gone(here: Watched) -> None:
    with here.stored.dock.catalogue.writing() as connection:
        bays.plug_in(connection, "1-1.9", "unit-9", here.stored.time.now())
    here.ports.there = [unit("1-1.1", "unit-1")]
    with here.watch():
        here.becomes({"1-1.1": "unit-1"})


def test_a_unit_is_noted_when_it_comes_and_forgotten_when_it_goes(here: Watched) -> None:
    with capture_logs() as logs, here.watch():
        here.ports.news.put(unit("1-1.3", "unit-3"))
        here.becomes({"1-1.3": "unit-3"})
        here.ports.news.put(gone("1-1.3"))
        here.becomes({})
    assert [(each["event"], each["bay"]) for each in logs] == [("bay_taken", "1-1.3"), ("bay_free", "1-1.3")]


def test_what_was_there_and_is_heard_of_besides_is_one_unit(here: Watched) -> None:
    here.ports.there = [unit("1-1.1", "unit-1")]
    here.ports.news.put(unit("1-1.1", "unit-1"))
    here.ports.news.put(unit("1-1.2", "unit-2"))
    with capture_logs() as logs, here.watch():
        here.becomes({"1-1.1": "unit-1", "1-1.2": "unit-2"})
    assert [each["bay"] for each in logs] == ["1-1.1", "1-1.2"]


def test_the_end_of_something_that_is_no_unit_changes_nothing(here: Watched) -> None:
    here.ports.there = [unit("1-1.1", "unit-1")]
    with here.watch():
        here.ports.news.put(gone("1-1.7"))
        here.ports.news.put(unit("1-1.2", "unit-2"))
        here.becomes({"1-1.1": "unit-1", "1-1.2": "unit-2"})


@pytest.mark.parametrize("serial", ["", "Unit-1", "unit 1", "../unit", "-", "u" * 33, "unit-1\n", "<b>"])
def test_a_serial_that_is_no_units_is_an_unknown_device(here: Watched, serial: str) -> None:
    here.ports.there = [unit("1-1.1", serial)]
    with here.watch():
        here.becomes({"1-1.1": None})


def test_it_knows_since_when_a_unit_is_there_also_when_the_dock_was_started_later(here: Watched) -> None:
    here.ports.there = [unit("1-1.1", "unit-1", began=here.seconds - 90)]
    with here.watch():
        here.becomes({"1-1.1": "unit-1"})
        with here.stored.dock.catalogue.reading() as connection:
            (bay,) = bays.taken(connection)
    assert bay.since == here.stored.time.now() - timedelta(seconds=90)


def test_a_unit_that_was_taken_out_and_put_back_unheard_is_there_since_then(here: Watched) -> None:
    here.ports.there = [unit("1-1.1", "unit-1", began=100.0)]
    with here.watch():
        here.becomes({"1-1.1": "unit-1"})
        here.ports.news.put(unit("1-1.1", "unit-1", began=900.0))

        def since() -> timedelta:
            with here.stored.dock.catalogue.reading() as connection:
                return here.stored.time.now() - bays.taken(connection)[0].since

        until(lambda: since() == timedelta(seconds=100))


def test_when_udev_breaks_it_is_asked_anew_and_what_changed_meanwhile_is_seen(here: Watched) -> None:
    here.ports.there = [unit("1-1.1", "unit-1")]
    with capture_logs() as logs, here.watch():
        here.becomes({"1-1.1": "unit-1"})
        here.ports.there = [unit("1-1.2", "unit-2")]
        here.ports.news.put(UsbFailsError(OSError("no buffer space")))
        here.becomes({"1-1.2": "unit-2"})
    assert here.ports.listened >= 2
    assert "bays_watch_failed" in [each["event"] for each in logs]


def test_news_that_the_kernel_dropped_are_found_by_looking_again(here: Watched) -> None:
    with here.watch():
        until(lambda: here.ports.looked == 1)
        here.ports.there = [unit("1-1.1", "unit-1")]
        here.seconds += presence.LOOK_SECONDS
        here.becomes({"1-1.1": "unit-1"})
        here.ports.there = []
        here.seconds += presence.LOOK_SECONDS
        here.becomes({})


def test_a_catalogue_that_fails_ends_nothing_and_is_right_when_it_works_again(here: Watched) -> None:
    with here.stored.dock.catalogue.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE bays RENAME TO elsewhere")
    here.ports.there = [unit("1-1.1", "unit-1")]
    with here.watch(), capture_logs():
        before = here.turns
        until(lambda: here.turns > before + 2)
        with here.stored.dock.catalogue.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO bays")
        here.becomes({"1-1.1": "unit-1"})


def test_a_computer_without_udev_says_so_once_and_goes_on(here: Watched) -> None:
    def require() -> None:
        raise NoUdevError("it is not there")

    with capture_logs() as logs, watching(here.stored.dock, here.ports.listen, require, lambda: here.turn):
        assert not are_watched(here.stored.folder.bays_lock_file)
    assert [each["event"] for each in logs] == ["bays_not_watched"]
    assert here.ports.listened == 0


def test_the_bays_are_watched_by_one_process_which_others_can_see(
    here: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LOCK_SECONDS", 0)
    lock_file = here.stored.folder.bays_lock_file
    assert not are_watched(lock_file)
    with watching(here.stored.dock, here.ports.listen, lambda: None, lambda: here.turn):
        assert are_watched(lock_file)
        with (
            capture_logs() as logs,
            watching(here.stored.dock, here.ports.listen, lambda: None, lambda: here.turn),
        ):
            assert "another process" in next(each["reason"] for each in logs if each["event"] == "bays_not_watched")
        until(lambda: here.turns > 0)
    assert not are_watched(lock_file)
