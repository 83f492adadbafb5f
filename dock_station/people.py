"""People sign in at the dock: accounts with Argon2id passwords, and a lock-out for whoever guesses."""

import re
import threading
from collections import OrderedDict
from datetime import datetime, timedelta

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from dock_station.catalogue import people
from dock_station.catalogue.people import Person
from dock_station.dock import Dock
from dock_station.rights import Role
from evidence.errors import MirrorcamError
from evidence.identifiers import NAME_PATTERN

log = structlog.get_logger()

MIN_PASSWORD = 12  # our choice, the same as for passphrases: several words
MAX_PASSWORD = 1024  # a bound for what a stranger may have hashed
FREE_FAILURES = 4  # the fifth failure in a row locks
LONGEST_LOCK_MINUTES = 60
HASHERS_AT_A_TIME = 2  # each takes 64 MiB (RFC 9106 §4, second recommended option: argon2-cffi's default)
UNKNOWN_LOGINS = 1000  # how many logins that do not exist are remembered with their failures


class SignInError(MirrorcamError):
    """Login and password do not go together; which of them is wrong is not told."""

    def __init__(self) -> None:
        super().__init__("Login or password is wrong: check both and try again.")


class LockedOutError(MirrorcamError):
    """Too many sign-ins in a row failed; `minutes` says how long to wait, rounded up."""

    def __init__(self, minutes: int) -> None:
        self.minutes = minutes
        wait = "1 minute" if minutes == 1 else f"{minutes} minutes"
        super().__init__(f"Too many sign-ins with this login failed: wait {wait} and try again.")


class PasswordError(MirrorcamError):
    """A new password is too short, or too long."""

    def __init__(self) -> None:
        super().__init__(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters: use several words.")


class LoginError(MirrorcamError):
    """A text cannot be a login."""

    def __init__(self) -> None:
        super().__init__(
            "A login has lower case letters, digits and inner hyphens, 32 at most, as in 'a-example': choose another."
        )


class LoginTakenError(MirrorcamError):
    """A new person's login or pseudonym is somebody's login or pseudonym already: each would see the other's clips."""

    def __init__(self, name: str) -> None:
        super().__init__(f"'{name}' is somebody's login or wearer's pseudonym already: choose another.")


class UnknownPersonError(MirrorcamError):
    """There is no person with this login."""

    def __init__(self, login: str) -> None:
        super().__init__(f"Nobody here has the login '{login}': 'mirrorcam-dock person list' shows everyone.")


class People:
    """The accounts of one dock, for any number of threads.

    Contract: a failed sign-in is counted durably before it is answered, so a restart forgives nothing; however many
    come at once, none succeeds once the account is locked. Every change of an account is in the custody log, in the
    same transaction. The answer to a login that does not exist takes as long and says the same.
    """

    def __init__(self, dock: Dock, hasher: PasswordHasher | None = None) -> None:
        self._dock = dock
        self._hasher = hasher or PasswordHasher()
        self._hashing = threading.BoundedSemaphore(HASHERS_AT_A_TIME)
        self._nobodys_hash = self._hasher.hash("the password of nobody")
        self._unknown: OrderedDict[str, tuple[int, datetime | None]] = OrderedDict()
        self._unknown_lock = threading.Lock()

    def sign_in(self, login: str, password: str, address: str) -> Person:
        """Return the person whose login and password these are; `address` is where they sit, for the log.

        Raises SignInError or LockedOutError.
        """
        with self._dock.catalogue.reading() as connection:
            person = people.find_by_login(connection, login)
        if person is None:
            raise self._refuse_unknown(login, password, address)
        self._require_unlocked(person.locked_until)
        fits = self._fits(person.password_hash, password)
        with self._dock.catalogue.writing() as connection:
            now = people.find(connection, person.person_id)
            # Others may have tried at the same time: what counts is how the account stands now.
            if now is None or now.password_hash != person.password_hash:
                raise SignInError
            self._require_unlocked(now.locked_until)
            if fits and now.active:
                people.attempt_succeeded(connection, now.person_id)
                if self._hasher.check_needs_rehash(now.password_hash):
                    people.rehash_password(connection, now.person_id, self._hash(password))
                return now
            self._count_failure(connection, now, address)
        raise SignInError

    def find(self, person_id: int) -> Person | None:
        """Return the person with this number if they may still sign in."""
        with self._dock.catalogue.reading() as connection:
            person = people.find(connection, person_id)
        return person if person and person.active else None

    def list(self) -> list[Person]:
        """Return everyone by login, disabled people too."""
        with self._dock.catalogue.reading() as connection:
            return people.everyone(connection)

    def add(
        self,
        login: str,
        role: Role,
        password: str,
        actor: str,
        *,
        display_name: str | None = None,
        wearer: str | None = None,
    ) -> Person:
        """Add a person; `wearer` is the pseudonym under which this person's units record.

        Raises LoginError, PasswordError or LoginTakenError.
        """
        if not re.fullmatch(NAME_PATTERN, login):
            raise LoginError
        password_hash = self._hash(_checked(password))
        with self._dock.catalogue.writing() as connection:
            for name in filter(None, (login, wearer)):
                if people.is_taken(connection, name):
                    raise LoginTakenError(name)
            person_id = people.add(
                connection,
                login=login,
                display_name=display_name or login,
                role=role,
                wearer=wearer,
                password_hash=password_hash,
                at=self._dock.clock(),
            )
            self._note(connection, actor, "person-added", login, {"role": str(role)})
            person = people.find(connection, person_id)
        if person is None:
            raise RuntimeError("internal error: a person who was just added is not there")
        return person

    def set_password(self, login: str, password: str, actor: str) -> None:
        """Give a person a new password, which ends a lock-out; raises UnknownPersonError or PasswordError."""
        password_hash = self._hash(_checked(password))
        with self._dock.catalogue.writing() as connection:
            person = _existing(connection, login)
            people.set_password(connection, person.person_id, password_hash, self._dock.clock())
            self._note(connection, actor, "person-password-set", login)

    def disable(self, login: str, actor: str) -> None:
        """Let a person in no more; again it does nothing. Raises UnknownPersonError."""
        with self._dock.catalogue.writing() as connection:
            person = _existing(connection, login)
            if people.disable(connection, person.person_id, self._dock.clock()):
                self._note(connection, actor, "person-disabled", login)

    def _refuse_unknown(self, login: str, password: str, address: str) -> MirrorcamError:
        """Treat a login that does not exist like one that does, also in how long it takes and when it locks."""
        with self._unknown_lock:
            failures, locked_until = self._unknown.get(login, (0, None))
        self._require_unlocked(locked_until)
        self._fits(self._nobodys_hash, password)
        with self._unknown_lock:
            failures, locked_until = self._unknown.pop(login, (0, None))
            self._require_unlocked(locked_until)
            self._unknown[login] = failures + 1, self._lock_after(failures + 1)
            if len(self._unknown) > UNKNOWN_LOGINS:
                self._unknown.popitem(last=False)
        log.info("sign_in_failed", address=address)
        return SignInError()

    def _count_failure(self, connection: Connection, person: Person, address: str) -> None:
        failures = person.failed_attempts + 1
        locked_until = self._lock_after(failures)
        people.attempt_failed(connection, person.person_id, locked_until)
        log.info("sign_in_failed", address=address, person_id=person.person_id)
        if locked_until:
            self._note(connection, "dock", "person-locked-out", person.login, {"failures": failures})

    def _lock_after(self, failures: int) -> datetime | None:
        if failures <= FREE_FAILURES:
            return None
        # Doubling ends well before a number that shifting could not hold.
        minutes = min(LONGEST_LOCK_MINUTES, 1 << min(failures - FREE_FAILURES - 1, 16))
        return self._dock.clock() + timedelta(minutes=minutes)

    def _require_unlocked(self, locked_until: datetime | None) -> None:
        if locked_until is None:
            return
        left = locked_until - self._dock.clock()
        # No lock is longer: what seems so was set by a clock that has been put right since.
        if timedelta(0) < left <= timedelta(minutes=LONGEST_LOCK_MINUTES):
            raise LockedOutError(-(-left // timedelta(minutes=1)))

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(_encoded(password))

    def _fits(self, password_hash: str, password: str) -> bool:
        if len(password) > MAX_PASSWORD:
            password = ""  # costs as much time, and fits nobody
        try:
            with self._hashing:
                return self._hasher.verify(password_hash, _encoded(password))
        except (VerificationError, InvalidHashError):
            return False

    def _note(
        self,
        connection: Connection,
        actor: str,
        action: str,
        login: str,
        details: dict[str, str | int | bool | None] | None = None,
    ) -> None:
        self._dock.custody.append(
            connection, actor=actor, action=action, subject=f"person:{login}", details=details or {}
        )


def _existing(connection: Connection, login: str) -> Person:
    person = people.find_by_login(connection, login)
    if person is None:
        raise UnknownPersonError(login)
    return person


def _checked(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise PasswordError
    return password


def _encoded(password: str) -> bytes:
    # A terminal that is not UTF-8 hands over its bytes as surrogates: any text has a hash.
    return password.encode(errors="surrogatepass")
