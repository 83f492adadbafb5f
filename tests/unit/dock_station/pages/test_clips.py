"""The list of clips: order, filters, paging, and the marks on each clip."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from dock_station.catalogue import clips, holds, tables, units
from dock_station.catalogue.clips import Clip
from dock_station.pages import words
from dock_station.pages.clips import PAGE_SIZE
from dock_station.rights import Role
from tests.unit.dock_station.pages.visitor import Browser, Pages, text_of


@pytest.fixture
def browser(pages: Pages) -> Browser:
    return pages.signed_in(Role.SUPERVISOR)


def listed(answer: TestResponse) -> list[str]:
    """Return the clips of a list in its order."""
    assert answer.status_code == 200
    return re.findall(r'href="/clips/([0-9a-f-]{36})"', answer.text)


def change(pages: Pages, clip: Clip, **values: object) -> None:
    """Let a clip be another one in the catalogue."""
    changed = update(tables.clips).where(tables.clips.c.clip_id == clip.clip_id).values(values)
    with pages.stored.dock.catalogue.writing() as connection:
        connection.execute(changed)


def test_an_empty_dock_says_what_to_do(browser: Browser) -> None:
    assert "No clip is here yet: put a unit on the dock." in text_of(browser.get("/clips"))


def test_the_newest_clip_comes_first(pages: Pages, browser: Browser) -> None:
    stored = [pages.stored.store(age=timedelta(hours=hours)) for hours in (5, 1, 3)]
    assert listed(browser.get("/clips")) == [stored[1].clip_id, stored[2].clip_id, stored[0].clip_id]


def test_a_clip_is_listed_with_its_length_size_unit_wearer_and_day(pages: Pages, browser: Browser) -> None:
    clip = pages.stored.store(size=4_200_000)
    page = text_of(browser.get("/clips"))
    for fact in ("0:40", "4.2 MB", "unit-1", "wearer-7", f"{clip.due_at.astimezone():%-d %b %Y}"):
        assert fact in page
    assert f'title="{clip.started_at:%Y-%m-%d %H:%M:%S} UTC"' in browser.get("/clips").text


def test_a_clip_is_marked_as_held_cut_and_with_lost_pictures(pages: Pages, browser: Browser) -> None:
    whole, marked = pages.stored.store(age=timedelta(hours=1)), pages.stored.store()
    change(pages, marked, complete=False, ended_by="power-lost", duration_seconds=None, frames_lost=3)
    with pages.stored.dock.catalogue.writing() as connection:
        now = pages.stored.time.now()
        holds.set_hold(
            connection, marked.clip_id, case_number="1", reason="-", review_on=now.date(), set_by="person:x", at=now
        )
    page = text_of(browser.get("/clips"))
    assert page.count("end missing") == page.count("3 pictures lost") == page.count("the hold ends") == 1
    assert "unknown" in page
    assert listed(browser.get("/clips?held=1")) == [marked.clip_id]
    assert whole.clip_id in listed(browser.get("/clips"))


def test_the_list_is_filtered_by_unit_and_wearer(pages: Pages, browser: Browser) -> None:
    first, second = pages.stored.store(), pages.stored.store()
    with pages.stored.dock.catalogue.writing() as connection:
        units.seen(connection, "unit-2", pages.stored.time.now())
    change(pages, second, unit_id="unit-2", wearer="wearer-8")
    assert listed(browser.get("/clips?unit=unit-2")) == [second.clip_id]
    assert listed(browser.get("/clips?wearer=wearer-7")) == [first.clip_id]
    assert listed(browser.get("/clips?unit=unit-2&wearer=wearer-7")) == []


def test_both_days_of_a_filter_are_inside(pages: Pages, browser: Browser) -> None:
    stored = [pages.stored.store(age=timedelta(days=days)) for days in (3, 2, 1, 0)]
    days = [f"{clip.started_at.astimezone():%Y-%m-%d}" for clip in stored]
    assert listed(browser.get(f"/clips?from={days[1]}&to={days[2]}")) == [stored[2].clip_id, stored[1].clip_id]


@pytest.mark.parametrize("wrong", ["yesterday", "2026-02-30", "0001-01-01", "9999-12-31"])
def test_a_date_that_is_none_is_left_out_and_said(pages: Pages, browser: Browser, wrong: str) -> None:
    clip = pages.stored.store()
    answer = browser.get(f"/clips?from={wrong}&to={wrong}")
    assert listed(answer) == [clip.clip_id]
    assert words.DATE_WRONG in text_of(answer)


def test_a_deleted_clip_is_listed_no_more(pages: Pages, browser: Browser) -> None:
    clip = pages.stored.store()
    change(pages, clip, deleted_at=pages.stored.time.now())
    assert listed(browser.get("/clips")) == []


def test_a_long_list_is_cut_into_pages_that_keep_the_filter(pages: Pages, browser: Browser) -> None:
    clip = pages.stored.store(age=timedelta(days=1))
    with pages.stored.dock.catalogue.writing() as connection:
        for number in range(PAGE_SIZE + 1):
            name = f"01900000-0000-7000-8000-{number:012}"
            clips.add(connection, replace(clip, clip_id=name, vault_key=f"clips/{name}", sequence=100 + number))
    first, second = browser.get("/clips?unit=unit-1"), browser.get("/clips?unit=unit-1&page=2")
    assert len(listed(first)) == PAGE_SIZE
    assert len(set(listed(first) + listed(second))) == PAGE_SIZE + 2
    assert 'href="?unit=unit-1&amp;page=2"' in first.text
    assert listed(browser.get("/clips?page=999")) == listed(second)
    assert listed(browser.get("/clips?page=-1")) == listed(browser.get("/clips?page=x")) == listed(first)
