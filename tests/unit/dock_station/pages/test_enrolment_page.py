"""The page on which IT types a unit's code."""

from collections.abc import Iterator

import pytest

from dock_station.enrolment.desk import Desk
from dock_station.pages import words
from dock_station.rights import Role
from evidence.enrolment import Register
from tests.newcomers import Newcomer
from tests.unit.dock_station.pages.visitor import Browser, Pages, text_of


@pytest.fixture
def it(pages: Pages) -> Iterator[Browser]:
    """A person of IT, while enrolment is open."""
    files = pages.stored.folder.enrolment
    files.prepare()
    with files.opened():
        yield pages.signed_in(Role.IT)


def newcomer(pages: Pages, bay: str | None = None) -> tuple[Newcomer, str]:
    """Return a unit that waits, and the code that it shows."""
    unit = Newcomer().ask(Desk(pages.stored.dock), bay)
    return unit, unit.code(pages.stored.dock)


@pytest.mark.parametrize("role", set(Role) - {Role.IT})
def test_nobody_but_it_sees_it_or_confirms_anything(pages: Pages, role: Role) -> None:
    browser = pages.signed_in(role)
    assert browser.get("/enrolment").status_code == 403
    assert browser.post("/enrolment", code="123456", unit_id="unit-01").status_code == 403
    assert pages.stranger().get("/enrolment").status_code == 302


def test_it_shows_where_a_unit_waits_and_not_what_the_unit_shows(pages: Pages, it: Browser) -> None:
    _, code = newcomer(pages, "1-1.7")
    newcomer(pages)
    page = it.get("/enrolment")
    assert "1-1.7" in text_of(page)
    assert "not known" in text_of(page)
    assert code not in page.text
    assert 'value="unit-01"' in page.text
    assert 'href="/enrolment"' in page.text


def test_the_right_code_lets_the_unit_in_with_or_without_a_gap(pages: Pages, it: Browser) -> None:
    unit, code = newcomer(pages)
    answer = it.post("/enrolment", code=f" {code[:3]} {code[3:]} ", unit_id="unit-07")
    assert (answer.status_code, answer.location) == (302, "/enrolment")
    page = text_of(it.get("/enrolment"))
    assert words.unit_confirmed("unit-07") in page
    assert "No unit waits" in page
    assert "unit-07" in page
    assert "to come" in page
    assert pages.deeds()[-1] == ("person:it", "unit-confirmed", "unit:unit-07")
    assert pages.stored.folder.enrolment.unanswered() == [unit.key_sha256]
    assert 'value="unit-08"' in it.get("/enrolment").text


@pytest.mark.parametrize(
    ("code", "unit_id", "sentence"),
    [
        ("", "unit-01", words.CODE_MISSING),
        ("12345", "unit-01", words.CODE_MISSING),
        ("12345a", "unit-01", words.CODE_MISSING),
        ("١٢٣٤٥٦", "unit-01", words.CODE_MISSING),
        ("123456", "", words.UNIT_ID_WRONG),
        ("123456", "Unit 1", words.UNIT_ID_WRONG),
        ("123456", "new-unit", words.UNIT_ID_WRONG),
        ("123456", "u" * 33, words.UNIT_ID_WRONG),
    ],
)
def test_what_cannot_be_a_code_or_an_id_costs_no_try(
    pages: Pages, it: Browser, code: str, unit_id: str, sentence: str
) -> None:
    newcomer(pages)
    answer = it.post("/enrolment", code=code, unit_id=unit_id)
    assert answer.status_code == 400
    assert sentence in text_of(answer)
    assert [each.wrong_codes for each in Desk(pages.stored.dock).waiting()] == [0]


def test_a_wrong_code_is_counted_and_said_and_the_id_stays(pages: Pages, it: Browser) -> None:
    _, code = newcomer(pages)
    answer = it.post("/enrolment", code=f"{(int(code) + 1) % 10**6:06}", unit_id="unit-07")
    assert answer.status_code == 409
    assert "No unit that waits here shows this code." in text_of(answer)
    assert 'value="unit-07"' in answer.text
    assert [each.wrong_codes for each in Desk(pages.stored.dock).waiting()] == [1]


def test_an_id_that_is_taken_is_said_and_the_code_stays(pages: Pages, it: Browser) -> None:
    pages.stored.folder.enrolment.keep_register(Register(enrolled=("unit-01", "unit-02"), to_reissue=("unit-02",)))
    _, code = newcomer(pages)
    answer = it.post("/enrolment", code=code, unit_id="unit-01")
    assert answer.status_code == 409
    assert "There is a unit 'unit-01' already" in text_of(answer)
    assert f'value="{code}"' in answer.text
    assert "To be enrolled once more: unit-02" in text_of(answer)
    assert it.post("/enrolment", code=code, unit_id="unit-02").status_code == 302


def test_a_form_without_its_token_confirms_nothing(pages: Pages, it: Browser) -> None:
    _, code = newcomer(pages)
    assert it.post("/enrolment", token="made up", code=code, unit_id="unit-01").status_code == 400
    assert len(Desk(pages.stored.dock).waiting()) == 1


def test_while_enrolment_is_closed_it_says_which_command_opens_it(pages: Pages) -> None:
    browser = pages.signed_in(Role.IT)
    page = browser.get("/enrolment")
    assert page.status_code == 200
    assert "mirrorcam-provision unit enrol --authority town --dock dock" in text_of(page)
    assert 'name="code"' not in page.text
    answer = browser.post("/enrolment", code="123456", unit_id="unit-01")
    assert answer.status_code == 503
    assert "Enrolment is not open" in text_of(answer)
