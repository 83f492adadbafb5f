"""A dock whose enrolment a test opens and closes, its authority, and new units that say what a test wants them to."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.enrolment.own_key import request_for
from dock_station.catalogue import entries
from dock_station.clock import utc_now
from dock_station.dock import Dock
from dock_station.enrolment.desk import Desk
from evidence.enrolment import (
    NONCE_BYTES,
    Answer,
    Begun,
    Issued,
    Register,
    Request,
    Revealed,
    code,
    commitment_to,
    key_sha256,
    requested_key,
)
from evidence.enrolment_files import EnrolmentFiles
from evidence.policy import read_signed
from tests.dock import set_up
from tests.pki import Pki

BAYS = "https://localhost:8444"


@dataclass
class Newcomer:
    """A new unit: its key, and what it has said and heard in its newest exchange."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    nonce: bytes = b""
    begun: Begun | None = None
    revealed: Revealed | None = None

    @property
    def request_id(self) -> str:
        assert self.begun
        return self.begun.request_id

    @property
    def key_sha256(self) -> str:
        return key_sha256(self.key.public_key())

    def request(self) -> Request:
        return Request(csr=request_for(self.key), nonce=self.nonce)

    def ask(self, desk: Desk, bay: str | None = None) -> "Newcomer":
        """Ask to be enrolled."""
        self.nonce = secrets.token_bytes(NONCE_BYTES)
        self.begun = desk.begin(bay)
        self.revealed = desk.submit(self.request_id, self.request())
        assert commitment_to(self.revealed.nonce) == self.begun.commitment
        return self

    def code(self, dock: Dock) -> str:
        """Return what its screen shows."""
        assert self.revealed
        shown = dock.folder.tls_certificate().public_bytes(Encoding.DER)
        return code(
            self.key.public_key(),
            unit_nonce=self.nonce,
            dock_nonce=self.revealed.nonce,
            dock_certificate_sha256=sha256(shown).digest(),
        )


@dataclass
class Hall:
    """A dock, open for enrolment as long as `opened` is entered, and its authority in the test's hands."""

    dock: Dock
    pki: Pki
    passed: list[timedelta]

    def __post_init__(self) -> None:
        self.desk = Desk(self.dock)
        self.files.prepare()

    @property
    def files(self) -> EnrolmentFiles:
        return self.dock.folder.enrolment

    def issue(
        self,
        *,
        unit_id: str | None = None,
        pki: Pki | None = None,
        key: Ed25519PrivateKey | None = None,
        valid_from: datetime | None = None,
    ) -> list[x509.Certificate]:
        """Answer what is asked, as the authority does or otherwise, and return the certificates."""
        issued = []
        for name in self.files.unanswered():
            asked = self.files.asked(name)
            public_key = key.public_key() if key else requested_key(asked.csr)
            named = unit_id or asked.unit_id
            certificate = (pki or self.pki).unit_for(named, public_key, valid_from=valid_from)
            issued.append(certificate)
            self.files.answer(name, Answer(issued=self.issued(asked.unit_id, certificate)))
        return issued

    def issued(self, unit_id: str, certificate: x509.Certificate) -> Issued:
        return Issued(
            unit_id=unit_id,
            dock_url=BAYS,
            certificate=certificate.public_bytes(Encoding.PEM),
            revocations=self.pki.revocations_pem(),
            policy=read_signed(self.dock.folder.policy_file),
        )

    def decline(self, sentence: str) -> None:
        for name in self.files.unanswered():
            self.files.answer(name, Answer(refusal=sentence))

    def revoke(self, certificate: x509.Certificate) -> None:
        self.pki.revoke(certificate)
        self.dock.folder.revocations_file.write_bytes(self.pki.revocations_pem())

    def register(self, *enrolled: str, to_reissue: tuple[str, ...] = ()) -> None:
        self.files.keep_register(Register(enrolled=enrolled, to_reissue=to_reissue))

    def deeds(self) -> list[tuple[str, str, str]]:
        with self.dock.catalogue.reading() as connection:
            return [(entry.actor, entry.action, entry.subject) for entry in entries.all_in_order(connection)]


@contextmanager
def hall(path: Path, ahead: timedelta = timedelta()) -> Iterator[Hall]:
    """Set a town up whose every clock is `ahead` of this computer's, its dock under `path`; and open its catalogue."""
    pki, passed = Pki(now=utc_now().replace(microsecond=0) + ahead), [ahead]
    folder = set_up(path / "dock", pki, settings="vault_reserve_bytes = 0\nenrolment_port = 0\n")
    with closing(Dock.open(folder, lambda: utc_now() + passed[0])) as dock:
        yield Hall(dock, pki, passed)


@contextmanager
def answering(hall: Hall) -> Iterator[None]:
    """Be the authority as long as the block runs."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            hall.issue()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
