"""The page of the bays: one plain state for each, for whoever stands before the dock, and nothing of anybody else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dock_station.bays.presence import are_watched
from dock_station.bays.uploads import KEPT_FOR
from dock_station.catalogue import alarms, bays, uploads
from dock_station.catalogue.uploads import Upload
from dock_station.pages import words
from dock_station.rights import Role
from tests.dock import until
from tests.ports import Ports
from tests.stored import StoredDock
from tests.unit.dock_station.pages.test_overviews import greet
from tests.unit.dock_station.pages.visitor import Browser, Pages, text_of

SECOND = timedelta(seconds=1)
NAMES = '[bay_names]\n"1-1.2" = "Bay 2"\n"1-1.1" = "Bay 1"\n'


@dataclass
class Rack:
    """The bays of a dock, in a test's hand, and somebody without an account who looks at them."""

    pages: Pages
    stranger: Browser

    @property
    def now(self) -> datetime:
        return self.pages.stored.time.now()

    @property
    def stored(self) -> StoredDock:
        return self.pages.stored

    def plug_in(self, port: str, unit_id: str | None) -> None:
        with self.stored.dock.catalogue.writing() as connection:
            bays.plug_in(connection, port, unit_id, self.now)

    def greet(self, unit_id: str, waiting: int) -> None:
        self.pages.pass_(SECOND)
        greet(self.pages, unit_id, waiting=waiting)

    def receive(self, count: int = 1) -> None:
        """Let clips of unit-1 come in."""
        for _ in range(count):
            self.pages.pass_(SECOND)
            self.stored.store()

    def upload(self, unit_id: str, offset: int, length: int) -> str:
        """Let an upload be under way, now."""
        upload = Upload(f"{offset:032}", unit_id, f"clip-{offset}", "", length, offset, self.now, self.now + KEPT_FOR)
        with self.stored.dock.catalogue.writing() as connection:
            uploads.add(connection, upload)
        return upload.upload_id

    def refuse(self, unit_id: str, clip_id: str) -> None:
        with self.stored.dock.catalogue.writing() as connection:
            subject = f"clip:{clip_id}"
            alarms.raise_alarm(connection, kind=alarms.CLIP_REFUSED, subject=subject, sentence="No.", at=self.now)
            self.stored.dock.custody.append(connection, actor=f"unit:{unit_id}", action="clip-refused", subject=subject)

    def shows(self) -> str:
        """Return what the page says, a moment later."""
        self.pages.pass_(SECOND)
        return text_of(self.stranger.get("/bays/now"))


@pytest.fixture
def settings() -> str:
    return ""


@pytest.fixture
def rack(tmp_path: Path, settings: str) -> Iterator[Rack]:
    pages = Pages(tmp_path / "dock")
    if settings:
        file = pages.stored.folder.settings_file
        file.write_text(f"{file.read_text()}\n{settings}")
        pages.reopen()
    ports = Ports()
    with ports.watched_by(pages.stored.dock):
        until(lambda: ports.looked > 0)
        yield Rack(pages, pages.stranger())
    pages.stored.dock.close()


def test_a_dock_without_a_unit_says_so(rack: Rack) -> None:
    assert rack.shows() == "No unit is plugged in."


def test_a_unit_that_was_plugged_in_has_not_called_yet_and_after_half_a_minute_there_is_advice(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    assert rack.shows() == f"1-1.3 unit-1 {words.BAY_NOT_CALLED}"
    rack.pages.pass_(27 * SECOND)
    assert words.BAY_NOT_CALLED_HINT not in rack.shows()
    rack.pages.pass_(SECOND)
    assert words.BAY_NOT_CALLED_HINT in rack.shows()


def test_a_greeting_of_an_earlier_docking_is_not_a_call(rack: Rack) -> None:
    rack.greet("unit-1", 0)
    rack.pages.pass_(SECOND)
    rack.plug_in("1-1.3", "unit-1")
    assert words.BAY_NOT_CALLED in rack.shows()


def test_a_unit_hands_over_and_then_may_be_taken(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 2)
    assert "Handing over: 0 of 2 clips, 0 %" in rack.shows()
    begun = rack.upload("unit-1", 500, 1000)
    assert "Handing over: 0 of 2 clips, 25 %" in rack.shows()
    with rack.stored.dock.catalogue.writing() as connection:
        uploads.remove(connection, begun)
    rack.receive()
    assert "Handing over: 1 of 2 clips, 50 %" in rack.shows()
    rack.receive()
    assert rack.shows() == f"1-1.3 unit-1 {words.BAY_HANDED_OVER}"


def test_a_unit_that_greets_again_goes_on_counting(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 3)
    rack.receive()
    rack.greet("unit-1", 2)
    assert "Handing over: 1 of 3 clips, 33 %" in rack.shows()
    rack.receive(2)
    rack.greet("unit-1", 0)
    assert words.BAY_HANDED_OVER in rack.shows()


def test_clips_of_an_earlier_docking_do_not_count(rack: Rack) -> None:
    rack.receive(3)
    rack.pages.pass_(SECOND)
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 1)
    assert "Handing over: 0 of 1 clip, 0 %" in rack.shows()


def test_a_unit_with_nothing_on_it_may_be_taken_at_once(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 0)
    assert words.BAY_HANDED_OVER in rack.shows()


def test_what_the_dock_refused_stays_on_the_unit_and_is_counted_when_the_rest_is_here(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 3)
    rack.refuse("unit-1", "a")
    rack.refuse("unit-1", "b")
    rack.refuse("unit-2", "c")
    assert "Handing over: 0 of 3 clips" in rack.shows()
    rack.receive()
    assert "Refused: 2 clips stay on the unit, call IT" in rack.shows()


def test_one_refused_clip_is_one(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 1)
    rack.refuse("unit-1", "a")
    assert "Refused: 1 clip stays on the unit, call IT" in rack.shows()


def test_a_hand_over_that_stands_still_gets_advice(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 2)
    rack.pages.pass_(119 * SECOND - SECOND)
    assert words.BAY_STANDS_STILL_HINT not in rack.shows()
    rack.pages.pass_(SECOND)
    assert words.BAY_STANDS_STILL_HINT in rack.shows()
    rack.upload("unit-1", 1, 1000)
    assert words.BAY_STANDS_STILL_HINT not in rack.shows()


def test_a_refused_certificate_is_told_until_the_unit_is_greeted(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    with rack.stored.dock.catalogue.writing() as connection:
        bays.refuse(connection, "1-1.3", rack.now)
    assert words.BAY_CERTIFICATE in rack.shows()
    rack.greet("unit-1", 0)
    assert words.BAY_HANDED_OVER in rack.shows()


def test_an_unknown_device_is_told_from_a_unit(rack: Rack) -> None:
    rack.plug_in("1-1.3", None)
    assert rack.shows() == f"1-1.3 – {words.BAY_UNKNOWN}"


def test_a_unit_that_is_still_to_be_enrolled_is_told_from_one_that_does_not_call(rack: Rack) -> None:
    rack.plug_in("1-1.3", "new-0123456789ab")
    rack.pages.pass_(60 * SECOND)
    assert rack.shows() == f"1-1.3 new-0123456789ab {words.BAY_NEW}"


def test_two_devices_that_say_they_are_the_same_unit_are_both_doubted(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 0)
    rack.plug_in("1-1.4", "unit-1")
    assert rack.shows().count(words.BAY_TWICE) == 2
    assert words.BAY_HANDED_OVER not in rack.shows()


def test_bays_without_names_stand_by_the_numbers_of_their_ports(rack: Rack) -> None:
    for port in ("1-1.10", "1-1.9", "1-1"):
        rack.plug_in(port, None)
    assert re.findall(r"1-1\S*", rack.shows()) == ["1-1", "1-1.9", "1-1.10"]


@pytest.mark.parametrize("settings", [NAMES])
def test_named_bays_stand_as_it_has_listed_them_also_when_they_are_empty(rack: Rack) -> None:
    rack.plug_in("1-1.1", "unit-1")
    rack.plug_in("1-1.9", "unit-9")
    assert rack.shows() == (
        f"Bay 2 – {words.BAY_EMPTY} Bay 1 unit-1 {words.BAY_NOT_CALLED} 1-1.9 unit-9 {words.BAY_NOT_CALLED}"
    )


def test_a_dock_that_does_not_watch_its_bays_shows_none_of_what_it_once_noted(pages: Pages) -> None:
    with pages.stored.dock.catalogue.writing() as connection:
        bays.plug_in(connection, "1-1.3", "unit-1", pages.stored.time.now())
    assert not are_watched(pages.stored.folder.bays_lock_file)
    page = text_of(pages.stranger().get("/bays"))
    assert "This dock does not see its bays just now" in page
    assert "unit-1" not in page


def test_a_stranger_learns_of_no_wearer_no_clip_and_no_time(rack: Rack) -> None:
    clip = rack.stored.store()
    rack.plug_in("1-1.3", "unit-1")
    rack.greet("unit-1", 2)
    rack.receive()
    for address in ("/bays", "/bays/now"):
        page = rack.stranger.get(address).text
        assert "unit-1" in page
        for secret in (clip.clip_id, clip.wearer, "wearer", "<time", f"{rack.now:%H:%M}", f"{rack.now:%Y}", "80 %"):
            assert secret not in page


def test_looking_at_the_bays_writes_nothing_and_asks_the_catalogue_once_in_a_second(rack: Rack) -> None:
    rack.plug_in("1-1.3", "unit-1")
    assert "unit-1" in rack.shows()
    before = rack.pages.log()
    rack.plug_in("1-1.4", "unit-4")
    assert "unit-4" not in text_of(rack.stranger.get("/bays/now")), "not even a second has passed"
    assert "unit-4" in rack.shows()
    assert rack.pages.log() == before
    answer = rack.stranger.get("/bays/now")
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_may_ask_its_own_dock_for_news_and_no_other_page_may(rack: Rack) -> None:
    policy = rack.stranger.get("/bays").headers["Content-Security-Policy"]
    assert policy.endswith("; connect-src 'self'")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "connect-src" not in rack.stranger.get("/sign-in").headers["Content-Security-Policy"]


def test_looking_at_the_bays_all_day_keeps_no_session_alive(rack: Rack) -> None:
    browser = rack.pages.signed_in(Role.AUDITOR)
    for _ in range(61):
        rack.pages.pass_(60 * SECOND)
        assert browser.get("/bays/now").status_code == 200
    assert browser.get("/custody").status_code == 302


def test_everyone_finds_the_bays_in_the_menu_and_a_stranger_on_the_sign_in_page(rack: Rack) -> None:
    for role in Role:
        assert 'href="/bays" aria-current="page"' in rack.pages.signed_in(role).get("/bays").text
    assert 'href="/bays"' in rack.stranger.get("/sign-in").text
    assert 'http-equiv="refresh"' in rack.stranger.get("/bays").text
