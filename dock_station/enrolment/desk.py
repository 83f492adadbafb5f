"""The desk where units to be are enrolled: requests come in, a person confirms one, a certificate goes out."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from dock_station.catalogue import chains, enrolments, units
from dock_station.catalogue.enrolments import Enrolment
from dock_station.dock import Dock
from dock_station.enrolment.naming import next_id
from evidence.certificates import Role
from evidence.enrolment import (
    NONCE_BYTES,
    Begun,
    Confirmed,
    Issued,
    NotARequestError,
    Request,
    Revealed,
    Standing,
    code,
    commitment_to,
    key_sha256,
    requested_key,
)
from evidence.enrolment_files import EnrolmentFiles
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.strict import in_utc

log = structlog.get_logger()

# What a typed code is worth depends on these; evidence.enrolment.code says how.
MAX_OPEN = 16  # requests at a time, more than a dock has bays
WAITS_FOR = timedelta(minutes=15)
BEGUN_FOR = timedelta(minutes=1)  # a unit sends its request at once
WRONG_CODES = 3
REMEMBERED_FOR = timedelta(hours=1)  # so long a unit hears what became of its request


class EnrolmentClosedError(EnvironmentalError):
    """IT has not opened enrolment."""

    def __init__(self) -> None:
        super().__init__("Enrolment is not open: have IT run 'mirrorcam-provision unit enrol' with this dock's folder.")


class EnrolmentFullError(MirrorcamError):
    """As many requests wait as may."""

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_OPEN} requests wait at this dock already: confirm some, or wait {minutes(WAITS_FOR)} until they end."
        )


class RequestUnknownError(MirrorcamError):
    """There is no such request, or its time is over."""

    def __init__(self) -> None:
        super().__init__(
            f"Nobody confirmed the request within {minutes(WAITS_FOR)}, or the dock does not know it: "
            "the unit asks anew."
        )


class RequestChangedError(MirrorcamError):
    """A request was sent once more, with another content."""

    def __init__(self) -> None:
        super().__init__("The request was made already, with another key or nonce: the unit must begin a new one.")


class RequestDroppedError(MirrorcamError):
    """The request was dropped."""

    def __init__(self) -> None:
        super().__init__(
            f"The dock dropped the request: {WRONG_CODES} wrong codes were typed, or the unit asked once more. "
            "The unit asks anew and shows a new code."
        )


class DeclinedError(MirrorcamError):
    """The authority does not issue the certificate that a person has confirmed."""


class CodeWrongError(MirrorcamError):
    """The code that was typed is no request's."""

    def __init__(self, dropped: int) -> None:
        ending = (
            f" It was wrong {WRONG_CODES} times: {dropped} of the requests are dropped, and the units show new codes."
            if dropped
            else " Look at the unit's screen again."
        )
        super().__init__(f"No unit that waits here shows this code.{ending}")


class CodeSharedError(MirrorcamError):
    """Two requests have one code."""

    def __init__(self) -> None:
        super().__init__("Two requests have this code, so both are dropped: type the new code that the unit shows.")


class UnitIdTakenError(MirrorcamError):
    """The id belongs to another unit."""

    def __init__(self, unit_id: str) -> None:
        super().__init__(
            f"There is a unit '{unit_id}' already: choose another id, or have its certificate issued anew with "
            "'mirrorcam-provision unit reissue' first."
        )


class CertificateUnfitError(EnvironmentalError):
    """What the authority has answered cannot be handed over."""

    def __init__(self, unit_id: str, reason: str) -> None:
        super().__init__(
            f"The certificate that came for '{unit_id}' is refused here ({reason}): have IT look at the clocks and the "
            "authority of this dock."
        )


@dataclass(frozen=True)
class Waiting:
    """A request that waits, as it is shown: where it came from, and since when."""

    bay: str | None
    since: datetime
    wrong_codes: int


def minutes(span: timedelta) -> str:
    """Return a span of whole minutes in words."""
    return f"{int(span.total_seconds()) // 60} minutes"


class Desk:
    """Where requests are kept.

    Contract: once the dock has shown its nonce, neither key nor nonce of a request can change. A certificate goes out
    for a key that a person has confirmed by its code, and for no other; the same key gets the same one again, so a unit
    that lost power in between needs no second word. A word is good for one certificate: once that was handed over, none
    is asked of the authority by it, whatever has become of the files. What was confirmed and is not answered yet is
    asked of the authority again after a crash at any line.
    """

    def __init__(self, dock: Dock) -> None:
        self._dock = dock
        self._files: EnrolmentFiles = dock.folder.enrolment

    def begin(self, bay: str | None) -> Begun:
        """Begin a request; raises EnrolmentClosedError or EnrolmentFullError."""
        if not self._files.is_open():
            raise EnrolmentClosedError
        now, request_id, nonce = self._dock.clock(), secrets.token_hex(16), secrets.token_bytes(NONCE_BYTES)
        shown = self._dock.folder.tls_certificate()
        with self._dock.catalogue.writing() as connection:
            enrolments.forget_before(connection, now - REMEMBERED_FOR)
            if enrolments.count_tries(connection, now, WRONG_CODES) >= MAX_OPEN:
                raise EnrolmentFullError
            enrolments.begin(
                connection,
                request_id=request_id,
                expires_at=now + BEGUN_FOR,
                dock_nonce=nonce,
                certificate_sha256=sha256(shown.public_bytes(Encoding.DER)).digest(),
                bay=bay,
            )
        return Begun(request_id=request_id, commitment=commitment_to(nonce))

    def submit(self, request_id: str, wanted: Request) -> Revealed:
        """Take what a unit asks for, and show the nonce.

        Raises NotARequestError, RequestUnknownError, RequestChangedError or RequestDroppedError.
        """
        key = key_sha256(requested_key(wanted.csr))
        with self._dock.catalogue.writing() as connection:
            known = self._found(connection, request_id)
            if known.csr is not None:
                if (known.csr, known.unit_nonce) != (wanted.csr, wanted.nonce):
                    raise RequestChangedError
                return Revealed(nonce=known.dock_nonce)
            now = self._dock.clock()
            enrolments.request(
                connection,
                request_id,
                csr=wanted.csr,
                unit_nonce=wanted.nonce,
                key_sha256=key,
                at=now,
                expires_at=now + WAITS_FOR,
            )
            before = enrolments.confirmed_key(connection, key)
            if before and before.unit_id and before.confirmed_by and self._is_still_good(connection, before):
                enrolments.confirm(connection, request_id, unit_id=before.unit_id, by=before.confirmed_by, at=now)
            elif before:
                enrolments.drop_confirmed(connection, key, now)  # somebody's word for it does not count any more
        log.info("enrolment_requested", bay=known.bay)
        return Revealed(nonce=known.dock_nonce)

    def standing(self, request_id: str) -> Standing:
        """Say how a request stands, and hand the certificate over once it is there.

        Raises RequestUnknownError, RequestDroppedError, DeclinedError, CertificateUnfitError or SchemaError.
        """
        with self._dock.catalogue.reading() as connection:
            known = self._found(connection, request_id)
        now = self._dock.clock()
        if known.confirmed_at is None or known.key_sha256 is None or known.unit_id is None:
            return Standing(time=in_utc(now))
        answer = self._files.answer_of(known.key_sha256)
        if answer is None and known.enrolled_at:  # the files are not those of then: the dock was restored, say
            raise RequestUnknownError
        if answer is None:
            self._ask(known)
            return Standing(time=in_utc(now))
        if answer.issued is None:
            self._decline(known, now)
            raise DeclinedError(answer.refusal or "The authority declined, and gave no reason: have IT look at it.")
        return self._hand_over(known, known.unit_id, answer.issued, now)

    def waiting(self) -> list[Waiting]:
        """Return the requests that wait for somebody's word."""
        with self._dock.catalogue.reading() as connection:
            found = enrolments.waiting(connection, self._dock.clock())
        return [Waiting(each.bay, each.requested_at, each.wrong_codes) for each in found if each.requested_at]

    def proposed_id(self) -> str:
        """Return the next free id; raises SchemaError."""
        with self._dock.catalogue.reading() as connection:
            taken = {unit.unit_id for unit in units.everyone(connection)}
            taken |= {each.unit_id for each in enrolments.unissued(connection) if each.unit_id}
        return next_id(taken | set(self._files.register().enrolled))

    def confirm(self, digits: str, unit_id: str, *, actor: str) -> None:
        """Let the request whose unit shows these digits become a unit of this id.

        A wrong code counts against each request that waits: any of them may be the one that was guessed at. Raises
        EnrolmentClosedError, UnitIdTakenError, CodeWrongError or CodeSharedError.
        """
        if not self._files.is_open():
            raise EnrolmentClosedError
        with self._dock.catalogue.writing() as connection:
            now = self._dock.clock()
            found = [each for each in enrolments.waiting(connection, now) if _code_of(each) == digits]
            refusal: MirrorcamError | None = None
            if len(found) == 1 and self._is_taken(connection, unit_id, found[0]):
                refusal = UnitIdTakenError(unit_id)
            elif len(found) == 1:
                self._confirm(connection, found[0], unit_id, actor, now)
            elif found:
                for each in found:
                    self._drop(connection, each, actor, now)
                refusal = CodeSharedError()
            else:
                refusal = CodeWrongError(self._count_wrong(connection, actor, now))
        if refusal:
            raise refusal
        with self._dock.catalogue.reading() as connection:
            confirmed = enrolments.find(connection, found[0].request_id)
        if confirmed:
            self._ask(confirmed)

    def _confirm(self, connection: Connection, known: Enrolment, unit_id: str, actor: str, now: datetime) -> None:
        self._files.forget(known.key_sha256 or "")  # what was answered about this key before is revoked
        enrolments.confirm(connection, known.request_id, unit_id=unit_id, by=actor, at=now)
        details = {"key_sha256": known.key_sha256, "bay": known.bay}
        self._dock.custody.append(
            connection, actor=actor, action="unit-confirmed", subject=f"unit:{unit_id}", details=details
        )

    def _count_wrong(self, connection: Connection, actor: str, now: datetime) -> int:
        enrolments.count_wrong(connection, now)
        over = [each for each in enrolments.waiting(connection, now) if each.wrong_codes >= WRONG_CODES]
        for each in over:
            self._drop(connection, each, actor, now)
        return len(over)

    def _drop(self, connection: Connection, known: Enrolment, actor: str, now: datetime) -> None:
        enrolments.drop(connection, known.request_id, now)
        self._dock.custody.append(
            connection,
            actor=actor,
            action="enrolment-dropped",
            subject=f"dock:{self._dock.settings.dock_id}",
            details={"key_sha256": known.key_sha256, "bay": known.bay},
        )

    def _is_taken(self, connection: Connection, unit_id: str, wanting: Enrolment) -> bool:
        register = self._files.register()
        if unit_id in register.enrolled and unit_id not in register.to_reissue:
            return True
        return any(
            each.unit_id == unit_id and each.key_sha256 != wanting.key_sha256
            for each in enrolments.unissued(connection)
        )

    def _is_still_good(self, connection: Connection, before: Enrolment) -> bool:
        """Tell whether a person's word for a key still counts: its certificate is to come, or is not revoked."""
        key = before.key_sha256 or ""
        answer = self._files.answer_of(key)
        if answer is None:
            return not enrolments.was_enrolled(connection, key)
        if answer.issued is None:
            return False
        try:
            certificate = x509.load_pem_x509_certificate(answer.issued.certificate)
            self._dock.authority().check(certificate, Role.UNIT, self._dock.clock())
        except (MirrorcamError, ValueError):
            return False
        return True

    def _ask(self, known: Enrolment) -> None:
        if known.key_sha256 and known.unit_id and known.csr and known.confirmed_at:
            if self._files.is_asked(known.key_sha256):
                return
            confirmed = Confirmed(unit_id=known.unit_id, csr=known.csr, confirmed_at=in_utc(known.confirmed_at))
            self._files.ask(known.key_sha256, confirmed)

    def _decline(self, known: Enrolment, now: datetime) -> None:
        with self._dock.catalogue.writing() as connection:
            enrolments.drop(connection, known.request_id, now)
        self._files.forget(known.key_sha256 or "")

    def _hand_over(self, known: Enrolment, unit_id: str, issued: Issued, now: datetime) -> Standing:
        certificate = self._checked(known, unit_id, issued, now)
        with self._dock.catalogue.writing() as connection:
            if known.enrolled_at is None:
                enrolments.enrolled(connection, known.request_id, now)
                units.seen(connection, unit_id, now)
                units.certified(connection, unit_id, certificate)
                self._dock.custody.append(
                    connection,
                    actor="dock",
                    action="unit-enrolled",
                    subject=f"unit:{unit_id}",
                    details={"serial": f"{certificate.serial_number:x}", "key_sha256": known.key_sha256},
                )
                log.info("unit_enrolled", unit_id=unit_id)
            newest = chains.newest(connection, unit_id)
        return Standing(time=in_utc(now), issued=issued, newest=newest)

    def _checked(self, known: Enrolment, unit_id: str, issued: Issued, now: datetime) -> x509.Certificate:
        """Return the certificate that came, if it is the authority's, for this unit and this key."""
        try:
            certificate = x509.load_pem_x509_certificate(issued.certificate)
            holder = self._dock.authority().check(certificate, Role.UNIT, now)
            is_its = requested_key(known.csr or b"") == certificate.public_key() and holder.name == unit_id
        except (ValueError, MirrorcamError) as error:
            raise CertificateUnfitError(unit_id, str(error).removesuffix(".")) from error
        if not is_its:
            raise CertificateUnfitError(unit_id, "it is for another unit or key")
        return certificate

    def _found(self, connection: Connection, request_id: str) -> Enrolment:
        known = enrolments.find(connection, request_id)
        if known is None or (known.confirmed_at is None and known.expires_at <= self._dock.clock()):
            raise RequestUnknownError
        if known.dropped_at:
            raise RequestDroppedError
        return known


def _code_of(known: Enrolment) -> str | None:
    if known.csr is None or known.unit_nonce is None:
        return None
    try:
        public_key = requested_key(known.csr)
    except NotARequestError:
        return None
    return code(
        public_key,
        unit_nonce=known.unit_nonce,
        dock_nonce=known.dock_nonce,
        dock_certificate_sha256=known.certificate_sha256,
    )
