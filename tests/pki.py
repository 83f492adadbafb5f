"""A town's authority for tests: certificates of every role, a list of revoked ones, and set-up folders made of them."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.settings import UnitFolder
from dock_station.settings import DockFolder
from evidence.certificates import Authority, Holder, Role
from evidence.signature import Signer

YEAR = timedelta(days=365)
SOME_RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"  # of age's own README


@dataclass(frozen=True)
class Identity:
    """A private key and its certificate."""

    key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    def signer(self) -> Signer:
        assert isinstance(self.key, Ed25519PrivateKey)
        return Signer(self.key, self.certificate_pem)

    def write(self, key_file: Path, certificate_file: Path) -> None:
        key_file.touch(mode=0o600)
        key_file.write_bytes(self.key_pem)
        certificate_file.write_bytes(self.certificate_pem)


@dataclass
class Pki:
    """One authority (EC P-384) and all that it issues."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    name: str = "Town of Examples (test) authority"
    _revoked: list[x509.RevokedCertificate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP384R1())
        public = self._key.public_key()
        self.certificate = (
            self._builder(self.name, public, self.now - YEAR, self.now + 10 * YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._key, hashes.SHA384())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The authority's own key, as its folder holds it."""
        return Identity(self._key, self.certificate).key_pem

    def authority(self) -> Authority:
        return Authority(self.certificate, self.revocations())

    def unit(
        self, unit_id: str, *, valid_from: datetime | None = None, valid_until: datetime | None = None
    ) -> Identity:
        return self._issue(
            Holder(Role.UNIT, unit_id),
            Ed25519PrivateKey.generate(),
            usage=ExtendedKeyUsageOID.CLIENT_AUTH,
            valid_from=valid_from,
            valid_until=valid_until,
        )

    def unit_for(
        self, unit_id: str, public_key: Ed25519PublicKey, *, valid_from: datetime | None = None
    ) -> x509.Certificate:
        """Certify a key that somebody else holds."""
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return self._certify(Holder(Role.UNIT, unit_id), public_key, usage=usage, valid_from=valid_from)

    def dock(
        self,
        dock_id: str,
        host_names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
        *,
        valid_until: datetime | None = None,
    ) -> Identity:
        return self._issue(
            Holder(Role.DOCK, dock_id),
            ec.generate_private_key(ec.SECP256R1()),
            usage=ExtendedKeyUsageOID.SERVER_AUTH,
            host_names=host_names,
            valid_until=valid_until,
        )

    def dock_signer(self, dock_id: str, *, valid_until: datetime | None = None) -> Identity:
        return self._issue(
            Holder(Role.DOCK_SIGNER, dock_id),
            Ed25519PrivateKey.generate(),
            valid_from=self.now - YEAR,  # as of a dock that has been at work for long, whose clock may well go back
            valid_until=valid_until,
        )

    def policy_signer(self, name: str = "policy") -> Identity:
        return self._issue(Holder(Role.POLICY_SIGNER, name), Ed25519PrivateKey.generate())

    def revoke(self, identity: Identity | x509.Certificate) -> None:
        certificate = identity.certificate if isinstance(identity, Identity) else identity
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
        self._revoked.append(entry.revocation_date(self.now).build())

    def revocations(self) -> x509.CertificateRevocationList:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(self.now - timedelta(days=1)).next_update(self.now + YEAR)
        builder = builder.add_extension(x509.CRLNumber(1 + len(self._revoked)), critical=False)
        builder = builder.add_extension(self._key_identifier(), critical=False)
        for revoked in self._revoked:
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self._key, hashes.SHA384())

    def revocations_pem(self) -> bytes:
        return self.revocations().public_bytes(serialization.Encoding.PEM)

    def _issue(
        self,
        holder: Holder,
        key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey,
        *,
        usage: x509.ObjectIdentifier | None = None,
        host_names: tuple[str, ...] = (),
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> Identity:
        certificate = self._certify(
            holder,
            key.public_key(),
            usage=usage,
            host_names=host_names,
            valid_from=valid_from,
            valid_until=valid_until,
        )
        return Identity(key, certificate)

    def _certify(
        self,
        holder: Holder,
        public_key: ec.EllipticCurvePublicKey | Ed25519PublicKey,
        *,
        usage: x509.ObjectIdentifier | None = None,
        host_names: tuple[str, ...] = (),
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(holder.uri)]
        names += [_host(name) for name in host_names]
        builder = self._builder(
            holder.name, public_key, valid_from or self.now - timedelta(days=1), valid_until or self.now + YEAR
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(self._key_identifier(), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self._key, hashes.SHA384())

    def _builder(
        self, name: str, public: ec.EllipticCurvePublicKey | object, since: datetime, until: datetime
    ) -> x509.CertificateBuilder:
        subject = self._subject(name)
        issuer = self._subject(self.name)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)  # type: ignore[arg-type]
        )

    def _subject(self, name: str) -> x509.Name:
        town = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Town of Examples (test)")
        return x509.Name([town, x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def policy_toml(
    *, recipients: tuple[str, ...] = (SOME_RECIPIENT,), days: int = 30, low: int = 1, high: int = 90
) -> str:
    """A policy that keeps clips `days` days; all else as the schema's defaults have it."""
    listed = ", ".join(f'"{recipient}"' for recipient in recipients)
    return (
        f'policy_id = "test"\nrecipients = [{listed}]\n'
        f"retention_days = {days}\nretention_min_days = {low}\nretention_max_days = {high}\n"
    )


def dock_folder(
    path: Path, pki: Pki, *, dock_id: str = "dock-1", policy: str | None = None, settings: str = ""
) -> DockFolder:
    """Set a dock up under `path` as `mirrorcam-provision dock create` does, listening on free ports of loopback."""
    folder = DockFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    folder.settings_file.write_text(
        f'dock_id = "{dock_id}"\nhost_names = ["localhost"]\n'
        'pages_address = "127.0.0.1"\npages_port = 0\nbays_address = "127.0.0.1"\nbays_port = 0\n'
        f"{settings}\n"
    )
    pki.dock(dock_id).write(folder.tls_key_file, folder.tls_certificate_file)
    pki.dock_signer(dock_id).write(folder.signer_key_file, folder.signer_certificate_file)
    folder.authority_file.write_bytes(pki.pem)
    folder.revocations_file.write_bytes(pki.revocations_pem())
    write_policy(folder, pki, policy or policy_toml())
    return folder


def write_policy(folder: DockFolder | UnitFolder, pki: Pki, content: str) -> None:
    """Put a policy in force, signed by a fresh policy signer."""
    identity = pki.policy_signer()
    folder.policy_file.write_text(content)
    folder.policy_file.with_name("policy.toml.sig").write_bytes(identity.signer().sign(content.encode()))
    folder.policy_file.with_name("policy.toml.crt").write_bytes(identity.certificate_pem)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
