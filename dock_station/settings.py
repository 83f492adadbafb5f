"""A dock's own settings and the files of its set-up, as one folder holds them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509

from evidence.certificates import Authority, CertificateFileError, load_certificate
from evidence.enrolment_files import EnrolmentFiles
from evidence.errors import EnvironmentalError, reason_of
from evidence.identifiers import DockId, Label
from evidence.policy import SignedPolicy, open_signed, read_signed
from evidence.signature import Signer
from evidence.strict import read_settings
from evidence.update_files import UpdateFiles

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
# A USB port as the kernel names it: the bus, and the ports from its root on (`usb_device` in sysfs: "1-1.3").
UsbPort = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+-[0-9]+(\.[0-9]+)*\Z", max_length=64)]


class DockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """dock.toml: addresses, the catalogue's database and the vault's limits. Port 0 lets the system choose."""

    dock_id: DockId
    host_names: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    pages_address: str = "::"
    pages_port: Port = 8443
    bays_address: str = "::"
    bays_port: Port = 8444
    enrolment_port: Port = 8445  # at the bays' address; listened at only while IT has opened enrolment
    catalogue_url: str | None = None  # None: SQLite in the dock's folder; else any SQLAlchemy URL
    vault_reserve_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1 << 30
    unlock_minutes: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10
    session_minutes: Annotated[int, msgspec.Meta(ge=1, le=720)] = 60
    bay_names: dict[UsbPort, Label] = {}  # what is written on each bay


class NotSetUpError(EnvironmentalError):
    """A file of the dock's set-up is missing."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing: set this dock up with 'mirrorcam-provision dock create' first.")
        self.path = path


@dataclass(frozen=True)
class DockFolder:
    """The files of one dock: what set-up put there, and the data that the dock adds."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Dock settings, TOML."""
        return self.path / "dock.toml"

    @property
    def tls_key_file(self) -> Path:
        """The TLS server key (ECDSA P-256, which browsers accept), PEM, mode 0600."""
        return self.path / "dock.key"

    @property
    def tls_certificate_file(self) -> Path:
        """The TLS server certificate, PEM."""
        return self.path / "dock.crt"

    @property
    def signer_key_file(self) -> Path:
        """The Ed25519 key that signs receipts, welcomes and custody heads, PEM, mode 0600."""
        return self.path / "signer.key"

    @property
    def signer_certificate_file(self) -> Path:
        """The certificate of the receipt signer, PEM."""
        return self.path / "signer.crt"

    @property
    def authority_file(self) -> Path:
        """The authority's certificate, PEM."""
        return self.path / "authority.crt"

    @property
    def revocations_file(self) -> Path:
        """The authority's newest certificate revocation list (RFC 5280 §5), PEM."""
        return self.path / "revocations.pem"

    @property
    def policy_file(self) -> Path:
        """The signed policy's TOML bytes; beside it `.sig` and `.crt` of its signer."""
        return self.path / "policy.toml"

    @property
    def keyslots(self) -> Path:
        """One age file per reviewer, each the station identity under that reviewer's own passphrase."""
        return self.path / "keyslots"

    @property
    def session_key_file(self) -> Path:
        """The secret that signs page sessions, mode 0600."""
        return self.path / "session.key"

    @property
    def vault(self) -> Path:
        """Sealed clips with their manifests and signatures."""
        return self.path / "vault"

    @property
    def opener_socket(self) -> Path:
        """The Unix socket of the process that holds the unlocked station key."""
        return self.path / "run" / "opener.sock"

    @property
    def enrolment(self) -> EnrolmentFiles:
        """The folder through which the dock and the authority reach each other while units are enrolled."""
        return EnrolmentFiles(self.path / "enrolment")

    @property
    def updates(self) -> UpdateFiles:
        """The folder in which IT puts the bundle that the dock hands on to its units."""
        return UpdateFiles(self.path / "updates")

    @property
    def custody_head_file(self) -> Path:
        """The custody log's head at retention's newest run; mode 0644, for IT may run it by hand."""
        return self.path / "custody-head.json"

    @property
    def bays_lock_file(self) -> Path:
        """What the process that watches the bays holds a lock on, as long as it does."""
        return self.path / "bays.lock"

    def settings(self) -> DockSettings:
        """Read dock.toml; raises NotSetUpError or SettingsError."""
        try:
            return read_settings(self.settings_file, DockSettings)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotSetUpError(self.settings_file) from error

    def catalogue_url(self, settings: DockSettings) -> str:
        """Return the SQLAlchemy URL of the catalogue."""
        return settings.catalogue_url or f"sqlite:///{self.path / 'catalogue.sqlite3'}"

    def tls_certificate(self) -> x509.Certificate:
        """Return the TLS server certificate; raises CertificateFileError."""
        return load_certificate(self.tls_certificate_file)

    def signer(self) -> Signer:
        """Return the key that signs receipts; raises SigningKeyError."""
        return Signer.load(self.signer_key_file, self.signer_certificate_file)

    def authority(self) -> Authority:
        """Return the authority with its newest revocation list; raises CertificateFileError."""
        try:
            revocations = x509.load_pem_x509_crl(self.revocations_file.read_bytes())
        except (OSError, ValueError) as error:
            raise CertificateFileError(self.revocations_file, reason_of(error)) from error
        return Authority(load_certificate(self.authority_file), revocations)

    def policy(self, at: datetime) -> SignedPolicy:
        """Return the policy in force if its signature is good; raises what `open_signed` raises, or NotSetUpError."""
        try:
            document = read_signed(self.policy_file)
        except FileNotFoundError as error:
            raise NotSetUpError(Path(error.filename)) from error
        return open_signed(document, self.authority(), at)
