"""What the opener holds while somebody may open clips: the station identity, for so long and not a second longer."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from dock_station.opening.keyslots import Keyslots, StationIdentity, WrongPassphraseError
from evidence.age import AgeError, Header, HybridIdentity, X25519Identity
from evidence.age.errors import NoIdentityMatchesError
from evidence.errors import KeyDoesNotFitError, NotGenuineError

MAX_UNLOCKS = 64  # at a time; beyond it the oldest ends
LONGEST_DELAY_SECONDS = 300.0


class LockedError(KeyDoesNotFitError):
    """Nothing is unlocked under this token: never was, or no longer."""

    def __init__(self) -> None:
        self.facts = ()
        super().__init__("The clips are locked: type your passphrase.")


class TooSoonError(KeyDoesNotFitError):
    """After wrong passphrases the next one must wait."""

    def __init__(self, seconds: int) -> None:
        self.facts = (seconds,)
        self.seconds = seconds
        wait = "1 second" if seconds == 1 else f"{seconds} seconds"
        super().__init__(f"The passphrase was wrong before: wait {wait} and try again.")


class NotForThisStationError(KeyDoesNotFitError):
    """A clip is sealed to other recipients."""

    def __init__(self) -> None:
        self.facts = ()
        super().__init__("This clip is not sealed to this station's key: the town that made it can open it.")


class HeaderRefusedError(NotGenuineError):
    """A clip's header is not one, or was changed; the sentence is the age library's."""

    def __init__(self, sentence: str) -> None:
        self.facts = (sentence,)
        super().__init__(sentence)


@dataclass
class _Unlock:
    """One unlock; the secret is kept in bytes that can be overwritten."""

    kind: type[StationIdentity]
    secret: bytearray = field(repr=False)
    ends_at: float

    def identity(self) -> StationIdentity:
        return self.kind(bytes(self.secret))

    def forget(self) -> None:
        self.secret[:] = bytes(len(self.secret))


class Unlocks:
    """All unlocks of one dock, by token; for any number of threads.

    Contract: a file key is given only under a token whose time is not over by `seconds`, a clock that also runs while
    the machine sleeps. What is forgotten is overwritten as far as Python lets us: the identity itself, not every copy
    that decoding made on the way, which is why this lives in a process whose memory nobody else can read.
    One passphrase is tried at a time, for each takes 256 MiB; wrong ones make the next wait, 1, 2, 4 … 300 s.
    """

    def __init__(self, keyslots: Keyslots, *, unlock_seconds: float, seconds: Callable[[], float]) -> None:
        self._keyslots = keyslots
        self._unlock_seconds = unlock_seconds
        self._seconds = seconds
        self._unlocks: dict[str, _Unlock] = {}
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        self._failures: dict[str, tuple[int, float]] = {}  # login: wrong ones in a row, when the next may be tried

    def unlock(self, login: str, passphrase: str) -> tuple[str, float]:
        """Open a reviewer's keyslot; returns a new token and the seconds that it is good for.

        Raises TooSoonError, or what `Keyslots.open` raises.
        """
        with self._trying:
            self._require_patience(login)
            try:
                identity = self._keyslots.open(login, passphrase)
            except WrongPassphraseError:
                self._make_wait(login)
                raise
            self._failures.pop(login, None)
        token = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._unlocks) >= MAX_UNLOCKS:
                self._unlocks.pop(next(iter(self._unlocks))).forget()
            self._unlocks[token] = _hold(identity, self._seconds() + self._unlock_seconds)
        return token, self._unlock_seconds

    def file_key(self, token: str, raw_header: bytes) -> bytes:
        """Return the file key of the clip that begins with this header.

        Raises LockedError, HeaderRefusedError or NotForThisStationError.
        """
        with self._lock:
            self._expire()
            if token not in self._unlocks:
                raise LockedError
            identity = self._unlocks[token].identity()
        try:
            return Header.parse(raw_header).unwrap([identity]).raw
        except NoIdentityMatchesError as error:
            raise NotForThisStationError from error
        except AgeError as error:
            raise HeaderRefusedError(str(error)) from error

    def seconds_left(self, token: str) -> float:
        """Return how long the token is still good for; 0 for one that is not."""
        with self._lock:
            self._expire()
            unlock = self._unlocks.get(token)
            return unlock.ends_at - self._seconds() if unlock else 0.0

    def lock(self, token: str) -> None:
        """Forget an unlock; again it does nothing."""
        with self._lock:
            unlock = self._unlocks.pop(token, None)
            if unlock:
                unlock.forget()

    def expire(self) -> None:
        """Forget every unlock whose time is over; to be called often, for nobody may ask again."""
        with self._lock:
            self._expire()

    def forget_all(self) -> None:
        """Forget everything."""
        with self._lock:
            for unlock in self._unlocks.values():
                unlock.forget()
            self._unlocks.clear()

    def _expire(self) -> None:
        now = self._seconds()
        for token in [token for token, unlock in self._unlocks.items() if unlock.ends_at <= now]:
            self._unlocks.pop(token).forget()

    def _require_patience(self, login: str) -> None:
        _, not_before = self._failures.get(login, (0, float("-inf")))
        left = not_before - self._seconds()
        if left > 0:
            raise TooSoonError(int(left) + 1)

    def _make_wait(self, login: str) -> None:
        count = self._failures.get(login, (0, 0.0))[0] + 1
        delay = min(LONGEST_DELAY_SECONDS, 2.0 ** min(count - 1, 16))
        self._failures[login] = count, self._seconds() + delay


def _hold(identity: StationIdentity, ends_at: float) -> _Unlock:
    match identity:
        case HybridIdentity(seed):
            return _Unlock(HybridIdentity, bytearray(seed), ends_at)
        case X25519Identity(secret):
            return _Unlock(X25519Identity, bytearray(secret), ends_at)
