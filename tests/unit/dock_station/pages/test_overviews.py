"""The custody log, the units and the dock's health, as people read them."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from dock_station.catalogue import alarms, units
from dock_station.pages.custody_log import PAGE_SIZE
from dock_station.rights import Role
from dock_station.updates import outcomes
from evidence.docking import Greeting, Outcome, UpdateOffer, UpdateOutcome
from evidence.receipt import CustodyHead
from evidence.release import Release
from evidence.strict import write_json
from tests.pki import policy_toml
from tests.unit.dock_station.pages.visitor import Browser, Pages, text_of


@pytest.fixture
def browser(pages: Pages) -> Browser:
    return pages.signed_in(Role.SUPERVISOR)


def greet(
    pages: Pages,
    unit_id: str,
    *,
    offset: timedelta = timedelta(0),
    battery: int | None = 80,
    waiting: int = 3,
    software: str = "mirrorcam test",
) -> None:
    now = pages.stored.time.now()
    greeting = Greeting(
        unit_id=unit_id,
        software=software,
        sent_at=now + offset,
        clips_waiting=waiting,
        storage_free_bytes=12_000_000_000,
        storage_total_bytes=32_000_000_000,
        battery_percent=battery,
        temperature_celsius=None,
        seen_heads=(),
    )
    with pages.stored.dock.catalogue.writing() as connection:
        units.greeted(connection, greeting, now)


def test_the_units_page_says_what_each_runs_what_is_offered_and_why_an_update_did_not_stay(
    pages: Pages, browser: Browser
) -> None:
    dock = pages.stored.dock
    greet(pages, "unit-1", software=Release.parse("0.1.0+20261120T000000Z").software)
    assert "0.1.0+20261120T000000Z" in text_of(browser.get("/units"))
    assert "Offered" not in text_of(browser.get("/units"))
    dock.folder.updates.prepare()
    newer = "0.2.0+20261120T000000Z"
    dock.folder.updates.write_offer(UpdateOffer(release=newer, compatible="mirrorcam-debian", bytes=1, sha256="0" * 64))
    page = text_of(browser.get("/units"))
    assert f"Offered to the units: release {newer} for mirrorcam-debian." in page
    assert f"{newer} waits for it" in page
    outcomes.note(
        dock, "unit-1", UpdateOutcome(release=newer, outcome=Outcome.ROLLED_BACK, reason="No <b>picture</b>.")
    )
    page = text_of(browser.get("/units"))
    assert f"Release {newer} was rolled back: No <b>picture</b>." in page
    assert "waits for it" not in page
    outcomes.note(dock, "unit-1", UpdateOutcome(release=newer, outcome=Outcome.CONFIRMED, reason="All was reached."))
    assert "All was reached" not in text_of(browser.get("/units"))
    dock.folder.updates.offer_file.write_text("{")
    assert "bundle withdraw" in text_of(browser.get("/units"))


def test_the_custody_log_is_shown_newest_first_and_in_pages(pages: Pages, browser: Browser) -> None:
    with pages.stored.dock.catalogue.writing() as connection:
        for number in range(PAGE_SIZE):
            pages.stored.dock.custody.append(connection, actor="dock", action=f"deed-{number}", subject="dock:dock-1")
    first, second = text_of(browser.get("/custody")), text_of(browser.get("/custody?page=2"))
    assert first.index(f"deed-{PAGE_SIZE - 1} ") < first.index("deed-50 ")
    assert "Signed in" not in first
    assert "Signed in" in second


def test_a_whole_log_is_said_to_be_whole_with_its_head(pages: Pages, browser: Browser) -> None:
    head = pages.log()[-1]
    assert browser.post("/custody/check").location == "/custody"
    page = text_of(browser.get("/custody"))
    assert f"all {head.number} entries follow each other and are signed. Its head is {head.sha256}" in page
    assert pages.log()[-1].action == "custody-checked"


def test_a_log_that_was_rewritten_is_named_with_the_entry(pages: Pages, browser: Browser) -> None:
    with pages.stored.dock.catalogue.writing() as connection:
        connection.execute(text("DROP TRIGGER custody_entries_no_update"))
        connection.execute(text("UPDATE custody_entries SET actor = 'person:nobody' WHERE number = 2"))
    browser.post("/custody/check")
    assert "The custody log is broken at entry 2: its content was changed" in text_of(browser.get("/custody"))
    assert '"good":false' in pages.log()[-1].details


def test_a_log_whose_end_was_cut_off_is_named_with_the_entry(pages: Pages, browser: Browser) -> None:
    kept = CustodyHead(entries=50, sha256="0" * 64)
    pages.stored.folder.custody_head_file.write_bytes(write_json(kept))
    browser.post("/custody/check")
    assert "The custody log is broken at entry 50: it is not there" in text_of(browser.get("/custody"))


def test_a_unit_is_shown_as_it_was_when_it_was_last_here(pages: Pages, browser: Browser) -> None:
    pages.stored.store()
    greet(pages, "unit-1", offset=timedelta(seconds=42), battery=12)
    greet(pages, "unit-2", battery=None)
    page = text_of(browser.get("/units"))
    for fact in ("12 %", "12 GB of 32 GB", "42 s fast", "mirrorcam test", "unit-2"):
        assert fact in page
    assert browser.get("/units").text.count('class="poor"') == 2


def test_a_clip_that_a_unit_has_handed_over_waits_no_more(pages: Pages, browser: Browser) -> None:
    waits = '<td data-label="Clips waiting" class="number">{}</td>'
    pages.stored.store()  # of an earlier docking
    pages.stored.time.jump(timedelta(minutes=1))
    greet(pages, "unit-1", waiting=2)
    pages.stored.time.jump(timedelta(minutes=1))
    assert waits.format(2) in browser.get("/units").text
    pages.stored.store()
    assert waits.format(1) in browser.get("/units").text


def test_a_refused_clip_stands_with_the_unit_that_brought_it(pages: Pages, browser: Browser) -> None:
    greet(pages, "unit-1")
    now = pages.stored.time.now()
    with pages.stored.dock.catalogue.writing() as connection:
        alarms.raise_alarm(
            connection, kind=alarms.CLIP_REFUSED, subject="clip:1", sentence="The clip is refused.", at=now
        )
        pages.stored.dock.custody.append(connection, actor="unit:unit-1", action="clip-refused", subject="clip:1")
    assert "The clip is refused." in text_of(browser.get("/units"))
    assert "The clip is refused." in text_of(browser.get("/health"))


def test_a_healthy_dock_says_so(pages: Pages, browser: Browser) -> None:
    pages.stored.store(size=5_000_000)
    page = text_of(browser.get("/health"))
    for fact in ("No alarm is open.", "1 kept, 5.0 MB", "believed", "30 days", "1 known"):
        assert fact in page


def test_a_clock_in_doubt_is_an_alarm_and_a_tile(pages: Pages, browser: Browser) -> None:
    pages.stored.time.jump(timedelta(days=9))
    browser.get("/clips")
    with pages.stored.dock.catalogue.writing() as connection:
        pages.stored.dock.custody.watch_clock(connection)
    page = text_of(browser.get("/health"))
    assert "The dock's clock cannot be believed" in page
    assert "Nothing is deleted until someone vouches for it." in page


def test_a_broken_policy_is_named_and_the_rest_is_shown(pages: Pages, browser: Browser) -> None:
    pages.stored.folder.policy_file.write_text(policy_toml(days=31))
    answer = browser.get("/health")
    assert answer.status_code == 200
    assert "The signature of this policy does not fit it" in text_of(answer)
