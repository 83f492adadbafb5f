"""The page on which IT types a unit's code, in a real browser: by keyboard alone, on a phone too, and to be read."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from dock_station.enrolment.desk import Desk
from dock_station.rights import Role
from tests.browser.conftest import Visit
from tests.browser.test_pages import CONTRAST
from tests.browser.town import PASSWORD, Town
from tests.newcomers import Newcomer

LOGIN = "it-example"


@pytest.fixture
def it(here: Town, visit: Visit) -> Iterator[Visit]:
    """A person of IT who has signed in, while enrolment is open."""
    if LOGIN not in {person.login for person in here.people.list()}:
        here.people.add(LOGIN, Role.IT, PASSWORD, "shell:test", display_name="I. Example")
    visit.go("/sign-in")
    visit.page.get_by_label("Login").fill(LOGIN)
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.get_by_role("button", name="Sign in").click()
    visit.page.wait_for_url("**/units")
    here.running.dock.folder.enrolment.prepare()
    with here.running.dock.folder.enrolment.opened():
        yield visit


def test_a_code_is_typed_and_the_unit_is_let_in_by_keyboard_alone(here: Town, it: Visit) -> None:
    dock = here.running.dock
    unit = Newcomer().ask(Desk(dock), "1-1.7")
    code = unit.code(dock)
    it.page.get_by_role("link", name="Enrolment").click()
    expect(it.page.get_by_label("Code on the unit's screen")).to_be_focused()
    expect(it.page.get_by_role("cell", name="1-1.7")).to_be_visible()
    assert code not in it.page.content()
    it.page.keyboard.type(f"{(int(code) + 1) % 10**6:06}")
    it.page.keyboard.press("Enter")
    expect(it.page.get_by_role("alert")).to_contain_text("No unit that waits here shows this code.")
    expect(it.page.get_by_label("Code on the unit's screen")).to_have_attribute("aria-invalid", "true")
    expect(it.page.get_by_label("Code on the unit's screen")).to_be_focused()
    it.page.keyboard.type(f"{code[:3]} {code[3:]}")
    it.page.keyboard.press("Tab")
    it.page.keyboard.type("unit-41")
    it.page.keyboard.press("Enter")
    expect(it.page.get_by_role("status")).to_contain_text("this unit becomes unit-41")
    expect(it.page.get_by_role("row", name="unit-41")).to_contain_text("to come")
    assert dock.folder.enrolment.unanswered() == [unit.key_sha256]
    assert [complaint for complaint in it.complaints if "409" not in complaint] == []
    dock.folder.enrolment.forget(unit.key_sha256)


def test_it_fits_a_phone_and_can_be_read(here: Town, chromium: Browser, it: Visit) -> None:
    Newcomer().ask(Desk(here.running.dock), "1-1.7")
    it.page.set_viewport_size({"width": 320, "height": 700})
    for scheme in ("light", "dark"):
        it.page.emulate_media(color_scheme=scheme)
        it.go("/enrolment")
        contrast, text = it.page.evaluate(CONTRAST)
        assert contrast >= 4.5, text
        assert it.page.evaluate("document.documentElement.scrollWidth") <= 320
