"""Each role sees what the one table of rights says, and nothing else."""

from datetime import timedelta

import pytest

from dock_station.pages import words
from dock_station.rights import Role
from tests.unit.dock_station.pages.visitor import Pages, text_of

PAGES = ("/clips", "/custody", "/units", "/enrolment", "/health")
SEEN = {
    Role.OFFICER: {"/clips"},
    Role.EVIDENCE_OFFICER: {"/clips", "/custody", "/units"},
    Role.SUPERVISOR: {"/clips", "/custody", "/units", "/health"},
    Role.IT: {"/units", "/enrolment", "/health"},
    Role.AUDITOR: {"/custody"},
}


@pytest.mark.parametrize("role", Role)
def test_a_page_is_shown_to_whom_the_table_lets_see_it_and_is_in_their_menu_alone(pages: Pages, role: Role) -> None:
    browser = pages.signed_in(role)
    for page in PAGES:
        answer = browser.get(page)
        assert answer.status_code == (200 if page in SEEN[role] else 403)
        if answer.status_code == 403:
            assert words.WRONG_RIGHT in text_of(answer)
        assert {other for other in PAGES if f'href="{other}"' in answer.text} == SEEN[role]


@pytest.mark.parametrize("path", [*PAGES, "/", "/clips/anything"])
def test_who_is_not_signed_in_is_led_to_the_door(pages: Pages, path: str) -> None:
    answer = pages.stranger().get(path)
    assert answer.status_code == 302
    assert answer.location.startswith("/sign-in")


def test_an_officer_sees_own_clips_and_no_others(pages: Pages) -> None:
    clip = pages.stored.store()
    owner = pages.signed_in(Role.OFFICER, "b-example", wearer="wearer-7")
    other = pages.signed_in(Role.OFFICER, "c-example", wearer="wearer-8")
    assert clip.clip_id in owner.get("/clips").text
    assert owner.get(f"/clips/{clip.clip_id}").status_code == 200
    assert clip.clip_id not in other.get("/clips?wearer=wearer-7").text
    for path in (f"/clips/{clip.clip_id}", f"/clips/{clip.clip_id}/media"):
        assert other.get(path).status_code == 403
    assert words.NOT_OWN_CLIP in text_of(other.get(f"/clips/{clip.clip_id}"))


def test_an_officer_without_a_pseudonym_records_under_the_login(pages: Pages) -> None:
    clip = pages.stored.store()
    assert pages.signed_in(Role.OFFICER, "wearer-7").get(f"/clips/{clip.clip_id}").status_code == 200


def test_an_officer_neither_holds_nor_reads_who_saw_the_clip_or_why_it_is_held(pages: Pages) -> None:
    clip = pages.stored.store()
    supervisor = pages.signed_in(Role.SUPERVISOR)
    tomorrow = f"{pages.stored.time.now() + timedelta(days=2):%Y-%m-%d}"
    hold = {"case_number": "TEST-1", "reason": "A complaint.", "review_on": tomorrow}
    assert supervisor.post(f"/clips/{clip.clip_id}/hold", **hold).status_code == 302
    officer = pages.signed_in(Role.OFFICER, wearer="wearer-7")
    page = text_of(officer.get(f"/clips/{clip.clip_id}"))
    assert "held" in page
    assert "TEST-1" not in page
    assert "A complaint." not in page
    assert "Everything done to this clip" not in page
    assert officer.post(f"/clips/{clip.clip_id}/hold", **hold).status_code == 403


@pytest.mark.parametrize("role", [Role.IT, Role.AUDITOR])
def test_it_and_auditors_get_at_no_clip_by_any_address(pages: Pages, role: Role) -> None:
    clip = pages.stored.store()
    browser = pages.signed_in(role)
    for path in (f"/clips/{clip.clip_id}", f"/clips/{clip.clip_id}/media"):
        assert browser.get(path).status_code == 403
    for path in (f"/clips/{clip.clip_id}/check", f"/clips/{clip.clip_id}/hold", "/unlock"):
        assert browser.post(path).status_code == 403
