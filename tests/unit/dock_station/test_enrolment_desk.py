"""The desk of enrolment: which word lets which unit in, what is refused, and what a crash leaves behind."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dock_station.catalogue import chains, units
from dock_station.clock import utc_now
from dock_station.enrolment import desk as desks
from dock_station.enrolment.desk import (
    MAX_OPEN,
    WAITS_FOR,
    CertificateUnfitError,
    CodeSharedError,
    CodeWrongError,
    DeclinedError,
    EnrolmentClosedError,
    EnrolmentFullError,
    RequestChangedError,
    RequestDroppedError,
    RequestUnknownError,
    UnitIdTakenError,
)
from dock_station.enrolment.naming import next_id
from evidence.chain import Link
from evidence.enrolment import NotARequestError, Request
from tests.newcomers import Hall, Newcomer, hall
from tests.pki import Pki

IT = "person:it-example"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Hall]:
    with hall(tmp_path) as here, here.files.opened():
        yield here


def enrolled(here: Hall, unit_id: str = "unit-01") -> Newcomer:
    """Enrol a unit to the end."""
    unit = Newcomer().ask(here.desk)
    here.desk.confirm(unit.code(here.dock), unit_id, actor=IT)
    here.issue()
    assert here.desk.standing(unit.request_id).issued
    return unit


def other_than(*codes: str) -> str:
    return next(f"{number:06}" for number in range(10) if f"{number:06}" not in codes)


def test_who_has_the_right_code_typed_gets_the_certificate_and_the_others_wait(here: Hall) -> None:
    first, second = Newcomer().ask(here.desk, "1-1.2"), Newcomer().ask(here.desk)
    assert [each.bay for each in here.desk.waiting()] == ["1-1.2", None]
    here.desk.confirm(second.code(here.dock), "unit-02", actor=IT)
    assert here.desk.standing(second.request_id).issued is None, "the authority has not answered"
    (certificate,) = here.issue()
    issued = here.desk.standing(second.request_id).issued
    assert issued
    assert (issued.unit_id, certificate.public_key()) == ("unit-02", second.key.public_key())
    assert here.desk.standing(first.request_id).issued is None
    assert [each.bay for each in here.desk.waiting()] == ["1-1.2"]
    assert here.deeds() == [(IT, "unit-confirmed", "unit:unit-02"), ("dock", "unit-enrolled", "unit:unit-02")]
    with here.dock.catalogue.reading() as connection:
        (unit,) = units.everyone(connection)
    assert unit.certificate_ends_at == certificate.not_valid_after_utc


def test_once_the_nonce_is_shown_neither_key_nor_nonce_can_change(here: Hall) -> None:
    unit = Newcomer().ask(here.desk)
    assert here.desk.submit(unit.request_id, unit.request()) == unit.revealed, "an answer that was lost"
    for changed in (replace(unit, nonce=b"n" * 32), replace(Newcomer(), nonce=unit.nonce)):
        with pytest.raises(RequestChangedError):
            here.desk.submit(unit.request_id, changed.request())


def test_three_wrong_codes_drop_what_waits_and_a_new_request_is_taken(here: Hall) -> None:
    waiting = [Newcomer().ask(here.desk) for _ in range(MAX_OPEN)]
    wrong = other_than(*(unit.code(here.dock) for unit in waiting))
    for _ in range(2):
        with pytest.raises(CodeWrongError, match="Look at the unit's screen again"):
            here.desk.confirm(wrong, "unit-01", actor=IT)
    with pytest.raises(CodeWrongError, match="wrong 3 times: 16 of the requests are dropped"):
        here.desk.confirm(wrong, "unit-01", actor=IT)
    with pytest.raises(RequestDroppedError, match="shows a new code"):
        here.desk.standing(waiting[0].request_id)
    with pytest.raises(CodeWrongError):
        here.desk.confirm(waiting[0].code(here.dock), "unit-01", actor=IT)
    assert here.deeds() == [(IT, "enrolment-dropped", "dock:dock-1")] * MAX_OPEN
    again = waiting[0].ask(here.desk)
    here.desk.confirm(again.code(here.dock), "unit-01", actor=IT)


def test_where_two_requests_have_one_code_both_are_dropped(here: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [Newcomer().ask(here.desk) for _ in range(2)]
    monkeypatch.setattr(desks, "_code_of", lambda _: "123456")  # one in a million, as it comes
    with pytest.raises(CodeSharedError, match="both are dropped"):
        here.desk.confirm("123456", "unit-01", actor=IT)
    for unit in units:
        with pytest.raises(RequestDroppedError):
            here.desk.standing(unit.request_id)
    assert here.files.unanswered() == []


def test_a_full_desk_refuses_and_taking_a_request_back_makes_no_room_for_another_try(here: Hall) -> None:
    same = Newcomer()
    for _ in range(MAX_OPEN):
        same.ask(here.desk)
    assert len(here.desk.waiting()) == 1, "the newest request of one key stands for all"
    with pytest.raises(EnrolmentFullError, match="15 minutes"):
        Newcomer().ask(here.desk)
    here.passed[0] = WAITS_FOR
    Newcomer().ask(here.desk)


def test_a_request_that_nobody_confirms_in_time_is_over(here: Hall) -> None:
    unit = Newcomer().ask(here.desk)
    digits = unit.code(here.dock)
    here.passed[0] = WAITS_FOR + timedelta(seconds=1)
    with pytest.raises(RequestUnknownError, match="within 15 minutes"):
        here.desk.standing(unit.request_id)
    with pytest.raises(CodeWrongError):
        here.desk.confirm(digits, "unit-01", actor=IT)
    with pytest.raises(RequestUnknownError):
        here.desk.standing("0" * 32)


def test_while_enrolment_is_closed_nobody_asks_and_nobody_confirms(tmp_path: Path) -> None:
    with hall(tmp_path) as here:
        with here.files.opened():
            unit = Newcomer().ask(here.desk)
        with pytest.raises(EnrolmentClosedError, match="mirrorcam-provision unit enrol"):
            Newcomer().ask(here.desk)
        with pytest.raises(EnrolmentClosedError):
            here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)


def test_an_id_that_is_taken_is_refused_and_the_request_goes_on_waiting(here: Hall) -> None:
    here.register("unit-01", "unit-02", to_reissue=("unit-02",))
    first, second = Newcomer().ask(here.desk), Newcomer().ask(here.desk)
    with pytest.raises(UnitIdTakenError, match="mirrorcam-provision unit reissue"):
        here.desk.confirm(first.code(here.dock), "unit-01", actor=IT)
    here.desk.confirm(first.code(here.dock), "unit-02", actor=IT)
    with pytest.raises(UnitIdTakenError):
        here.desk.confirm(second.code(here.dock), "unit-02", actor=IT)
    here.desk.confirm(second.code(here.dock), "unit-03", actor=IT)


def test_the_next_free_id_counts_what_authority_and_dock_know(here: Hall) -> None:
    assert here.desk.proposed_id() == "unit-01"
    here.register("unit-08", "unit-09", "spare-100")
    assert here.desk.proposed_id() == "unit-10"
    here.desk.confirm(Newcomer().ask(here.desk).code(here.dock), "unit-10", actor=IT)
    assert here.desk.proposed_id() == "unit-11"
    assert next_id(["cam-a", "cam-b"]) == "unit-01"
    assert next_id([f"{'u' * 30}-9"]) == "unit-01", "one more digit would be too long"


def test_a_unit_that_lost_power_before_it_had_its_certificate_gets_it_without_another_word(here: Hall) -> None:
    unit = Newcomer().ask(here.desk)
    here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)
    unit.ask(here.desk)
    assert here.desk.standing(unit.request_id).issued is None
    assert here.desk.waiting() == []
    here.issue()
    before = here.desk.standing(unit.request_id).issued
    unit.ask(here.desk)
    assert here.desk.standing(unit.request_id).issued == before is not None


def test_the_key_of_a_revoked_unit_needs_somebodys_word_again_however_often_it_asks(here: Hall) -> None:
    unit = Newcomer().ask(here.desk)
    here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)
    (certificate,) = here.issue()
    here.desk.standing(unit.request_id)
    here.revoke(certificate)
    for _ in range(3):
        unit.ask(here.desk)
        assert here.desk.standing(unit.request_id).issued is None
        assert len(here.desk.waiting()) == 1
    assert here.files.unanswered() == []
    here.files.forget(unit.key_sha256)  # as if the dock had died in the middle of confirming it once more
    unit.ask(here.desk)
    assert len(here.desk.waiting()) == 1
    here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)
    (anew,) = here.issue()
    issued = here.desk.standing(unit.request_id).issued
    assert issued
    assert anew.serial_number != certificate.serial_number


def test_a_word_is_good_for_one_certificate_even_where_the_files_of_enrolment_are_gone(here: Hall) -> None:
    unit = enrolled(here)
    first = unit.request_id
    unit.ask(here.desk)  # confirmed by the same word, and never looked at again
    here.files.forget(unit.key_sha256)  # as on a dock that was restored: they are in no backup
    with pytest.raises(RequestUnknownError):
        here.desk.standing(first)
    unit.ask(here.desk)
    assert here.desk.standing(unit.request_id).issued is None
    assert len(here.desk.waiting()) == 1
    assert here.files.unanswered() == []
    here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)
    unit.ask(here.desk)  # the new word outlives a power cut as the first one did
    here.issue()
    assert here.desk.standing(unit.request_id).issued


def test_what_was_confirmed_is_asked_for_again_after_a_crash_before_the_authority_was_asked(here: Hall) -> None:
    unit = Newcomer().ask(here.desk)
    here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)
    here.files.forget(unit.key_sha256)  # as if the dock had died in between
    assert here.desk.standing(unit.request_id).issued is None
    assert here.files.unanswered() == [unit.key_sha256]


def test_a_unit_hears_why_the_authority_declined_and_may_ask_again(here: Hall) -> None:
    unit = Newcomer().ask(here.desk)
    here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)
    here.decline("There is another unit-01.")
    with pytest.raises(DeclinedError, match=r"There is another unit-01\."):
        here.desk.standing(unit.request_id)
    unit.ask(here.desk)
    assert len(here.desk.waiting()) == 1
    assert here.desk.proposed_id() == "unit-01"


def test_a_certificate_that_does_not_fit_is_never_handed_over(here: Hall) -> None:
    unit = Newcomer().ask(here.desk)
    here.desk.confirm(unit.code(here.dock), "unit-01", actor=IT)
    answers = here.files.answers / f"{unit.key_sha256}.json"
    for wrong, sentence in (
        ({"pki": Pki()}, "another authority issued it"),
        ({"unit_id": "unit-02"}, "for another unit or key"),
        ({"key": Newcomer().key}, "for another unit or key"),
        ({"valid_from": utc_now() + timedelta(days=2)}, "valid only from .* look at the clocks"),
    ):
        here.issue(**wrong)
        with pytest.raises(CertificateUnfitError, match=sentence):
            here.desk.standing(unit.request_id)
        answers.unlink()
    here.issue()
    assert here.desk.standing(unit.request_id).issued


def test_a_unit_that_is_made_anew_is_told_how_far_its_chain_is(here: Hall) -> None:
    link = Link(7, "ab" * 32)
    with here.dock.catalogue.writing() as connection:
        units.seen(connection, "unit-01", here.dock.clock())
        chains.advance(connection, "unit-01", link, here.dock.clock())
    unit = enrolled(here)
    assert here.desk.standing(unit.request_id).newest == link


def test_a_certificate_request_that_is_none_is_refused_before_the_nonce_is_shown(here: Hall) -> None:
    begun = here.desk.begin(None)
    with pytest.raises(NotARequestError):
        here.desk.submit(begun.request_id, Request(csr=b"nothing", nonce=b"n" * 32))
    unit = replace(Newcomer(), nonce=b"n" * 32)
    assert here.desk.submit(begun.request_id, unit.request())
