"""Whatever goes wrong, a page says one clear sentence and nothing of the machine's inside."""

import io
import logging
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
import structlog
from flask import abort
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from dock_station import journal
from dock_station.pages import words
from dock_station.pages.security import HEADERS, MAX_FORM_BYTES
from dock_station.rights import Role
from evidence.errors import EnvironmentalError
from tests.unit.dock_station.pages.visitor import SITE, Pages, text_of


def test_an_address_without_a_page_says_so(pages: Pages) -> None:
    answer = pages.stranger().get("/nowhere")
    assert answer.status_code == 404
    assert words.NO_SUCH_PAGE in text_of(answer)


def test_a_wrong_method_is_refused_and_the_right_ones_are_named(pages: Pages) -> None:
    answer = pages.stranger().client.delete("/sign-in", base_url=SITE)
    assert answer.status_code == 405
    assert words.WRONG_METHOD in text_of(answer)
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_more_than_a_form_holds_is_refused(pages: Pages) -> None:
    answer = pages.stranger().post("/sign-in", login="x", password="x" * MAX_FORM_BYTES)
    assert answer.status_code == 413
    assert words.TOO_LARGE in text_of(answer)


def test_an_error_that_nobody_foresaw_shows_no_traceback(pages: Pages) -> None:
    @pages.app.get("/broken")
    def broken() -> str:
        raise RuntimeError("the inside of the machine")

    answer = pages.signed_in(Role.SUPERVISOR).get("/broken")
    assert answer.status_code == 500
    assert words.UNFORESEEN in text_of(answer)
    assert "inside of the machine" not in answer.text


def test_a_fault_of_the_set_up_is_told_in_its_own_sentence(pages: Pages) -> None:
    @pages.app.get("/unready")
    def unready() -> str:
        raise EnvironmentalError("Something is missing: set it up.")

    answer = pages.stranger().get("/unready")
    assert answer.status_code == 503
    assert "Something is missing: set it up." in text_of(answer)


def test_a_status_without_words_of_its_own_still_gets_a_sentence(pages: Pages) -> None:
    @pages.app.get("/teapot")
    def teapot() -> str:
        abort(418)

    answer = pages.stranger().get("/teapot")
    assert answer.status_code == 418
    assert words.BAD_REQUEST in text_of(answer)


@pytest.mark.parametrize("path", ["/sign-in", "/clips", "/nowhere", "/static/mirrorcam.css", "/clips/x/media"])
def test_every_answer_carries_the_strict_headers(pages: Pages, path: str) -> None:
    answer = pages.signed_in(Role.SUPERVISOR).get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")


STRANGE = ("%00", "%ff%fe", "%ed%a0%80", "%e2%80%ae", "' OR 1=1 --", "../../etc/passwd", "%0d%0aX: y", "9" * 5000)


@pytest.mark.parametrize("strange", STRANGE)
def test_strange_words_in_addresses_and_forms_break_nothing(pages: Pages, strange: str) -> None:
    clip = pages.stored.store()
    browser = pages.signed_in(Role.SUPERVISOR)
    assert browser.get(f"/clips/{strange}").status_code == 404
    assert browser.get(f"/clips/{strange}/media").status_code == 404
    query = f"unit={strange}&wearer={strange}&from={strange}&to={strange}&page={strange}"
    assert browser.get(f"/clips?{query}").status_code == 200
    assert browser.get(f"/custody?page={strange}").status_code == 200
    assert browser.get(f"/clips/{clip.clip_id}?at={strange}").status_code == 200
    for asking, path, status in (
        (browser, f"/clips/{clip.clip_id}/hold", 422),
        (browser, "/unlock", 303),
        (pages.stranger(), "/sign-in", 401),
    ):
        names = ("login", "password", "passphrase", "next", "reason", "review_on", "case_number")
        body = f"csrf_token={asking.token()}&" + "&".join(f"{name}={quote(strange, safe='%')}" for name in names)
        form = "application/x-www-form-urlencoded"
        assert asking.client.post(path, base_url=SITE, data=body, content_type=form).status_code == status


def test_no_page_asks_for_anything_from_elsewhere_or_has_a_script_in_it(pages: Pages) -> None:
    clip = pages.stored.store()
    browser = pages.signed_in(Role.SUPERVISOR)
    for path in ("/clips", f"/clips/{clip.clip_id}", "/custody", "/units", "/health"):
        page = browser.get(path).text
        assert "http://" not in page
        assert "https://" not in page
        assert " style=" not in page
        assert "<script>" not in page
        assert " onclick" not in page


@pytest.fixture
def journal_to() -> Iterator[Callable[[io.StringIO], None]]:
    """Lets the journal begin as `mirrorcam-dock serve` does, and puts everything back."""
    kept, handlers, level = structlog.get_config(), list(logging.root.handlers), logging.root.level
    yield journal.begin
    structlog.configure(**kept)
    logging.root.handlers, logging.root.level = handlers, level


class Terminal(io.StringIO):
    """Where people read the journal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("output", [io.StringIO(), Terminal()], ids=["lines of JSON", "a terminal"])
def test_an_error_that_nobody_foresaw_is_in_the_journal_without_the_values_of_variables(
    pages: Pages, output: io.StringIO, journal_to: Callable[[io.StringIO], None]
) -> None:
    @pages.app.get("/broken-with-a-secret")
    def broken() -> str:
        passphrase = "nobody may " + "read this"
        raise RuntimeError(f"{len(passphrase)} characters")

    journal_to(output)
    assert pages.signed_in(Role.SUPERVISOR).get("/broken-with-a-secret").status_code == 500
    told = output.getvalue()
    assert "page_failed" in told
    assert "in broken" in told, "the traceback is there"
    assert "20 characters" in told
    assert "nobody may read this" not in told


def test_what_the_database_was_given_is_not_in_its_errors(pages: Pages) -> None:
    with pages.stored.dock.catalogue.reading() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("SELECT :secret FROM nowhere"), {"secret": "nobody may read this"})
    assert "nowhere" in str(caught.value)
    assert "nobody may read this" not in str(caught.value)
