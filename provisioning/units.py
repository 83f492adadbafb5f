"""Enrolling units: a key made in the unit's own folder, a certificate for it, and taking that trust away again."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from appliance.settings import UnitFolder, UnitSettings
from evidence.certificates import Holder, Role, load_certificate
from evidence.enrolment import NotARequestError, requested_key
from evidence.errors import MirrorcamError
from evidence.strict import read_toml
from provisioning.authority import AuthorityFolder
from provisioning.issuing import Issuer, pem
from provisioning.keys import KeyFileError, load_key, make_signing_key
from provisioning.placing import SetUp, WouldOverwriteError, exclusively
from provisioning.policies import publish_policy
from provisioning.revoking import revoke


class UnitTakenError(MirrorcamError):
    """The authority knows another unit by this id."""

    def __init__(self, unit_id: str) -> None:
        super().__init__(
            f"This authority has enrolled another unit '{unit_id}': an id is used once, because the dock counts its "
            "clips; choose a new one, or say 'mirrorcam-provision unit reissue' if it is the same unit, made anew."
        )


class UnitRevokedError(MirrorcamError):
    """The unit's certificate was revoked."""

    def __init__(self, unit_id: str) -> None:
        super().__init__(
            f"Unit '{unit_id}' was revoked and stays so: enrol the device again under a new id, or say "
            "'mirrorcam-provision unit reissue' first."
        )


class UnknownUnitError(MirrorcamError):
    """The authority has not enrolled such a unit."""

    def __init__(self, unit_id: str) -> None:
        super().__init__(f"This authority has not enrolled a unit '{unit_id}': 'unit list' shows those it has.")


class RequestError(MirrorcamError):
    """A certificate request is not one that `unit request` makes."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The request {path.name} is refused ({reason}): make it with 'unit request' on the unit.")
        self.path = path


@dataclass(frozen=True)
class Enrolment:
    """Who a unit is to be: its id, and the public half of a key that it holds."""

    unit_id: str
    public_key: Ed25519PublicKey


@dataclass(frozen=True)
class EnrolledUnit:
    """What the authority knows of a unit; `revoked_at` is None while it is trusted."""

    unit_id: str
    certificate: x509.Certificate
    revoked_at: datetime | None


def check_id_is_free(authority: AuthorityFolder, unit_id: str, folder: UnitFolder) -> None:
    """Raise UnitTakenError where an id belongs to another unit than the folder's, before a key is made for nothing."""
    register = authority.units / f"{unit_id}.crt"
    if not register.exists():
        return
    known = load_certificate(register)
    is_its_own = folder.key_file.exists() and load_key(folder.key_file).public_key() == known.public_key()
    if not is_its_own and not _may_follow(authority, unit_id, known):
        raise UnitTakenError(unit_id)


def make_unit_key(folder: UnitFolder, unit_id: str) -> tuple[SetUp, Enrolment]:
    """Make the unit's key in its own folder unless it is there; raises KeyFileError."""
    setup = SetUp()
    setup.folder(folder.path)
    setup.secret(folder.key_file, make_signing_key, "key of the unit")
    public_key = load_key(folder.key_file).public_key()
    if not isinstance(public_key, Ed25519PublicKey):
        raise KeyFileError(folder.key_file, "it is not an Ed25519 key")
    return setup, Enrolment(unit_id, public_key)


def request_unit(folder: UnitFolder, unit_id: str) -> SetUp:
    """Make the key and a request (PKCS #10, PEM) beside it, `unit.csr`, that may travel: it holds no secret."""
    setup, _ = make_unit_key(folder, unit_id)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, unit_id)]))
        .sign(load_key(folder.key_file), None)
    )
    # Ed25519 signs the same request to the same bytes, so a second run finds this file as it would make it.
    setup.file(folder.path / "unit.csr", request.public_bytes(Encoding.PEM), "request to be enrolled")
    return setup


def read_request(path: Path) -> Enrolment:
    """Read what `request_unit` made, and check that its sender holds the key; raises RequestError or OSError."""
    content = path.read_bytes()
    try:
        public_key = requested_key(content)
        names = x509.load_pem_x509_csr(content).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return Enrolment(str(names[0].value), public_key)
    except NotARequestError as error:
        raise RequestError(path, error.reason) from error
    except IndexError as error:
        raise RequestError(path, "it names no unit") from error


def enrol_unit(
    folder: UnitFolder, authority: AuthorityFolder, enrolment: Enrolment, dock_url: str, at: datetime
) -> SetUp:
    """Put into a folder all that a unit needs beside its key; the authority keeps a copy of the certificate.

    Raises UnitTakenError, UnitRevokedError, WouldOverwriteError, NoAuthorityError, NotAnAuthorityError, NoPolicyError
    or SchemaError.
    """
    setup = SetUp()
    with exclusively(authority.path):
        known = folder.authority_file
        if known.exists() and known.read_bytes() != pem(authority.certificate()):
            raise WouldOverwriteError(known, "it is another authority's")
        setup.folder(folder.path)
        _make_settings(setup, folder, enrolment.unit_id, dock_url)
        _make_certificate(setup, folder, authority, enrolment, at)
    setup.file(folder.authority_file, pem(authority.certificate()), "certificate of the authority")
    setup.replacement(folder.revocations_file, authority.revocations_file.read_bytes(), "list of revoked certificates")
    setup.folder(folder.data)
    setup.steps += publish_policy(authority, folder.policy_file, at).steps
    return setup


def revoke_unit(authority: AuthorityFolder, unit_id: str, at: datetime) -> SetUp:
    """Add a unit to the list of revoked certificates, for good; raises UnknownUnitError or NoAuthorityError."""
    register = authority.units / f"{unit_id}.crt"
    if not register.exists():
        raise UnknownUnitError(unit_id)
    return revoke(authority, [load_certificate(register)], unit_id, at)


def reissue_unit(authority: AuthorityFolder, unit_id: str, at: datetime) -> SetUp:
    """Revoke a unit's certificate, and let the next enrolment under its id have another one, for whatever key.

    For a unit that was wiped, or whose certificate ends. The mark names the certificate that may be followed by another
    one, so it is used up by that one. Raises UnknownUnitError or NoAuthorityError.
    """
    setup = revoke_unit(authority, unit_id, at)
    serial = load_certificate(authority.units / f"{unit_id}.crt").serial_number
    setup.replacement(_reissue_file(authority, unit_id), f"{serial:x}\n".encode(), "mark that its id may be used again")
    return setup


def waits_for_reissue(authority: AuthorityFolder, unit: EnrolledUnit) -> bool:
    """Say whether the next enrolment may have the id of a unit."""
    return _may_follow(authority, unit.unit_id, unit.certificate)


def certify_unit(
    setup: SetUp, authority: AuthorityFolder, issuer: Issuer, enrolment: Enrolment, at: datetime
) -> x509.Certificate:
    """Return the unit's certificate, which is made where there is none; for who works in the folder `exclusively`.

    The same key gets the same one again. Raises UnitTakenError or UnitRevokedError.
    """
    register = authority.units / f"{enrolment.unit_id}.crt"
    known = load_certificate(register) if register.exists() else None
    if known is not None and not _may_follow(authority, enrolment.unit_id, known):
        if known.public_key() != enrolment.public_key:
            raise UnitTakenError(enrolment.unit_id)
        if authority.revocations().get_revoked_certificate_by_serial_number(known.serial_number):
            raise UnitRevokedError(enrolment.unit_id)
        return known
    certificate = issuer.issue(Holder(Role.UNIT, enrolment.unit_id), enrolment.public_key, at)
    setup.replacement(register, pem(certificate), "the authority's copy of the certificate")
    return certificate


def enrolled_units(authority: AuthorityFolder) -> list[EnrolledUnit]:
    """Return every unit that the authority has ever enrolled, by id; raises NoAuthorityError."""
    revocations = authority.revocations()
    units = []
    for register in sorted(authority.units.glob("*.crt")):
        certificate = load_certificate(register)
        revoked = revocations.get_revoked_certificate_by_serial_number(certificate.serial_number)
        units.append(EnrolledUnit(register.stem, certificate, revoked.revocation_date_utc if revoked else None))
    return units


def _reissue_file(authority: AuthorityFolder, unit_id: str) -> Path:
    return authority.units / f"{unit_id}.reissue"


def _may_follow(authority: AuthorityFolder, unit_id: str, certificate: x509.Certificate) -> bool:
    """Say whether another certificate may follow this one, which was revoked before its mark was made."""
    try:
        return _reissue_file(authority, unit_id).read_text(encoding="ascii").strip() == f"{certificate.serial_number:x}"
    except FileNotFoundError:
        return False


def _make_settings(setup: SetUp, folder: UnitFolder, unit_id: str, dock_url: str) -> None:
    if folder.settings_file.exists():
        known = folder.settings()
        for name, there, value in (("unit_id", known.unit_id, unit_id), ("dock_url", known.dock_url, dock_url)):
            if there != value:
                raise WouldOverwriteError(folder.settings_file, f"its {name} is {json.dumps(there)}")
        setup.found(folder.settings_file, "settings of the unit")
        return
    content = f"unit_id = {json.dumps(unit_id)}\ndock_url = {json.dumps(dock_url)}\n".encode()
    read_toml(content, UnitSettings, "file unit.toml")
    setup.file(folder.settings_file, content, "settings of the unit")


def _make_certificate(
    setup: SetUp, folder: UnitFolder, authority: AuthorityFolder, enrolment: Enrolment, at: datetime
) -> None:
    known = certify_unit(setup, authority, authority.issuer(), enrolment, at)
    setup.replacement(folder.certificate_file, pem(known), "certificate of the unit")
