"""How the authority issues: certificates for docks, units and signers, and the list of what it has revoked."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from evidence.certificates import Holder, Role
from evidence.errors import NotGenuineError

# The authority outlives every device; twenty years is the life of the town's own records, not of a key in daily use.
AUTHORITY_LIFE = timedelta(days=20 * 365)
# What signs and what is worn can be revoked at once, so it need not be renewed while it is in use.
DEVICE_LIFE = timedelta(days=10 * 365)
# The longest that Apple's browsers accept from a root that an administrator added (support.apple.com/103769);
# the shorter limit of 398 days is for roots that come with the system (support.apple.com/102028).
SERVER_LIFE = timedelta(days=825)
# A browser or unit whose clock is a little behind must accept a certificate on the day it is made.
BACKDATED = timedelta(hours=1)

# RFC 9336 §3.1: a key that signs documents, and is of no use for TLS.
_DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
_USAGE = {
    Role.UNIT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Role.DOCK: ExtendedKeyUsageOID.SERVER_AUTH,
    Role.DOCK_SIGNER: _DOCUMENT_SIGNING,
    Role.POLICY_SIGNER: _DOCUMENT_SIGNING,
    # What RAUC asks of a bundle's signer (check-purpose=codesign); nobody else has it.
    Role.UPDATE_SIGNER: ExtendedKeyUsageOID.CODE_SIGNING,
}

DevicePublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey


class NoTownError(NotGenuineError):
    """An authority's certificate has no organisation, which is where ours name their town."""

    def __init__(self) -> None:
        super().__init__(
            "The authority's certificate names no town, so 'mirrorcam-provision authority create' did not make it: "
            "name the town's authority folder."
        )


@dataclass(frozen=True)
class Issuer:
    """The authority's key and certificate: what turns a public key into somebody that the town trusts."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(
        self, holder: Holder, public_key: DevicePublicKey, at: datetime, host_names: Sequence[str] = ()
    ) -> x509.Certificate:
        """Return a certificate for `holder`; a dock's also names the hosts (DNS names or addresses) it answers for."""
        life = SERVER_LIFE if holder.role is Role.DOCK else DEVICE_LIFE
        ends = min(at - BACKDATED + life, self.certificate.not_valid_after_utc)
        names = [_general_name(host) for host in host_names]
        builder = _builder(_name(holder.name, self._town), self.certificate.subject, public_key, at, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([_USAGE[holder.role]]), critical=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([*names, x509.UniformResourceIdentifier(holder.uri)]), critical=False
        )
        return builder.add_extension(self._key_identifier(), critical=False).sign(self.key, hashes.SHA384())

    def revocations(self, revoked: Sequence[x509.RevokedCertificate], number: int, at: datetime) -> bytes:
        """Return the PEM list (RFC 5280 §5) of everything revoked so far, the `number`-th that was made.

        It stays valid for as long as the authority: TLS refuses everybody by an outdated list, so a date sooner
        than that would stop all docking in a town whose IT is away. How new a list is, its number says.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(at)
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        for entry in revoked:
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA384()).public_bytes(Encoding.PEM)

    @property
    def _town(self) -> str:
        return town_of(self.certificate)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def issue_authority(key: ec.EllipticCurvePrivateKey, town: str, at: datetime) -> x509.Certificate:
    """Return the certificate that an authority gives to itself; it can issue to devices, not to other authorities."""
    name = _name(f"Mirrorcam authority of {town}", town)
    builder = _builder(name, name, key.public_key(), at, at - BACKDATED + AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return builder.sign(key, hashes.SHA384())


def town_of(certificate: x509.Certificate) -> str:
    """Return the town that an authority's certificate names; raises NoTownError."""
    names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if not names:
        raise NoTownError
    return str(names[0].value)


def pem(certificate: x509.Certificate) -> bytes:
    """Return the text form of a certificate."""
    return certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: DevicePublicKey, at: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str, town: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, town), x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
