"""Who is who: certificates of one authority, each with a role and a name in it, and what makes one trusted."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509.oid import NameOID

from evidence.errors import EnvironmentalError, NotGenuineError, reason_of


class Role(StrEnum):
    """What the holder of a certificate may sign or serve; written in it as the URI `urn:mirrorcam:<role>:<name>`."""

    UNIT = "unit"
    DOCK = "dock"
    DOCK_SIGNER = "dock-signer"
    POLICY_SIGNER = "policy-signer"
    UPDATE_SIGNER = "update-signer"  # of one bundle; its name is the release's


@dataclass(frozen=True)
class Holder:
    """The role and the name that a certificate gives to its holder."""

    role: Role
    name: str

    @property
    def uri(self) -> str:
        """The subject alternative name (RFC 8141 URN) that carries role and name."""
        return f"urn:mirrorcam:{self.role.value}:{self.name}"


class CertificateError(NotGenuineError):
    """A certificate is not one that we trust for what it is used for."""

    def __init__(self, subject: str, reason: str, remedy: str = "have IT issue a new one") -> None:
        super().__init__(f"The certificate of {subject} is refused: {reason}; {remedy}.")
        self.subject = subject
        self.reason = reason


class CertificateFileError(EnvironmentalError):
    """A certificate file of the set-up cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The certificate file {path} cannot be read ({reason}); provision this device again.")
        self.path = path


def load_certificate(path: Path) -> x509.Certificate:
    """Read one PEM certificate; raises CertificateFileError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateFileError(path, reason_of(error)) from error


def holder_of(certificate: x509.Certificate) -> Holder:
    """Return the one role and name in a certificate; raises CertificateError where there is none, or more than one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        (uri,) = [uri for uri in uris if uri.startswith("urn:mirrorcam:")]
        _, _, role, name = uri.split(":")
        return Holder(Role(role), name)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateError(_subject(certificate), "it names no Mirrorcam role") from error


class Authority:
    """The town's authority: its certificate, and the newest list of what it has revoked."""

    def __init__(
        self, certificate: x509.Certificate, revocations: x509.CertificateRevocationList | None = None
    ) -> None:
        self.certificate = certificate
        self._revocations = revocations

    def check(self, certificate: x509.Certificate, role: Role, at: datetime) -> Holder:
        """Return who holds `certificate` if this authority vouches for it in `role` at the moment `at`.

        Raises CertificateError that says whether it is of another authority, outside its time, revoked, or of
        another role.
        """
        subject = _subject(certificate)
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError) as error:
            raise CertificateError(subject, "another authority issued it") from error
        if at < certificate.not_valid_before_utc:
            raise CertificateError(subject, f"it is valid only from {certificate.not_valid_before_utc:%Y-%m-%d} on")
        if at > certificate.not_valid_after_utc:
            raise CertificateError(subject, f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
        self._check_revocation(certificate, subject)
        holder = holder_of(certificate)
        if holder.role is not role:
            raise CertificateError(subject, f"its role is {holder.role.value}, not {role.value}")
        return holder

    def has_revoked(self, serial_number: int) -> bool:
        """Say whether a certificate's number is on the newest list that is known here."""
        known = self._revocations
        return known is not None and known.get_revoked_certificate_by_serial_number(serial_number) is not None

    def renewed(self, revocations: x509.CertificateRevocationList) -> "Authority | None":
        """Return this authority with a newer list of what it has revoked, None where the list is not newer.

        Raises CertificateError where the list is not the authority's own.
        """
        self._check_own(revocations, "a dock")
        is_newer = self._revocations is None or _number(revocations) > _number(self._revocations)
        return Authority(self.certificate, revocations) if is_newer else None

    def _check_revocation(self, certificate: x509.Certificate, subject: str) -> None:
        if self._revocations is None:
            return
        self._check_own(self._revocations, subject)
        revoked = self._revocations.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if revoked is not None:
            raise CertificateError(subject, f"it was revoked on {revoked.revocation_date_utc:%Y-%m-%d}")

    def _check_own(self, revocations: x509.CertificateRevocationList, subject: str) -> None:
        key = self.certificate.public_key()
        if not isinstance(key, EllipticCurvePublicKey) or not revocations.is_signature_valid(key):
            raise CertificateError(subject, "the list of revoked certificates is not signed by the authority")


def _number(revocations: x509.CertificateRevocationList) -> int:
    """Return the list's number, which grows with each new one (RFC 5280 §5.2.3)."""
    try:
        return revocations.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def _subject(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else "nobody"
