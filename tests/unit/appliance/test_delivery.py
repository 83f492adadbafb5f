"""Handing over in the background: what the wearer reads on the way, what the unit is told, and how it is broken off."""

import errno
import io
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.docking.client import DockUnreachableError
from appliance.docking.delivery import (
    Course,
    Deleted,
    Delivery,
    Greeted,
    Offload,
    Received,
    Refused,
    Sent,
    Step,
    Updating,
    Uploaded,
)
from appliance.front import messages
from appliance.front.messages import Message, Tone
from appliance.journal import Journal
from appliance.spool import Ending
from appliance.states import Event, News
from evidence.receipt import CustodyHead, Receipt
from tests.dock import PATIENCE, until
from tests.recording import EPOCH, Unit
from tests.unit.appliance.spooling import start

FIRST, SECOND = "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"
RECEIPT = Receipt(
    dock_id="dock-1",
    unit_id="unit-1",
    clip_id=FIRST,
    manifest_sha256="0" * 64,
    ciphertext_bytes=100,
    ciphertext_sha256="1" * 64,
    stored_at=datetime(2026, 3, 1, tzinfo=UTC),
    custody=CustodyHead(entries=4, sha256="2" * 64),
)
ONE_OF_TWO: list[Step] = [
    Greeted("dock-1", "wearer-7", 2, 400),
    Sent(FIRST, 50),
    Uploaded(FIRST, 100),
    Received(FIRST, RECEIPT),
]


class Script:
    """Reports steps one by one; stands at `gate` until it is opened, and raises `error` at its end."""

    def __init__(self, steps: list[Step], error: Exception | None = None) -> None:
        self.steps = steps
        self.error = error
        self.gate = threading.Event()
        self.gate.set()
        self.runs = 0
        self.is_stopping = threading.Event()

    def run(self, report: Callable[[Step], None], is_stopping: threading.Event) -> None:
        self.runs += 1
        self.is_stopping = is_stopping
        for step in self.steps:
            report(step)
        assert self.gate.wait(PATIENCE)
        if self.error and not is_stopping.is_set():
            raise self.error


class Bench:
    """A delivery with what it tells, writes and learns."""

    def __init__(self, folder: Path, offload: Offload, updating: Updating | None = None) -> None:
        self.output = io.StringIO()
        self.news: list[News] = []
        self.wearers: list[str | None] = []
        self.is_full = False
        self.delivery = Delivery(
            offload,
            Unit(folder).spool(),
            journal=Journal(self.output),
            learn_wearer=self.learn_wearer,
            tell=self.news.append,
            updating=updating,
        )

    def learn_wearer(self, wearer: str | None) -> None:
        if self.is_full:
            self.is_full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.wearers.append(wearer)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.output.getvalue().splitlines()]


def test_every_step_is_logged_and_the_end_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script([*ONE_OF_TWO, Deleted(FIRST), Refused(SECOND, "It differs.")]))
    bench.delivery.start()
    until(lambda: bool(bench.news))
    assert bench.news == [News(Event.OFFLOADED)]
    assert bench.events() == ["docked", "greeted", "uploaded", "receipt", "deleted", "refused", "offloaded"]
    assert set(bench.wearers) == {"wearer-7"}
    assert bench.delivery.message == messages.dock_refused(1)


def test_a_wearer_who_cannot_be_noted_keeps_no_clip_here_and_is_noted_when_there_is_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script([*ONE_OF_TWO, Deleted(FIRST)]))
    bench.is_full = True
    bench.delivery.start()
    until(lambda: bool(bench.news))
    assert bench.events()[-2:] == ["deleted", "offloaded"]
    assert (bench.wearers, bench.news) == (["wearer-7"], [News(Event.OFFLOADED)])


def test_a_unit_on_which_a_clip_is_still_to_be_closed_is_not_empty_and_not_updated(tmp_path: Path) -> None:
    spool, updating = Unit(tmp_path).spool(), Saying(messages.UPDATED)
    growing = spool.open_clip(start())
    bench = Bench(tmp_path, Script([Greeted("dock-1", None, 0, 0)]), updating)
    bench.delivery.start()
    until(lambda: bool(bench.news))
    bench.delivery.stop()
    assert bench.delivery.message == messages.NOT_ALL_CLOSED
    assert [news.event for news in bench.news] == [Event.OFFLOAD_FAILED], "so that it is tried again"
    spool.close_clip(growing, Ending("docked", EPOCH, 0, 0))
    bench.delivery.start()
    until(lambda: bench.delivery.message == messages.UPDATED)
    bench.delivery.stop()


def test_a_unit_with_a_clip_that_nobody_can_read_is_not_empty_and_is_updated_all_the_same(tmp_path: Path) -> None:
    growing = Unit(tmp_path).spool().open_clip(start())
    growing.files.draft.rename(growing.files.unreadable)
    bench = Bench(tmp_path, Script([]))
    bench.delivery.start()
    until(lambda: bool(bench.news))
    assert (bench.news, bench.delivery.message) == ([News(Event.OFFLOADED)], messages.not_read(1))
    updated = Bench(tmp_path, Script([]), Saying(messages.UPDATED))
    updated.delivery.start()
    until(lambda: updated.delivery.message == messages.UPDATED)
    updated.delivery.stop()


def test_the_wearer_is_in_no_line_of_the_log(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script([*ONE_OF_TWO]))
    bench.delivery.start()
    until(lambda: bool(bench.news))
    assert "wearer-7" not in bench.output.getvalue()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DockUnreachableError("https://dock.example", "no route"), "The dock https://dock.example was not reached"),
        (
            OSError(28, "No space left on device"),
            "This unit cannot read or write its own files (No space left on device): have IT look at its storage.",
        ),
    ],
)
def test_a_failure_is_told_in_one_sentence(tmp_path: Path, error: Exception, sentence: str) -> None:
    bench = Bench(tmp_path, Script([], error))
    bench.delivery.start()
    until(lambda: bool(bench.news))
    assert bench.news[0].event is Event.OFFLOAD_FAILED
    assert bench.news[0].sentence.startswith(sentence)
    assert bench.delivery.message == messages.dock_failed(bench.news[0].sentence)
    assert bench.events() == ["docked", "fault"]


def test_what_is_broken_off_says_nothing_more(tmp_path: Path) -> None:
    script = Script([*ONE_OF_TWO], DockUnreachableError("https://dock.example", "no route"))
    script.gate.clear()
    bench = Bench(tmp_path, script)
    bench.delivery.start()
    until(lambda: "receipt" in bench.events())
    stopping = threading.Thread(target=bench.delivery.stop)
    stopping.start()
    until(script.is_stopping.is_set)
    script.gate.set()
    stopping.join(PATIENCE)
    assert bench.news == []


def test_a_second_run_waits_until_the_first_one_has_ended(tmp_path: Path) -> None:
    script = Script([*ONE_OF_TWO])
    script.gate.clear()
    bench = Bench(tmp_path, script)
    bench.delivery.start()
    until(lambda: script.runs == 1)
    bench.delivery.stop()  # it hangs, as at a dock that says nothing; the unit goes on without it
    bench.delivery.start()
    assert script.runs == 1
    script.gate.set()
    until(lambda: bench.news == [News(Event.OFFLOADED)])
    assert script.runs == 2


def test_stopping_what_never_ran_is_harmless(tmp_path: Path) -> None:
    Bench(tmp_path, Script([])).delivery.stop()


def test_progress_counts_bytes_of_all_clips_and_names_the_one_under_way() -> None:
    course = Course()
    for step in ONE_OF_TWO:
        course.take(step)
    assert course.message() == messages.handing_over(1, 2, 0.25)
    course.take(Deleted(FIRST))
    course.take(Sent(SECOND, 200))
    assert course.message() == messages.handing_over(2, 2, 0.75)
    course.take(Sent(SECOND, 100))  # the dock had lost a piece
    assert course.sent == 200
    course.take(Deleted(SECOND))
    assert course.result() == messages.handed_over(2)
    assert course.message().sentence == "Handing over clip 2 of 2"


class Saying:
    """Says of updates what it is given, and waits to be taken off the dock."""

    def __init__(self, *said: Message | None) -> None:
        self._said = said

    def run(self, is_stopping: threading.Event, say: Callable[[Message | None], None]) -> None:
        for message in self._said:
            say(message)
        is_stopping.wait(PATIENCE)

    def withdraw(self) -> None:
        pass


@pytest.mark.parametrize("update", [messages.UPDATED, messages.NOT_UPDATED, messages.update_arrives(0.5)])
def test_what_is_said_of_an_update_does_not_hide_that_clips_are_still_on_the_unit(
    tmp_path: Path, update: Message
) -> None:
    bench = Bench(tmp_path, Script([*ONE_OF_TWO, Refused(SECOND, "It differs.")]), Saying(update))
    bench.delivery.start()
    until(lambda: bench.delivery.message.headline == update.headline)
    shown = bench.delivery.message
    bench.delivery.stop()
    assert shown.sentence == f"{update.sentence} The dock refused 1 clip, still on this unit. Tell IT."
    assert (shown.tone, shown.progress) == (Tone.WARNING, update.progress)
    assert "empty" not in shown.sentence


def test_where_nothing_is_said_of_updates_any_more_the_result_is_shown_again(tmp_path: Path) -> None:
    script = Script([*ONE_OF_TWO, Deleted(FIRST)])
    bench = Bench(tmp_path, script, Saying(messages.update_arrives(0.5), None))
    bench.delivery.start()
    steps = len(script.steps) + 2
    until(lambda: bench.delivery.steps == steps)
    until(lambda: bench.delivery.message == messages.handed_over(1))
    bench.delivery.stop()
