"""People sign in against a real catalogue; only the wall clock is moved by hand, and Argon2 made cheap."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from dock_station.catalogue import entries
from dock_station.catalogue.schema import migrate
from dock_station.catalogue.tables import ROLES
from dock_station.dock import Dock
from dock_station.people import (
    UNKNOWN_LOGINS,
    LockedOutError,
    LoginError,
    LoginTakenError,
    PasswordError,
    People,
    SignInError,
    UnknownPersonError,
)
from dock_station.rights import RIGHTS, Right, Role, may
from tests.pki import Pki, dock_folder

PASSWORD = "several words for a test"
WRONG = "other words for a test"
ADDRESS = "192.0.2.7"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Wall:
    """A wall clock that a test moves by hand."""

    moment: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def go(self, **span: float) -> None:
        self.moment += timedelta(**span)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def dock(tmp_path: Path, wall: Wall) -> Iterator[Dock]:
    dock = Dock.open_unchecked(dock_folder(tmp_path / "dock", Pki(now=wall())), wall)
    migrate(dock.catalogue)
    yield dock
    dock.close()


@pytest.fixture
def people(dock: Dock) -> People:
    people = People(dock, CHEAP)
    people.add("a-example", Role.EVIDENCE_OFFICER, PASSWORD, "shell:root")
    return people


def fail(people: People, times: int, login: str = "a-example") -> None:
    for _ in range(times):
        with pytest.raises(SignInError):
            people.sign_in(login, WRONG, ADDRESS)


def minutes_locked(people: People, login: str = "a-example", password: str = PASSWORD) -> int:
    with pytest.raises(LockedOutError) as caught:
        people.sign_in(login, password, ADDRESS)
    return caught.value.minutes


def actions(dock: Dock, subject: str = "person:a-example") -> list[tuple[str, str, str]]:
    with dock.catalogue.reading() as connection:
        found = entries.of_subject(connection, subject)
    return [(entry.actor, entry.action, entry.details) for entry in found]


def test_the_right_password_signs_in(people: People) -> None:
    person = people.sign_in("a-example", PASSWORD, ADDRESS)
    assert (person.login, person.role, person.active) == ("a-example", Role.EVIDENCE_OFFICER, True)
    assert people.find(person.person_id) == person


def test_a_wrong_password_and_an_unknown_login_are_answered_with_the_same_sentence(people: People) -> None:
    sentences = set()
    for login in ("a-example", "nobody", "../x", ""):
        with pytest.raises(SignInError) as caught:
            people.sign_in(login, WRONG, ADDRESS)
        sentences.add(str(caught.value))
    assert sentences == {"Login or password is wrong: check both and try again."}


def test_an_unknown_login_costs_a_hash_too(dock: Dock) -> None:
    class Counting(PasswordHasher):
        verified = 0

        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002
            Counting.verified += 1
            return bool(super().verify(hash, password))

    people = People(dock, Counting(time_cost=1, memory_cost=8, parallelism=1))
    fail(people, 1, "nobody")
    assert Counting.verified == 1


@pytest.mark.parametrize("login", ["a-example", "nobody"])
def test_the_fifth_failure_locks_and_each_further_one_twice_as_long_up_to_an_hour(
    people: People, wall: Wall, login: str
) -> None:
    fail(people, 5, login)
    expected = [1, 2, 4, 8, 16, 32, 60, 60]
    seen = []
    for _ in expected:
        minutes = minutes_locked(people, login)
        seen.append(minutes)
        wall.go(minutes=minutes, seconds=-1)
        assert minutes_locked(people, login) == 1
        wall.go(seconds=1)
        fail(people, 1, login)
    assert seen == expected


def test_a_sign_in_forgets_the_failures_before_it(people: People) -> None:
    fail(people, 4)
    people.sign_in("a-example", PASSWORD, ADDRESS)
    fail(people, 4)
    people.sign_in("a-example", PASSWORD, ADDRESS)


def test_failures_survive_a_restart(people: People, dock: Dock) -> None:
    fail(people, 5)
    assert minutes_locked(People(dock, CHEAP)) == 1


def test_a_lock_that_a_wrong_clock_set_does_not_last_for_months(people: People, wall: Wall) -> None:
    wall.go(days=300)
    fail(people, 5)
    wall.go(days=-300)
    assert people.sign_in("a-example", PASSWORD, ADDRESS)


def test_many_guesses_at_once_are_no_more_than_five(people: People, dock: Dock) -> None:
    answers: list[type[Exception]] = []

    def guess() -> None:
        try:
            people.sign_in("a-example", WRONG, ADDRESS)
        except (SignInError, LockedOutError) as error:
            answers.append(type(error))

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers.count(SignInError), answers.count(LockedOutError)) == (5, 15)
    assert minutes_locked(people) == 1
    assert actions(dock)[-1] == ("dock", "person-locked-out", '{"failures":5}')


def test_unknown_logins_fill_no_memory(people: People) -> None:
    for number in range(UNKNOWN_LOGINS + 10):
        fail(people, 1, f"nobody-{number}")
    assert len(people._unknown) == UNKNOWN_LOGINS


def test_a_disabled_person_is_let_in_no_more_and_is_told_nothing(people: People, dock: Dock) -> None:
    person = people.sign_in("a-example", PASSWORD, ADDRESS)
    people.disable("a-example", "shell:root")
    people.disable("a-example", "shell:root")
    with pytest.raises(SignInError):
        people.sign_in("a-example", PASSWORD, ADDRESS)
    assert people.find(person.person_id) is None
    assert [action for _, action, _ in actions(dock)] == ["person-added", "person-disabled"]
    assert [person.active for person in people.list()] == [False]


def test_a_new_password_replaces_the_old_one_and_ends_a_lock(people: People, dock: Dock, wall: Wall) -> None:
    before = people.sign_in("a-example", PASSWORD, ADDRESS)
    fail(people, 5)
    wall.go(seconds=1)
    people.set_password("a-example", "entirely different words", "shell:root")
    after = people.sign_in("a-example", "entirely different words", ADDRESS)
    assert after.password_changed_at > before.password_changed_at
    with pytest.raises(SignInError):
        people.sign_in("a-example", PASSWORD, ADDRESS)
    assert actions(dock)[-1] == ("shell:root", "person-password-set", "{}")


def test_a_hash_of_older_parameters_is_renewed_at_sign_in(people: People, dock: Dock) -> None:
    person = people.sign_in("a-example", PASSWORD, ADDRESS)
    newer = People(dock, PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    newer.sign_in("a-example", PASSWORD, ADDRESS)
    renewed = newer.find(person.person_id)
    assert renewed
    assert "m=16,t=2" in renewed.password_hash
    assert replace(renewed, password_hash="") == replace(person, password_hash="")


@pytest.mark.parametrize("login", ["", "A-Example", "a b", "../x", "x" * 33, "a\n"])
def test_what_can_be_no_login_is_refused(people: People, login: str) -> None:
    with pytest.raises(LoginError):
        people.add(login, Role.IT, PASSWORD, "shell:root")


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1025])
def test_a_password_that_is_too_short_or_too_long_is_refused(people: People, password: str) -> None:
    with pytest.raises(PasswordError):
        people.add("b-example", Role.IT, password, "shell:root")
    with pytest.raises(PasswordError):
        people.set_password("a-example", password, "shell:root")


def test_any_text_may_be_tried_as_a_password(people: People) -> None:
    for password in ("", "x" * 1_000_000, "\ud800", "\x00"):
        with pytest.raises((SignInError, LockedOutError)):
            people.sign_in("a-example", password, ADDRESS)


def test_a_login_that_is_taken_is_refused_and_leaves_no_entry(people: People, dock: Dock) -> None:
    with pytest.raises(LoginTakenError):
        people.add("a-example", Role.IT, PASSWORD, "shell:root")
    assert len(actions(dock)) == 1


def test_two_people_cannot_record_under_one_pseudonym(people: People) -> None:
    people.add("b-example", Role.OFFICER, PASSWORD, "shell:root", wearer="wearer-1")
    with pytest.raises(LoginTakenError):
        people.add("c-example", Role.OFFICER, PASSWORD, "shell:root", wearer="wearer-1")


def test_nobody_s_login_is_another_s_pseudonym_nor_the_other_way_round(people: People) -> None:
    people.add("b-example", Role.OFFICER, PASSWORD, "shell:root", wearer="wearer-1")
    with pytest.raises(LoginTakenError, match="'wearer-1' is somebody's"):
        people.add("wearer-1", Role.OFFICER, PASSWORD, "shell:root")
    with pytest.raises(LoginTakenError, match="'a-example' is somebody's"):
        people.add("c-example", Role.OFFICER, PASSWORD, "shell:root", wearer="a-example")
    people.disable("b-example", "shell:root")
    with pytest.raises(LoginTakenError):
        people.add("wearer-1", Role.OFFICER, PASSWORD, "shell:root")
    assert people.add("d-example", Role.OFFICER, PASSWORD, "shell:root", wearer="d-example").wearer == "d-example"
    assert [person.login for person in people.list()] == ["a-example", "b-example", "d-example"]


def test_a_person_who_does_not_exist_cannot_be_changed(people: People) -> None:
    with pytest.raises(UnknownPersonError):
        people.set_password("nobody", PASSWORD, "shell:root")
    with pytest.raises(UnknownPersonError):
        people.disable("nobody", "shell:root")


def test_neither_password_nor_hash_is_ever_shown(people: People, dock: Dock) -> None:
    person = people.sign_in("a-example", PASSWORD, ADDRESS)
    assert person.password_hash.startswith("$argon2id$")
    assert "argon2" not in repr(person)
    assert PASSWORD not in str(actions(dock))


def test_the_table_of_rights_has_every_role_that_the_catalogue_knows() -> None:
    assert [str(role) for role in RIGHTS] == list(ROLES) == [str(role) for role in Role]


def test_it_neither_lists_nor_opens_clips_and_an_auditor_reads_the_custody_log_only() -> None:
    clips = {Right.SEE_CLIPS, Right.SEE_OWN_CLIPS, Right.OPEN_CLIPS, Right.HOLD}
    assert not RIGHTS[Role.IT] & (clips | {Right.MANAGE_PEOPLE, Right.SEE_CUSTODY})
    assert RIGHTS[Role.AUDITOR] == {Right.SEE_CUSTODY}
    assert Right.SEE_CLIPS not in RIGHTS[Role.OFFICER]


def test_a_role_that_nobody_knows_may_nothing() -> None:
    assert may("supervisor", Right.HOLD)
    assert not any(may("emperor", right) for right in Right)
