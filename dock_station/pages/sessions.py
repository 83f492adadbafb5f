"""Who is signed in at the pages: live sessions, kept on the server, so that each can be ended at once."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

LONGEST_SESSION_SECONDS = 12 * 3600  # a shift: whoever works longer signs in once more


@dataclass(frozen=True)
class Unlock:
    """What one passphrase opened: the opener's token, and which clips it played so far, each by its beginning.

    The token never leaves this process: the cookie holds only the session's random name, so the cookie of a session
    that has ended opens nothing, wherever it was kept.
    """

    token: str
    played: dict[str, str] = field(default_factory=dict)  # clip id: digest of the beginning of what was played
    lock: threading.Lock = field(default_factory=threading.Lock)  # so that each clip is logged once, before its bytes


@dataclass
class Session:
    """One signed-in browser."""

    name: str
    person_id: int
    password_changed_at: datetime  # of the password that was typed: with another one it is over
    began_seconds: float  # monotonic
    seen_seconds: float  # monotonic
    unlock: Unlock | None = None


class Sessions:
    """All live sessions of one pages process.

    Contract: a session ends at sign-out, after `idle_seconds` without a request, after 12 hours, and when the process
    ends; what has ended is known to nobody any more, whoever still has its cookie.
    """

    def __init__(self, *, idle_seconds: float, monotonic: Callable[[], float]) -> None:
        self._idle_seconds = idle_seconds
        self._monotonic = monotonic
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self, person_id: int, password_changed_at: datetime) -> Session:
        """Begin a session under a fresh random name of 256 bits."""
        now = self._monotonic()
        session = Session(secrets.token_urlsafe(32), person_id, password_changed_at, now, now)
        with self._lock:
            self._forget_old(now)
            self._sessions[session.name] = session
        return session

    def find(self, name: str) -> Session | None:
        """Return the live session of this name and note that it is in use."""
        now = self._monotonic()
        with self._lock:
            self._forget_old(now)
            session = self._sessions.get(name)
            if session:
                session.seen_seconds = now
            return session

    def end(self, session: Session) -> None:
        """End the session."""
        with self._lock:
            self._sessions.pop(session.name, None)

    def _forget_old(self, now: float) -> None:
        for session in list(self._sessions.values()):
            idle, age = now - session.seen_seconds, now - session.began_seconds
            if idle >= self._idle_seconds or age >= LONGEST_SESSION_SECONDS:
                del self._sessions[session.name]
