"""The page of the bays in a real browser: what happens in the bays appears by itself, and is said aloud once."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect

from dock_station.bays.usb import Plugged
from dock_station.catalogue import bays
from dock_station.clock import utc_now
from tests.browser.conftest import Visit
from tests.browser.test_pages import CONTRAST
from tests.browser.town import Town
from tests.dock import Camera
from tests.ports import Ports, gone, unit

PATIENCE_MS = 30_000


@pytest.fixture
def ports(here: Town) -> Iterator[Ports]:
    ports = Ports()
    with ports.watched_by(here.running.dock):
        yield ports


def plugged(port: str, serial: str) -> Plugged:
    return unit(port, serial, began=1e12)  # just now


def test_a_unit_appears_hands_over_and_goes_without_reload(here: Town, visit: Visit, ports: Ports) -> None:
    page = visit.page
    visit.go("/bays")
    page.evaluate("window.loadedOnce = true")
    expect(page.locator("#board")).to_contain_text("No unit is plugged in.", timeout=PATIENCE_MS)
    ports.news.put(plugged("1-1.3", "unit-31"))
    bay = page.locator("[data-bay='1-1.3']")
    expect(bay.locator(".unit")).to_have_text("unit-31", timeout=PATIENCE_MS)
    expect(bay).to_contain_text("Plugged in, has not called yet")
    expect(page.get_by_role("status")).to_have_text("1-1.3, unit-31: Plugged in, has not called yet")

    identity = here.running.pki.unit("unit-31")
    camera, visitor = Camera(identity, "unit-31"), here.running.visitor(identity)
    here.greet(visitor, "unit-31", waiting=1)
    expect(bay).to_contain_text("Handing over: 0 of 1 clip", timeout=PATIENCE_MS)
    expect(page.get_by_role("status")).to_have_text("1-1.3, unit-31: Handing over")
    here.running.receipt(visitor.bring(camera.clip()))
    expect(bay).to_contain_text("All handed over, may be taken", timeout=PATIENCE_MS)

    ports.news.put(gone("1-1.3"))
    expect(page.locator("#board")).to_contain_text("No unit is plugged in.", timeout=PATIENCE_MS)
    assert page.evaluate("window.loadedOnce"), "it was loaded anew"
    assert visit.complaints == []


def test_a_dock_that_does_not_answer_is_not_taken_for_one_in_which_nothing_changes(
    here: Town, chromium: Browser, ports: Ports
) -> None:
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    with here.pages() as address:
        page.goto(f"{address}/bays")
        assert page.locator("#silent").is_hidden()
    page.locator("#silent").wait_for(timeout=PATIENCE_MS)
    context.close()


def test_without_script_it_is_loaded_again_by_itself(here: Town, chromium: Browser, address: str, ports: Ports) -> None:
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/bays")
    ports.news.put(plugged("1-1.3", "unit-31"))
    page.get_by_text("unit-31").wait_for(timeout=PATIENCE_MS)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_letters_can_be_read_from_two_metres(
    here: Town, chromium: Browser, address: str, ports: Ports, scheme: str
) -> None:
    ports.there = [plugged("1-1.1", "unit-31"), plugged("1-1.2", "unit-32"), plugged("1-1.3", "No unit")]
    here.greet(here.running.visitor(here.running.pki.unit("unit-32")), "unit-32", waiting=0)
    with here.running.dock.catalogue.writing() as connection:
        bays.plug_in(connection, "1-1.2", "unit-32", utc_now() - timedelta(minutes=1))
        bays.plug_in(connection, "1-1.1", "unit-31", utc_now() - timedelta(minutes=1))
        bays.plug_in(connection, "1-1.3", None, utc_now())
    context = chromium.new_context(ignore_https_errors=True, color_scheme=scheme)  # type: ignore[arg-type]
    visit = Visit(context.new_page(), address)
    visit.go("/bays")
    assert visit.page.locator(".bay").count() == 3
    contrast, text = visit.page.evaluate(CONTRAST)
    assert contrast >= 4.5, text
    # A letter 24 pixels high is 6 mm on a usual screen: 10 minutes of arc at two metres, twice what a good eye needs.
    sizes = "Array.from(document.querySelectorAll('.unit, .standing'), (e) => parseFloat(getComputedStyle(e).fontSize))"
    assert min(visit.page.evaluate(sizes)) >= 24
    visit.page.set_viewport_size({"width": 320, "height": 700})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 320
    context.close()
