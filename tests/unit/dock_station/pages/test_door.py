"""Signing in and out: who gets in, how long they stay, and what puts them out."""

import re
import stat
from datetime import timedelta

import pytest

from dock_station.pages import words
from dock_station.pages.door import MOST_FAILURES_A_DAY
from dock_station.rights import Role
from tests.unit.dock_station.pages.visitor import PASSWORD, Pages, text_of


def test_the_right_password_leads_to_the_clips_and_is_logged(pages: Pages) -> None:
    login = pages.person(Role.SUPERVISOR)
    answer = pages.stranger().sign_in(login)
    assert (answer.status_code, answer.location) == (302, "/clips")
    assert pages.deeds()[-1] == ("person:supervisor", "signed-in", "person:supervisor")


@pytest.mark.parametrize(("role", "home"), [(Role.OFFICER, "/clips"), (Role.IT, "/units"), (Role.AUDITOR, "/custody")])
def test_everyone_begins_at_a_page_that_their_role_lets_them_see(pages: Pages, role: Role, home: str) -> None:
    browser = pages.signed_in(role)
    assert browser.get("/").location == home
    assert browser.get(home).status_code == 200


@pytest.mark.parametrize("password", [PASSWORD, "not the password at all"])
def test_where_the_custody_log_cannot_be_written_nobody_gets_in_and_the_page_says_why(
    pages: Pages, password: str
) -> None:
    login, browser = pages.person(Role.SUPERVISOR), pages.stranger()
    pages.stored.time.jump(timedelta(days=400))  # the signer's certificate is good for a year
    answer = browser.sign_in(login, password)
    assert answer.status_code == 503
    assert "have IT set the clock right" in text_of(answer)
    pages.stored.time.jump(timedelta(days=-400))
    assert browser.get("/clips").status_code == 302
    assert pages.deeds()[-1][1] == "person-added"


def test_a_wrong_password_is_refused_with_a_sentence_and_logged(pages: Pages) -> None:
    login = pages.person(Role.SUPERVISOR)
    answer = pages.stranger().sign_in(login, "not the password at all")
    assert answer.status_code == 401
    assert "Login or password is wrong" in text_of(answer)
    assert pages.deeds()[-1] == ("dock", "sign-in-failed", "person:supervisor")


def test_who_guesses_without_end_does_not_fill_the_custody_log(pages: Pages) -> None:
    login = pages.person(Role.SUPERVISOR)
    with pages.stored.dock.catalogue.writing() as connection:  # as many guesses take hours: the pages keep a pace
        for _ in range(MOST_FAILURES_A_DAY):
            pages.stored.dock.custody.append(
                connection, actor="dock", action="sign-in-failed", subject=f"person:{login}"
            )
    entries = len(pages.log())
    assert pages.stranger().sign_in(login, "not the password at all").status_code == 401
    assert len(pages.log()) == entries
    pages.pass_(timedelta(days=1, seconds=1))
    assert pages.stranger().sign_in(login, "not the password at all").status_code == 401
    assert pages.deeds()[-1] == ("dock", "sign-in-failed", f"person:{login}")


def test_a_password_typed_as_login_is_not_in_the_log(pages: Pages) -> None:
    answer = pages.stranger().sign_in(PASSWORD, "supervisor")
    assert answer.status_code == 401
    entry = pages.log()[-1]
    assert (entry.actor, entry.action, entry.subject) == ("dock", "sign-in-failed", "dock:dock-1")
    assert PASSWORD not in entry.details


def test_after_too_many_wrong_passwords_the_page_says_how_long_to_wait(pages: Pages) -> None:
    login = pages.person(Role.SUPERVISOR)
    browser = pages.stranger()
    for _ in range(5):
        browser.sign_in(login, "not the password at all")
    answer = browser.sign_in(login)
    assert answer.status_code == 429
    assert "wait 1 minute" in text_of(answer)


@pytest.mark.parametrize(
    ("addresses", "last"),
    [
        ([f"2001:db8::{number:x}" for number in range(1, 12)], 429),
        ([f"2001:db8:0:{number:x}::1" for number in range(1, 12)], 401),
        ([f"::ffff:192.0.2.{number}" for number in range(1, 12)], 401),
    ],
)
def test_a_computer_with_many_addresses_of_one_network_gets_no_more_attempts_than_another(
    pages: Pages, addresses: list[str], last: int
) -> None:
    browser = pages.stranger()
    statuses = []
    for number, address in enumerate(addresses):
        browser.client.environ_base["REMOTE_ADDR"] = address
        statuses.append(browser.sign_in(f"nobody-{number}").status_code)
    assert statuses == [401] * 10 + [last]


def test_one_computer_gets_ten_attempts_a_minute_for_all_logins_together(pages: Pages) -> None:
    browser = pages.stranger()
    statuses = [browser.sign_in(f"nobody-{number}").status_code for number in range(11)]
    assert statuses == [401] * 10 + [429]
    assert words.TOO_MANY in text_of(browser.sign_in("nobody-12"))


def test_the_cookie_is_for_this_site_over_tls_and_not_for_scripts(pages: Pages) -> None:
    cookie = pages.stranger().sign_in(pages.person(Role.IT)).headers["Set-Cookie"]
    assert cookie.startswith("__Host-mirrorcam=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))


def test_signing_out_ends_the_session_at_the_server_too(pages: Pages) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    cookie = browser.client.get_cookie("__Host-mirrorcam", domain="localhost")
    assert cookie
    assert browser.post("/sign-out").location == "/sign-in"
    assert pages.deeds()[-1] == ("person:supervisor", "signed-out", "person:supervisor")
    thief = pages.stranger()
    thief.client.set_cookie("__Host-mirrorcam", cookie.value, domain="localhost", secure=True)
    assert thief.get("/clips").location == "/sign-in?next=%2Fclips"


def test_a_disabled_person_is_out_at_once(pages: Pages) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    assert browser.get("/clips").status_code == 200
    pages.people.disable("supervisor", "shell:test")
    assert browser.get("/clips").status_code == 302


def test_a_new_password_ends_the_sessions_of_the_old_one(pages: Pages) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    pages.pass_(timedelta(seconds=1))
    pages.people.set_password("supervisor", "another password of words", "shell:test")
    assert browser.get("/clips").status_code == 302


@pytest.mark.parametrize("days", [-100, 100])
def test_a_password_set_while_the_clock_was_wrong_lets_its_owner_in_and_ends_the_sessions_of_the_one_before(
    pages: Pages, days: int
) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    pages.stored.time.jump(timedelta(days=days))
    pages.people.set_password("supervisor", "another password of words", "shell:test")
    pages.stored.time.jump(timedelta(days=-days))
    assert browser.get("/clips").status_code == 302
    assert browser.sign_in("supervisor", "another password of words").status_code == 302
    assert browser.get("/clips").status_code == 200


def test_a_session_ends_when_it_is_not_used_for_an_hour(pages: Pages) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    pages.pass_(timedelta(minutes=59))
    assert browser.get("/clips").status_code == 200
    pages.pass_(timedelta(minutes=59))
    assert browser.get("/clips").status_code == 200
    pages.pass_(timedelta(minutes=60))
    assert browser.get("/clips").status_code == 302


def test_no_session_outlasts_a_shift(pages: Pages) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    for _ in range(23):
        pages.pass_(timedelta(minutes=31))
        assert browser.get("/clips").status_code == 200
    pages.pass_(timedelta(minutes=31))
    assert browser.get("/clips").status_code == 302


def test_a_cookie_in_another_browser_is_worth_nothing(pages: Pages) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    assert browser.get("/clips", headers={"User-Agent": "another one"}).status_code == 302


def test_who_was_asked_to_sign_in_goes_on_where_they_wanted(pages: Pages) -> None:
    login = pages.person(Role.SUPERVISOR)
    assert pages.stranger().sign_in(login, next="/units").location == "/units"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x"])
def test_signing_in_leads_nowhere_else(pages: Pages, elsewhere: str) -> None:
    login = pages.person(Role.SUPERVISOR)
    assert pages.stranger().sign_in(login, next=elsewhere).location == "/clips"


def test_a_form_without_its_token_does_nothing(pages: Pages) -> None:
    login = pages.person(Role.SUPERVISOR)
    answer = pages.stranger().post("/sign-in", token="", login=login, password=PASSWORD)
    assert answer.status_code == 400
    assert words.STALE_FORM in text_of(answer)
    stranger = pages.stranger()
    answer = stranger.post("/sign-in", token=pages.stranger().token(), login=login, password=PASSWORD)
    assert answer.status_code == 400


def test_the_session_key_is_made_once_and_for_the_dock_alone(pages: Pages) -> None:
    file = pages.stored.folder.session_key_file
    key = file.read_bytes()
    assert len(key) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pages.restart()
    assert file.read_bytes() == key


def test_after_a_restart_everyone_signs_in_anew(pages: Pages) -> None:
    browser = pages.signed_in(Role.SUPERVISOR)
    cookie = browser.client.get_cookie("__Host-mirrorcam", domain="localhost")
    assert cookie
    pages.restart()
    same = pages.stranger()
    same.client.set_cookie("__Host-mirrorcam", cookie.value, domain="localhost", secure=True)
    assert same.get("/clips").status_code == 302


def test_the_password_field_never_comes_back_filled_in(pages: Pages) -> None:
    answer = pages.stranger().sign_in("a-example", "a secret that was mistyped")
    assert "a secret that was mistyped" not in answer.text
    assert re.search(r'id="login"[^>]*value="a-example"', answer.text)
