"""A unit's own settings and the files of its enrolment, as one folder holds them."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509

from evidence.certificates import Authority, CertificateFileError, load_certificate
from evidence.durable import sync_folder, write_durably
from evidence.enrolment import DockUrl
from evidence.errors import EnvironmentalError, reason_of
from evidence.identifiers import NEW_UNIT, UnitId
from evidence.policy import SignedPolicy, check_not_older, open_signed, read_signed
from evidence.signature import Signed, Signer
from evidence.strict import SchemaError, read_json, read_settings, write_json

_MACHINE_ID = Path("/etc/machine-id")


# As on the command line: libavdevice's system, and the device by its name there. Nothing in it ends a word of TOML.
_Microphone = Annotated[str, msgspec.Meta(pattern=r"^((alsa|pulse):[A-Za-z0-9_:,.=-]{1,100})?$")]


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What differs between boards: camera, microphone, screen and storage."""

    video_width: Annotated[int, msgspec.Meta(ge=160, le=3840, multiple_of=2)] = 1280
    video_height: Annotated[int, msgspec.Meta(ge=120, le=2160, multiple_of=2)] = 720
    video_bits_per_second: Annotated[int, msgspec.Meta(ge=200_000, le=50_000_000)] = 8_000_000
    frames_per_second: Annotated[int, msgspec.Meta(ge=5, le=60)] = 30
    microphone: _Microphone = ""
    screen_width: Annotated[int, msgspec.Meta(ge=160, le=1920)] = 800
    screen_height: Annotated[int, msgspec.Meta(ge=120, le=1200)] = 480
    storage_reserve_minutes: Annotated[int, msgspec.Meta(ge=0, le=600)] = 30


class UnitSettings(Board, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """unit.toml: what differs between units and boards but is no policy."""

    unit_id: UnitId
    dock_url: DockUrl


class EnrolmentSettings(Board, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """enrolment.toml, which a card brings for a unit to be: `dock_url` is the door at which it asks to be enrolled."""

    dock_url: DockUrl


class NotEnrolledError(EnvironmentalError):
    """A file of the enrolment is missing."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing: enrol this unit with 'mirrorcam-provision unit enrol' first.")
        self.path = path


@dataclass(frozen=True)
class UnitFolder:
    """The files of one unit: what enrolment put there, and `data/`, the only place that recordings are written to.

    A card for a unit that its first docking is to enrol holds `authority.crt` and `enrolment.toml` alone. Of what
    enrolment adds, `unit.toml` comes last: with it the unit is enrolled, without it it is not.
    """

    path: Path

    @property
    def settings_file(self) -> Path:
        """Unit settings, TOML."""
        return self.path / "unit.toml"

    @property
    def enrolment_file(self) -> Path:
        """What a unit to be is told by its card, TOML; no secret, and of no use any more once it is enrolled."""
        return self.path / "enrolment.toml"

    @property
    def key_file(self) -> Path:
        """The unit's Ed25519 private key, PKCS #8 PEM, mode 0600, made in place."""
        return self.path / "unit.key"

    @property
    def certificate_file(self) -> Path:
        """The unit's certificate, PEM."""
        return self.path / "unit.crt"

    @property
    def authority_file(self) -> Path:
        """The authority's certificate, PEM: the only root that the unit trusts."""
        return self.path / "authority.crt"

    @property
    def revocations_file(self) -> Path:
        """The newest list of revoked certificates (RFC 5280 §5), PEM, of the enrolment or a dock; need not be there."""
        return self.path / "revocations.pem"

    @property
    def policy_file(self) -> Path:
        """The signed policy's TOML bytes; beside it `.sig` and `.crt` of its signer."""
        return self.path / "policy.toml"

    @property
    def data(self) -> Path:
        """The spool's folder (on a device: the data partition)."""
        return self.path / "data"

    @property
    def faults(self) -> Path:
        """The fault log's folder, which is there from the first fault on."""
        return self.path / "faults"

    def settings(self) -> UnitSettings:
        """Read unit.toml; raises NotEnrolledError or SettingsError."""
        try:
            return read_settings(self.settings_file, UnitSettings)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotEnrolledError(self.settings_file) from error

    def is_to_be_enrolled(self) -> bool:
        """Say whether the first docking is still to come, as the card wants it."""
        return self.enrolment_file.exists() and not self.settings_file.exists()

    def enrolment_settings(self) -> EnrolmentSettings:
        """Read enrolment.toml; raises NotEnrolledError or SettingsError."""
        try:
            return read_settings(self.enrolment_file, EnrolmentSettings)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotEnrolledError(self.enrolment_file) from error

    def name_on_cable(self, machine_id: Path = _MACHINE_ID) -> str:
        """Return what the unit calls itself on its cable: its id, or while it has none a name that no other one has.

        A MAC follows from it, so it must differ between all units on one dock, as machine-id(5) does, which must not be
        told to others as it is. Our image makes that anew at each start, so a unit that is not enrolled has another
        name after a restart. Its key stays, but is made at the first contact over the cable that is to be named here,
        and is kept from who names it. Raises NotEnrolledError, SettingsError or OSError.
        """
        if not self.is_to_be_enrolled():
            return self.settings().unit_id
        return NEW_UNIT + hashlib.sha256(b"mirrorcam new unit\0" + machine_id.read_bytes()).hexdigest()[:12]

    def dock_url_on_cable(self) -> tuple[str, Path]:
        """Return where the cable leads, the bays or the enrolment door, and the file that says so.

        Raises NotEnrolledError or SettingsError.
        """
        if self.is_to_be_enrolled():
            return self.enrolment_settings().dock_url, self.enrolment_file
        return self.settings().dock_url, self.settings_file

    def signer(self) -> Signer:
        """Return the key that signs manifests; raises SigningKeyError."""
        return Signer.load(self.key_file, self.certificate_file)

    def authority(self) -> Authority:
        """Return the authority this unit was enrolled by, with the newest list of what it has revoked.

        Raises CertificateFileError.
        """
        certificate = load_certificate(self.authority_file)
        try:
            return Authority(certificate, x509.load_pem_x509_crl(self.revocations_file.read_bytes()))
        except FileNotFoundError:
            return Authority(certificate)  # nobody has told of one yet
        except (OSError, ValueError) as error:
            raise CertificateFileError(self.revocations_file, reason_of(error)) from error

    def keep_revocations(self, pem: bytes) -> None:
        """Keep a list of revoked certificates that was found good; raises OSError."""
        write_durably(self.revocations_file, pem)

    def policy(self) -> SignedPolicy:
        """Return the policy in force if its signature is good; raises as `open_signed` does, or NotEnrolledError.

        Its signer's certificate was held against the time when the policy came. A clock that has gone wrong since, or
        a certificate that ran out in the field, must keep nobody from recording: so the time is not looked at again.
        """
        try:
            document = self._policy_document()
        except FileNotFoundError as error:
            raise NotEnrolledError(Path(error.filename)) from error
        return open_signed(document, self.authority(), _valid_from(document.certificate))

    def keep_policy(self, document: Signed) -> None:
        """Put a policy that was found good into force; raises OlderPolicyError, SchemaError or OSError.

        Its three files are replaced one by one, so all three are first kept as one: after a crash at any line the old
        policy is in force, or the new one, never parts of both.
        """
        in_force = self._readable_policy_document()
        if document == in_force:
            return
        if in_force is not None:
            check_not_older(document.content, in_force.content)
        write_durably(self._arriving_policy_file, write_json(document))
        self.settle_policy()

    def settle_policy(self) -> None:
        """Bring to an end what `keep_policy` had begun when the power went; raises SchemaError or OSError."""
        if not self._arriving_policy_file.exists():
            return
        self.place_policy(self._policy_document())
        self._arriving_policy_file.unlink(missing_ok=True)
        sync_folder(self.path)

    def place_policy(self, document: Signed) -> None:
        """Write a policy's three files, one after the other: for who has it kept as one, or begins anew when cut."""
        write_durably(self.policy_file, document.content)
        write_durably(self.policy_file.with_name("policy.toml.sig"), document.signature)
        write_durably(self.policy_file.with_name("policy.toml.crt"), document.certificate)

    @property
    def _arriving_policy_file(self) -> Path:
        return self.path / "policy.arriving"

    def _readable_policy_document(self) -> Signed | None:
        try:
            return self._policy_document()
        except (OSError, SchemaError):
            return None  # what cannot be read keeps no policy from coming

    def _policy_document(self) -> Signed:
        try:
            return read_json(self._arriving_policy_file.read_bytes(), Signed, "file policy.arriving")
        except FileNotFoundError:
            return read_signed(self.policy_file)


def _valid_from(certificate_pem: bytes) -> datetime:
    try:
        return x509.load_pem_x509_certificate(certificate_pem).not_valid_before_utc
    except ValueError:
        return datetime.now(UTC)  # it is no certificate, which whoever checks it will say
