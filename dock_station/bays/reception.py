"""What happens when a unit is put on the dock: it says how it is, and gets the time, its wearer and the policy."""

from datetime import datetime

import structlog
from cryptography import x509
from sqlalchemy import Connection

from dock_station import custody
from dock_station.catalogue import alarms, units
from dock_station.dock import Dock
from evidence.certificates import Holder
from evidence.docking import Greeting, Welcome
from evidence.errors import EnvironmentalError, MirrorcamError, NotGenuineError
from evidence.policy import SignedPolicy
from evidence.receipt import CustodyHead
from evidence.signature import Signed
from evidence.strict import write_json

log = structlog.get_logger()


class ForeignError(NotGenuineError):
    """Something speaks of another unit, or of another clip, than the one it comes with."""

    def __init__(self, what: str, stated: str, expected: str) -> None:
        super().__init__(
            f"The {what} speaks of {stated} but came from {expected}; it is refused: have IT look at this unit."
        )


class PolicyUnusableError(EnvironmentalError):
    """The dock's own policy is broken: nothing that a unit could help, and no reason to refuse its clips for good."""

    def __init__(self, error: MirrorcamError) -> None:
        reason = str(error).removesuffix(".")
        super().__init__(f"The dock cannot use its policy ({reason}); have IT put one in place that is signed.")


def policy_in_force(dock: Dock) -> SignedPolicy:
    """Return the policy in force; raises PolicyUnusableError."""
    try:
        return dock.policy()
    except MirrorcamError as error:
        raise PolicyUnusableError(error) from error


class Reception:
    """Where units are greeted.

    Contract: a unit is greeted whatever its clips are like. If it has seen another custody log than the dock's, an
    alarm is raised at the dock and the unit is served all the same: its clips are safer here than on the street. While
    the dock's clock is in doubt the unit is told so, for it must not learn a time that may be wrong.
    """

    def __init__(self, dock: Dock) -> None:
        self._dock = dock

    def greet(self, unit: Holder, greeting: Greeting, certificate: x509.Certificate) -> Signed:
        """Note what a unit says of itself and by which certificate it came, and return the signed Welcome.

        Raises ForeignError or PolicyUnusableError.
        """
        if greeting.unit_id != unit.name:
            raise ForeignError("greeting", f"unit {greeting.unit_id}", f"unit {unit.name}")
        policy = policy_in_force(self._dock)
        now = self._dock.clock()
        with self._dock.catalogue.writing() as connection:
            known = units.greeted(connection, greeting, now)
            units.certified(connection, unit.name, certificate)
            self._dock.custody.watch_clock(connection)
            time_is_trusted = self._dock.custody.clock_is_trusted(connection)
            for seen in greeting.seen_heads:
                if seen.dock_id == self._dock.settings.dock_id and not custody.knows(connection, seen.head):
                    self._raise_rewritten(connection, unit.name, seen.head, now)
        log.info("unit_greeted", unit_id=unit.name, clips_waiting=greeting.clips_waiting)
        welcome = Welcome(
            dock_id=self._dock.settings.dock_id,
            unit_id=unit.name,
            time=now,
            time_is_trusted=time_is_trusted,
            wearer=known.wearer,
            policy=policy.document.content,
            policy_signature=policy.document.signature,
            policy_certificate=policy.document.certificate,
            revocations=self._dock.folder.revocations_file.read_bytes(),
        )
        return self._dock.signer.signed(write_json(welcome))

    def _raise_rewritten(self, connection: Connection, unit_id: str, seen: CustodyHead, now: datetime) -> None:
        dock = f"dock:{self._dock.settings.dock_id}"
        sentence = (
            f"Unit {unit_id} has seen entry {seen.entries} of this custody log otherwise than it stands there now: the "
            "log was rewritten, or this dock was set back to a backup; call the auditor."
        )
        log.error("custody_rewritten", unit_id=unit_id, entries=seen.entries)
        if alarms.raise_alarm(connection, kind=alarms.CUSTODY_REWRITTEN, subject=dock, sentence=sentence, at=now):
            self._dock.custody.append(
                connection,
                actor=f"unit:{unit_id}",
                action="custody-head-disagrees",
                subject=dock,
                details={"entries": seen.entries, "sha256": seen.sha256},
            )
