"""How a unit to be asks its dock to be enrolled, again and again, until a certificate comes."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.docking.client import DockAnswerError, DockUnreachableError
from appliance.docking.tls import context_for
from appliance.enrolment.client import EnrolmentClient
from appliance.enrolment.keeping import check, is_dock, keep
from appliance.enrolment.own_key import own_key, request_for
from appliance.front import messages
from appliance.front.messages import Message
from appliance.journal import Journal
from appliance.settings import EnrolmentSettings, UnitFolder
from evidence.certificates import Authority
from evidence.enrolment import NONCE_BYTES, Request, Standing, code, commitment_to, in_groups
from evidence.errors import MirrorcamError, NotGenuineError, reason_of

LOOK_SECONDS = 2.0  # between two looks for a dock, and between two questions how the request stands
# Between two requests, twice as long each time: evidence.enrolment.code says what depends on it.
AGAIN_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 300.0
LONGEST_SECONDS = 20 * 60.0  # a dock forgets a request after 15 minutes, and says so unless it is gone
SHOWN_SECONDS = 3.0  # how long the new name stands on the screen


class CommitmentBrokenError(NotGenuineError):
    """The dock shows another nonce than the one that it had committed to."""

    def __init__(self) -> None:
        super().__init__("The dock's answer does not fit what it had said before; have IT look at the dock.")


@dataclass(frozen=True)
class Pace:
    """How long is waited, in seconds; a test waits less."""

    look: float = LOOK_SECONDS
    again: float = AGAIN_SECONDS
    shown: float = SHOWN_SECONDS


class Asking:
    """A unit to be, before its dock.

    Contract: the key is made at the first contact with a dock and stays the same; a code is shown as long as the
    request that it belongs to may be confirmed; nothing that was not checked as a whole is kept. Whatever goes wrong is
    told in one sentence, and tried again: once a nonce has left the unit after a pause that grows, whoever cut the
    exchange off, for with each one somebody may hope for a certain code.
    """

    def __init__(
        self,
        folder: UnitFolder,
        card: EnrolmentSettings,
        *,
        software: str,
        cable: Path | None,
        journal: Journal,
        tell: Callable[[Message], None],
        pace: Pace | None = None,
    ) -> None:
        self._folder = folder
        self._card = card
        self._software = software
        self._cable = cable
        self._journal = journal
        self._tell = tell
        self._pace = pace or Pace()
        self._told = ""
        self._is_nonce_out = False
        self._pause = self._pace.again

    def run(self, stop: threading.Event) -> str | None:
        """Ask until the unit is enrolled, and return its id; None where `stop` was set before."""
        while not stop.is_set():
            try:
                unit_id = self._ask(stop)
            except DockUnreachableError:
                self._tell(messages.NEW_UNIT)
                stop.wait(self._next_pause() if self._is_nonce_out else self._pace.look)
            except (MirrorcamError, OSError) as error:
                self._fail(str(error) if isinstance(error, MirrorcamError) else _refused(error))
                stop.wait(self._next_pause() if self._is_nonce_out else self._pace.again)
            else:
                if unit_id:
                    self._journal.enrolled(unit_id)
                    self._tell(messages.enrolled(unit_id))
                    stop.wait(self._pace.shown)
                return unit_id
        return None

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return pause

    def _ask(self, stop: threading.Event) -> str | None:
        self._is_nonce_out = False
        authority = self._folder.authority()
        context = context_for(self._folder, authority, is_enrolled=False)
        with EnrolmentClient(self._card.dock_url, context, self._software, self._cable) as dock:
            begun = dock.begin()
            key, nonce = own_key(self._folder), secrets.token_bytes(NONCE_BYTES)
            self._is_nonce_out = True
            revealed = dock.submit(begun.request_id, Request(csr=request_for(key), nonce=nonce))
            if commitment_to(revealed.nonce) != begun.commitment:
                raise CommitmentBrokenError
            digits = code(
                key.public_key(),
                unit_nonce=nonce,
                dock_nonce=revealed.nonce,
                dock_certificate_sha256=_shown_by(dock),
            )
            self._journal.enrolment_code(digits)
            self._told = ""
            standing = self._wait(dock, begun.request_id, in_groups(digits), stop)
            return self._take(standing, dock, authority, key) if standing else None

    def _wait(self, dock: EnrolmentClient, request_id: str, digits: str, stop: threading.Event) -> Standing | None:
        """Wait for the certificate under the code; None where `stop` was set. A dock that is gone may come back."""
        self._tell(messages.enrolment_code(digits, is_answered=True))
        ends = time.monotonic() + LONGEST_SECONDS
        while not stop.is_set():
            is_answered = True
            try:
                standing = dock.standing(request_id)
                if standing.issued:
                    return standing
            except DockUnreachableError:
                if time.monotonic() >= ends:
                    raise
                is_answered = False
            self._tell(messages.enrolment_code(digits, is_answered=is_answered))
            stop.wait(self._pace.look)
        return None

    def _take(
        self, standing: Standing, dock: EnrolmentClient, authority: Authority, key: Ed25519PrivateKey
    ) -> str | None:
        issued = standing.issued
        if issued is None:
            return None
        is_dock(dock.certificate, authority, standing.time)
        check(issued, authority, key.public_key(), standing.time)
        keep(self._folder, self._card, issued, standing.newest)
        return issued.unit_id

    def _fail(self, sentence: str) -> None:
        self._tell(messages.enrolment_trouble(sentence))
        if sentence != self._told:
            self._journal.enrolment_failed(sentence)
            self._told = sentence


def _shown_by(dock: EnrolmentClient) -> bytes:
    if dock.certificate is None:
        raise DockAnswerError("it came without a certificate")
    return hashlib.sha256(dock.certificate.public_bytes(Encoding.DER)).digest()


def _refused(error: OSError) -> str:
    return f"The storage refuses ({reason_of(error)}): have IT look at this unit."
