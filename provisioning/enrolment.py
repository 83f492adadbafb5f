"""Enrolment at the first docking, at the authority's end: it keeps the dock's door open and signs the confirmed."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from dock_station.settings import DockFolder, DockSettings
from evidence.certificates import Role
from evidence.enrolment import Answer, Confirmed, Issued, Register, requested_key
from evidence.enrolment_files import EnrolmentFiles
from evidence.errors import MirrorcamError
from provisioning.authority import AuthorityFolder
from provisioning.dock import BAYS_ADDRESS, check_own_dock, update_dock
from provisioning.issuing import Issuer, pem
from provisioning.placing import FolderInUseError, SetUp, exclusively
from provisioning.policies import policy_in_force
from provisioning.units import Enrolment, certify_unit, enrolled_units, waits_for_reissue

LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Signed:
    """One request that was answered: with a certificate, or with the sentence that says why not."""

    unit_id: str
    refusal: str | None


def bays_url(settings: DockSettings) -> str:
    """Return where units find a dock's bays: at the address that all docks have there, else by its first name."""
    everywhere = settings.bays_address in {"::", BAYS_ADDRESS}
    host = BAYS_ADDRESS if everywhere else settings.host_names[0]
    return f"https://{f'[{host}]' if ':' in host else host}:{settings.bays_port}"


class SigningDesk:
    """What signs for one dock, as long as it runs.

    Contract: it signs what stands in the dock's folder as confirmed, and nothing else; an id goes to another key only
    if its certificate was revoked to be issued anew. A request is answered once, and the authority's copy of the
    certificate is durable before the answer is: cut anywhere, the next run gives the same certificate.
    """

    def __init__(
        self, authority: AuthorityFolder, dock: DockFolder, dock_url: str | None, now: Callable[[], datetime]
    ) -> None:
        """Read the authority's key, once.

        Raises NotADockError, OtherAuthorityError, NoAuthorityError, NotAnAuthorityError, KeyFileError or SettingsError.
        """
        check_own_dock(dock, authority)
        self._authority = authority
        self._issuer: Issuer = authority.issuer()
        self._dock = dock
        self._files: EnrolmentFiles = dock.enrolment
        self._dock_url = dock_url or bays_url(dock.settings())
        self._now = now

    def run(self, stop: threading.Event, opened: Callable[[], None]) -> Iterator[Signed]:
        """Keep enrolment open until `stop` is set, and yield each request that was answered.

        Raises CertificateError for a dock whose certificate is over, EnrolmentOpenError or OSError.
        """
        self._check_dock()
        update_dock(self._dock, self._authority, self._now())
        self._files.prepare()
        self._files.keep_register(self._register())
        with self._files.opened():
            opened()
            while not stop.is_set():
                yield from self._answer_all()
                stop.wait(LOOK_SECONDS)

    def _answer_all(self) -> Iterator[Signed]:
        update_dock(self._dock, self._authority, self._now())  # whoever is revoked meanwhile stays out at once
        for key in self._files.unanswered():
            try:
                done = self._answer(key)
            except FolderInUseError:
                continue  # another command works in the authority's folder: its turn comes
            yield done
        self._files.keep_register(self._register())

    def _answer(self, key: str) -> Signed:
        unit_id = "?"
        try:
            confirmed = self._files.asked(key)
            unit_id = confirmed.unit_id
            answer = Answer(issued=self._issue(confirmed))
        except FolderInUseError:
            raise
        except MirrorcamError as error:
            answer = Answer(refusal=str(error))
        self._files.answer(key, answer)
        return Signed(unit_id, answer.refusal)

    def _issue(self, confirmed: Confirmed) -> Issued:
        at = self._now()
        enrolment = Enrolment(confirmed.unit_id, requested_key(confirmed.csr))
        with exclusively(self._authority.path):
            certificate = certify_unit(SetUp(), self._authority, self._issuer, enrolment, at)
        return Issued(
            unit_id=confirmed.unit_id,
            dock_url=self._dock_url,
            certificate=pem(certificate),
            revocations=self._authority.revocations_file.read_bytes(),
            policy=policy_in_force(self._authority, at).document,
        )

    def _register(self) -> Register:
        known = enrolled_units(self._authority)
        return Register(
            enrolled=tuple(each.unit_id for each in known),
            to_reissue=tuple(each.unit_id for each in known if waits_for_reissue(self._authority, each)),
        )

    def _check_dock(self) -> None:
        certificate = self._dock.tls_certificate()
        self._authority.authority().check(certificate, Role.DOCK, self._now())
