"""The custody log: what anyone did to a clip, each entry chained to the one before and signed by the dock."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection
from sqlalchemy.exc import NoResultFound

from dock_station import clock
from dock_station.catalogue import alarms, clips, doubts, entries
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.entries import Entry
from evidence.certificates import Authority, CertificateError, Role, holder_of
from evidence.errors import EnvironmentalError, NotGenuineError
from evidence.receipt import CustodyHead
from evidence.signature import SignatureError, Signer, verify

FORMAT = "mirrorcam/custody/1"
ACCEPTED = "clip-accepted"
HOLD_SET, HOLD_RELEASED = "hold-set", "hold-released"
DISTRUSTED = "clock-distrusted"
VOUCHED_FOR = "clock-vouched-for"
NOTHING_BEFORE = "0" * 64  # what the first entry names as its predecessor

Details = Mapping[str, str | int | bool | None]


class CustodyBrokenError(NotGenuineError):
    """The custody log is not the one that was written."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(
            f"The custody log is broken at entry {number}: {reason}; keep the catalogue as it is and call the auditor."
        )
        self.number = number
        self.reason = reason


class SignerNotValidError(EnvironmentalError):
    """An entry would be signed at a moment for which the signer's certificate does not speak."""

    def __init__(self, at: datetime, signer: x509.Certificate) -> None:
        super().__init__(
            f"By the dock's clock it is {at:%Y-%m-%d %H:%M} UTC, and its signer's certificate is good from "
            f"{signer.not_valid_before_utc:%Y-%m-%d} to {signer.not_valid_after_utc:%Y-%m-%d}: nothing can be written "
            "into the custody log; have IT set the clock right, or renew the certificate."
        )


class Custody:
    """The custody log of one dock.

    Contract: an entry is written in the same transaction as the change that it speaks of, so neither is ever there
    without the other, also after a crash at any line. Entries are numbered from 1 without a gap; each names the hash of
    the one before, and is signed. The database refuses to change or to remove one; who goes around the database is
    found by `check`, and who has the dock's key too, by the next unit that has seen a newer head (`knows`). What
    `check` would find broken for ever is not written: whatever writes an entry raises SignerNotValidError then.
    """

    def __init__(self, signer: Signer, now: Callable[[], datetime], since_boot: Callable[[], float]) -> None:
        self._signer = signer
        self._clock = now
        self._since_boot = since_boot
        certificate = x509.load_pem_x509_certificate(signer.certificate_pem)
        self._certificate = certificate
        self._holder = holder_of(certificate)
        self._dock = f"dock:{self._holder.name}"
        self._signer_sha256 = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()

    def append(
        self, connection: Connection, *, actor: str, action: str, subject: str, details: Details | None = None
    ) -> Entry:
        """Add an entry inside the caller's `Catalogue.writing()`.

        `actor` is `unit:<id>`, `person:<login>`, `shell:<system user>` or `dock`; `subject` is `clip:<id>`,
        `unit:<id>`, `person:<login>` or `dock:<id>`. `details` must hold no name of a person and no secret. If the
        wall clock does not fit the entry before, the alarm about it is raised as well.
        """
        self.watch_clock(connection)
        return self._write(connection, actor, action, subject, details or {})

    def watch_clock(self, connection: Connection) -> None:
        """Raise the alarm about the clock if it does not fit the newest entry."""
        newest = entries.newest(connection)
        reason = clock.disagreement(newest.at, self._clock()) if newest else None
        if reason:
            self.distrust_clock(connection, reason)

    def distrust_clock(self, connection: Connection, reason: str) -> None:
        """Raise the alarm that the clock cannot be believed: nothing is deleted until a person vouches for it."""
        sentence = f"The dock's clock cannot be believed, {reason}: nothing is deleted until someone vouches for it."
        if alarms.raise_alarm(
            connection, kind=alarms.CLOCK_JUMPED, subject=self._dock, sentence=sentence, at=self._clock()
        ):
            details: Details = {"reason": reason, "up_seconds": int(self._since_boot())}
            self._write(connection, "dock", DISTRUSTED, self._dock, details)

    def vouch_for_clock(self, connection: Connection, *, actor: str, reason: str) -> bool:
        """Let a person end the alarm about the clock, which is right now; False where there was none.

        Of a clip that came in meanwhile nobody knows when that was: it is kept as if it had been recorded only now,
        so that none goes early. Nor is it known since when the clock had been wrong that then jumped, as one does that
        stood still while the machine was off: what came in since the machine's start is kept longer by all that has
        passed since, by the clock that is right now.
        """
        alarm = alarms.find_open(connection, alarms.CLOCK_JUMPED, self._dock)
        if alarm is None:
            return False
        now = self._clock()
        alarms.clear(connection, alarm.alarm_id, cleared_by=actor, at=now)
        starts = self._later_starts(connection, now)
        for clip, start in starts:
            doubts.keep_from(connection, clip, start)
        self._write(connection, actor, VOUCHED_FOR, self._dock, {"reason": reason, "clips": len(starts)})
        return True

    def vouched_for_at(self, connection: Connection) -> datetime | None:
        """Return when a person last vouched for the clock: what a unit was told before may be wrong."""
        newest = doubts.newest(connection, VOUCHED_FOR, self._dock)
        return newest.at if newest else None

    def _later_starts(self, connection: Connection, now: datetime) -> list[tuple[Clip, datetime]]:
        """Return the clips that may have come later than the clock said, each with the latest moment of that."""
        doubt = doubts.newest(connection, DISTRUSTED, self._dock)
        if doubt is None:
            return []
        starts = [(clip, now) for clip in doubts.clips_received_since(connection, doubt.number)]
        before = entries.at_number(connection, doubt.number - 1)
        if before and now - before.at > clock.TOLERANCE:
            up = timedelta(seconds=json.loads(doubt.details).get("up_seconds", 0))
            received = doubts.clips_received_between(connection, before.at - up, doubt.number)
            starts += [(clip, min(clip.retained_from + (now - before.at), now)) for clip in received]
        return starts

    def clock_is_trusted(self, connection: Connection) -> bool:
        """Say whether no alarm about the clock is open."""
        return alarms.find_open(connection, alarms.CLOCK_JUMPED, self._dock) is None

    def _write(self, connection: Connection, actor: str, action: str, subject: str, details: Details) -> Entry:
        newest = entries.newest(connection)
        at = self._clock().astimezone(UTC)
        if not _is_valid(self._certificate, at):
            raise SignerNotValidError(at, self._certificate)
        number = newest.number + 1 if newest else 1
        previous = newest.sha256 if newest else NOTHING_BEFORE
        text = canonical(details)
        content = form(
            number=number, at=at, actor=actor, action=action, subject=subject, details=text, previous_sha256=previous
        )
        entry = Entry(
            number=number,
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            details=text,
            previous_sha256=previous,
            sha256=hashlib.sha256(content).hexdigest(),
            signature=self._signer.sign(content),
            signer_sha256=self._signer_sha256,
        )
        clips.keep_certificate(
            connection,
            sha256=self._signer_sha256,
            holder=self._holder.uri,
            pem=self._signer.certificate_pem.decode("ascii"),
        )
        entries.add(connection, entry)
        return entry


def head(connection: Connection) -> CustodyHead | None:
    """Return the log's head, or None while it is empty."""
    newest = entries.newest(connection)
    return head_of(newest) if newest else None


def head_of(entry: Entry) -> CustodyHead:
    """Return the head of a log whose newest entry is `entry`."""
    return CustodyHead(entries=entry.number, sha256=entry.sha256)


def knows(connection: Connection, seen: CustodyHead) -> bool:
    """Say whether a head that a unit has seen is part of this log; if not, the log was rewritten or set back."""
    entry = entries.at_number(connection, seen.entries)
    return entry is not None and entry.sha256 == seen.sha256


def holds_clip(connection: Connection, clip_id: str) -> bool:
    """Say whether the log has more holds of the clip than releases: the catalogue's own row anybody could change."""
    said = [entry.action for entry in entries.of_subject(connection, f"clip:{clip_id}")]
    return said.count(HOLD_SET) > said.count(HOLD_RELEASED)


def check(connection: Connection, authority: Authority, dock_id: str) -> CustodyHead | None:
    """Check the whole log, and return its head (None: it is empty); raises CustodyBrokenError as `checked` does."""
    newest: Entry | None = None
    for entry in checked(connection, authority, dock_id):
        newest = entry
    return head_of(newest) if newest else None


def checked(connection: Connection, authority: Authority, dock_id: str) -> Iterator[Entry]:
    """Compute the whole chain anew, check every signature, and yield each entry that is good, in order.

    `authority` comes without a list of revoked certificates: what a signer signed before it was revoked stays signed.
    Every signer must be one of the dock `dock_id`. Raises CustodyBrokenError that names the first bad entry.
    """
    signers: dict[str, x509.Certificate] = {}
    previous = NOTHING_BEFORE
    for number, entry in enumerate(_readable(connection), start=1):
        _check_place(entry, number, previous)
        content = _content(entry)
        if entry.signer_sha256 not in signers:
            signers[entry.signer_sha256] = _signer(connection, entry, authority, dock_id)
        _check_signature(entry, content, signers[entry.signer_sha256])
        previous = entry.sha256
        yield entry


def said_when_accepted(connection: Connection, clip_id: str, authority: Authority, dock_id: str) -> dict[str, object]:
    """Return the details of the entry with which a clip came, its hash and signature checked.

    Whether the entry is in its place, only `check` says. Raises CustodyBrokenError, also where there is none.
    """
    entry = next((e for e in entries.of_subject(connection, f"clip:{clip_id}") if e.action == ACCEPTED), None)
    if entry is None:
        raise CustodyBrokenError(entries.count(connection), f"no entry before it says how clip {clip_id} came")
    content = _content(entry)
    _check_signature(entry, content, _signer(connection, entry, authority, dock_id))
    return dict(json.loads(entry.details))


def _readable(connection: Connection) -> Iterator[Entry]:
    """Yield the log in order; a row that holds no entry at all fails a whole batch, and is then looked for alone."""
    number = 0
    try:
        for entry in entries.all_in_order(connection):
            number = entry.number
            yield entry
    except (TypeError, ValueError) as error:
        raise CustodyBrokenError(_first_unreadable(connection, number + 1), "it is no entry") from error


def _first_unreadable(connection: Connection, number: int) -> int:
    try:
        while entries.at_number(connection, number):
            number += 1
    except (TypeError, ValueError):
        pass
    return number


def form(
    *, number: int, at: datetime, actor: str, action: str, subject: str, details: str, previous_sha256: str
) -> bytes:
    r"""Return the bytes of an entry that are hashed and signed: eight lines of UTF-8, each ended by \n.

    They are the format's name, the number, the moment in UTC with six digits after the second, actor, action, subject,
    details as canonical JSON, and the hash of the entry before. Raises ValueError where a field would break its line.
    """
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lines = (FORMAT, str(number), moment, actor, action, subject, details, previous_sha256)
    if any(not line or not line.isprintable() for line in lines):
        raise ValueError("a custody entry's field is empty or holds a character that is not printable")
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def form_of(entry: Entry) -> bytes:
    """Return the bytes of a stored entry that its hash and signature must fit."""
    return form(
        number=entry.number,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        details=entry.details,
        previous_sha256=entry.previous_sha256,
    )


def canonical(details: Details) -> str:
    """Return `details` as JSON with sorted names, no white space, and all but printable ASCII escaped."""
    return json.dumps(dict(details), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _check_place(entry: Entry, number: int, previous: str) -> None:
    if entry.number != number:
        raise CustodyBrokenError(number, "it is missing")
    if entry.previous_sha256 != previous:
        raise CustodyBrokenError(number, "it does not follow the entry before it")


def _content(entry: Entry) -> bytes:
    try:
        content = form_of(entry)
    except ValueError as error:
        raise CustodyBrokenError(entry.number, "its content was changed") from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise CustodyBrokenError(entry.number, "its content was changed")
    return content


def _signer(connection: Connection, entry: Entry, authority: Authority, dock_id: str) -> x509.Certificate:
    """Return the certificate of the entry's signer, which the authority has issued to this dock for signing."""
    try:
        pem = clips.certificate(connection, entry.signer_sha256)
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
        holder = authority.check(certificate, Role.DOCK_SIGNER, entry.at)
    except (NoResultFound, ValueError) as error:
        raise CustodyBrokenError(entry.number, "the certificate of its signer is lost") from error
    except CertificateError as error:
        raise CustodyBrokenError(entry.number, "its signer is not a dock of this authority") from error
    if holder.name != dock_id:
        raise CustodyBrokenError(entry.number, f"its signer is dock {holder.name}")
    if hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest() != entry.signer_sha256:
        raise CustodyBrokenError(entry.number, "the certificate of its signer was changed")
    return certificate


def _is_valid(signer: x509.Certificate, at: datetime) -> bool:
    return signer.not_valid_before_utc <= at <= signer.not_valid_after_utc


def _check_signature(entry: Entry, content: bytes, signer: x509.Certificate) -> None:
    if not _is_valid(signer, entry.at):
        raise CustodyBrokenError(entry.number, "its signer's certificate was not valid then")
    try:
        verify(content, entry.signature, signer, "custody entry")
    except SignatureError as error:
        raise CustodyBrokenError(entry.number, "its signature is not the dock's") from error
