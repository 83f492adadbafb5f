"""The town's authority: the key that certifies, the policy signer, the list of revoked, the recipients of clips."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from evidence.certificates import Authority, CertificateFileError, Holder, Role, load_certificate
from evidence.errors import EnvironmentalError, MirrorcamError, NotGenuineError, reason_of
from evidence.signature import Signer
from provisioning.issuing import Issuer, NoTownError, issue_authority, pem, town_of
from provisioning.keys import load_authority_key, load_key, make_authority_key, make_signing_key
from provisioning.placing import SetUp, WouldOverwriteError, exclusively
from provisioning.station import Passphrases, RecipientLostError, SealedKey, station_key

MAX_TOWN_LENGTH = 40  # leaves room for the words around it in a common name of 64 characters (X.520)


class NoAuthorityError(EnvironmentalError):
    """A folder that should hold an authority lacks one of its files."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing: make the authority with 'mirrorcam-provision authority create' first.")
        self.path = path


class NotAnAuthorityError(NotGenuineError):
    """A folder's certificate is not that of an authority, or does not go with the folder's other files."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is not an authority's certificate: {reason}; name the town's authority folder.")
        self.path = path


class TownNameError(MirrorcamError):
    """A town's name does not fit into a certificate."""

    def __init__(self, town: str) -> None:
        super().__init__(
            f"'{town}' cannot stand as the town: a name must have 1 to {MAX_TOWN_LENGTH} characters, on one line."
        )


@dataclass(frozen=True)
class AuthorityFolder:
    """The files of one authority. Whoever holds `authority.key` can issue; nobody who holds this folder can view."""

    path: Path

    @property
    def key_file(self) -> Path:
        """The authority's private key, ECDSA P-384, PEM, mode 0600."""
        return self.path / "authority.key"

    @property
    def certificate_file(self) -> Path:
        """The authority's certificate, PEM: what units, docks and browsers are told to trust."""
        return self.path / "authority.crt"

    @property
    def revocations_file(self) -> Path:
        """The newest list of revoked certificates, PEM."""
        return self.path / "revocations.pem"

    @property
    def policy_signer_key_file(self) -> Path:
        """The Ed25519 key that signs policies, PEM, mode 0600."""
        return self.path / "policy-signer.key"

    @property
    def policy_signer_certificate_file(self) -> Path:
        """The policy signer's certificate, PEM."""
        return self.path / "policy-signer.crt"

    @property
    def policy_file(self) -> Path:
        """The policy in force; beside it `.sig` and `.crt` of its signer."""
        return self.path / "policy.toml"

    @property
    def station_recipient_file(self) -> Path:
        """The station key's recipient: to this every clip is sealed."""
        return self.path / "station.pub"

    @property
    def keyslots(self) -> Path:
        """The station identity, once for each reviewer, under that reviewer's passphrase."""
        return self.path / "keyslots"

    @property
    def recovery_recipient_file(self) -> Path:
        """The recovery key's recipient: to this every clip is sealed too."""
        return self.path / "recovery.pub"

    @property
    def recovery_file(self) -> Path:
        """The recovery identity under its own passphrase; its place is offline, not here."""
        return self.path / "recovery.age"

    @property
    def units(self) -> Path:
        """The certificate of each unit, by its id."""
        return self.path / "units"

    @property
    def docks(self) -> Path:
        """The newest certificates of each dock, by its id; its TLS ones before, by their serial numbers (hex) too."""
        return self.path / "docks"

    @property
    def bundles(self) -> Path:
        """The certificate of each signer of a bundle, by the bundle's name and its own serial number (hex)."""
        return self.path / "bundles"

    def issuer(self) -> Issuer:
        """Return the authority's key and certificate, which belong together.

        Raises NoAuthorityError, NotAnAuthorityError, KeyFileError or CertificateFileError.
        """
        if not self.key_file.exists():
            raise NoAuthorityError(self.key_file)
        key, certificate = load_authority_key(self.key_file), self.certificate()
        try:
            town_of(certificate)
        except NoTownError as error:
            raise NotAnAuthorityError(self.certificate_file, "it names no town") from error
        if key.public_key() != certificate.public_key():
            raise NotAnAuthorityError(self.certificate_file, "the key beside it is of another one")
        return Issuer(key, certificate)

    def policy_signer(self) -> Signer:
        """Return the key that signs policies; raises SigningKeyError."""
        return Signer.load(self.policy_signer_key_file, self.policy_signer_certificate_file)

    def revocations(self) -> x509.CertificateRevocationList:
        """Return the newest list; raises NoAuthorityError or CertificateFileError."""
        try:
            return x509.load_pem_x509_crl(self.revocations_file.read_bytes())
        except FileNotFoundError as error:
            raise NoAuthorityError(self.revocations_file) from error
        except ValueError as error:
            raise CertificateFileError(self.revocations_file, reason_of(error)) from error

    def authority(self) -> Authority:
        """Return the authority as everybody else sees it, with its newest list of revoked."""
        return Authority(self.certificate(), self.revocations())

    def recipients(self) -> tuple[str, str]:
        """Return the recipients of every clip, station first; raises NoAuthorityError."""
        try:
            return (
                self.station_recipient_file.read_text(encoding="ascii").strip(),
                self.recovery_recipient_file.read_text(encoding="ascii").strip(),
            )
        except FileNotFoundError as error:
            raise NoAuthorityError(Path(error.filename)) from error

    def certificate(self) -> x509.Certificate:
        """Return the authority's certificate; raises NoAuthorityError or CertificateFileError."""
        if not self.certificate_file.exists():
            raise NoAuthorityError(self.certificate_file)
        return load_certificate(self.certificate_file)


def create_authority(
    folder: AuthorityFolder, *, town: str, reviewer: str, passphrases: Passphrases, at: datetime
) -> SetUp:
    """Make what is missing of an authority; its first policy is signed afterwards.

    The station identity is sealed under the reviewer's passphrase before it touches the disk: IT, which runs this,
    never holds a key that opens a clip. Raises TownNameError, WouldOverwriteError, OtherReviewerError,
    RecipientLostError, OSError.
    """
    if not 1 <= len(town) <= MAX_TOWN_LENGTH or not town.isprintable():
        raise TownNameError(town)
    setup = SetUp()
    setup.folder(folder.path)
    with exclusively(folder.path):
        for subfolder in (folder.keyslots, folder.units, folder.docks):
            setup.folder(subfolder)
        _make_certificate(setup, folder, town, at)
        _make_policy_signer(setup, folder, at)
        _make_revocations(setup, folder, at)
        station = station_key(folder.keyslots, folder.station_recipient_file, reviewer)
        recovery = SealedKey(folder.recovery_file, folder.recovery_recipient_file, "recovery key")
        for key in (station, recovery):
            _check_is_first(folder, key)
        station.make(setup, passphrases.reviewer, passphrases.work_factor)
        recovery.make(setup, passphrases.recovery, passphrases.work_factor)
    return setup


def _check_is_first(folder: AuthorityFolder, key: SealedKey) -> None:
    """Raise RecipientLostError where neither half of a key is here, and a policy says that clips are sealed to one."""
    if folder.policy_file.exists() and not key.recipient.exists() and not key.sealed.exists():
        how = f"restore it from a copy; {folder.policy_file} names it among its recipients"
        raise RecipientLostError(key.recipient, how)


def _make_certificate(setup: SetUp, folder: AuthorityFolder, town: str, at: datetime) -> None:
    setup.secret(folder.key_file, make_authority_key, "key of the authority")
    if folder.certificate_file.exists():
        known = town_of(load_certificate(folder.certificate_file))
        if known != town:
            raise WouldOverwriteError(folder.certificate_file, f"it is the authority of {known}")
        setup.found(folder.certificate_file, "certificate of the authority")
        return
    certificate = issue_authority(load_authority_key(folder.key_file), town, at)
    setup.file(folder.certificate_file, pem(certificate), "certificate of the authority")


def _make_policy_signer(setup: SetUp, folder: AuthorityFolder, at: datetime) -> None:
    setup.secret(folder.policy_signer_key_file, make_signing_key, "key that signs policies")
    if folder.policy_signer_certificate_file.exists():
        setup.found(folder.policy_signer_certificate_file, "certificate of the policy signer")
        return
    public_key = load_key(folder.policy_signer_key_file).public_key()
    certificate = folder.issuer().issue(Holder(Role.POLICY_SIGNER, "policy"), public_key, at)
    setup.file(folder.policy_signer_certificate_file, pem(certificate), "certificate of the policy signer")


def _make_revocations(setup: SetUp, folder: AuthorityFolder, at: datetime) -> None:
    if folder.revocations_file.exists():
        setup.found(folder.revocations_file, "list of revoked certificates")
    else:
        empty = folder.issuer().revocations([], 1, at)
        setup.file(folder.revocations_file, empty, "list of revoked certificates")
