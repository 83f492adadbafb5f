"""What a dock hands to a unit to be: checked as a whole, then kept so that a power cut leaves all of it or none."""

from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.settings import Board, EnrolmentSettings, UnitFolder, UnitSettings
from appliance.spool_notes import continue_chain
from evidence.certificates import Authority, CertificateError, Role
from evidence.chain import Link
from evidence.durable import publish_durably, sync_folder, write_durably
from evidence.enrolment import Issued
from evidence.errors import EnvironmentalError, NotGenuineError
from evidence.policy import check_recipients, open_signed


class ForeignCertificateError(NotGenuineError):
    """The certificate that came is not for this unit."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The certificate that the dock brought {what}; nothing was kept: have IT look at the dock.")


class ClocksDisagreeError(EnvironmentalError):
    """By the dock's clock the certificate's time has not come."""

    def __init__(self, begins: datetime, dock_says: datetime) -> None:
        super().__init__(
            f"The unit's certificate is valid from {begins:%Y-%m-%d %H:%M} UTC on, and the dock says that it is "
            f"{dock_says:%Y-%m-%d %H:%M}: have IT set the clocks of the dock and of the computer that signs."
        )


def check(issued: Issued, authority: Authority, public_key: Ed25519PublicKey, at: datetime) -> None:
    """Check that what came is the authority's, and for the unit that holds this key.

    `at` is the dock's time, by which the certificate of the dock itself was held good: the unit's own clock may be
    wrong by years before a dock has ever set it. Raises ForeignCertificateError, ClocksDisagreeError,
    CertificateError, SignatureError or SchemaError.
    """
    try:
        certificate = x509.load_pem_x509_certificate(issued.certificate)
        revocations = x509.load_pem_x509_crl(issued.revocations)
    except ValueError as error:
        raise ForeignCertificateError("cannot be read") from error
    if certificate.not_valid_before_utc > at:
        raise ClocksDisagreeError(certificate.not_valid_before_utc, at)
    newest = authority.renewed(revocations) or authority
    holder = newest.check(certificate, Role.UNIT, at)
    if holder.name != issued.unit_id:
        raise ForeignCertificateError(f"is for {holder.name}, not for {issued.unit_id}")
    if certificate.public_key() != public_key:
        raise ForeignCertificateError("is for another key than this unit's")
    policy = open_signed(issued.policy, newest, at).policy
    check_recipients(policy)


def keep(folder: UnitFolder, card: EnrolmentSettings, issued: Issued, newest: Link | None) -> None:
    """Keep what was checked; `unit.toml` comes last and makes the unit an enrolled one. Raises OSError.

    Cut anywhere before that, the unit is still to be enrolled: its key is the same, so the dock gives it the same
    certificate at its next contact, without anybody's word, and all of this is written once more.
    """
    folder.data.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.path)
    if newest:
        continue_chain(folder.data, newest)
    folder.keep_revocations(issued.revocations)
    folder.settle_policy()  # of an earlier life of this card
    folder.place_policy(issued.policy)
    write_durably(folder.certificate_file, issued.certificate)
    publish_durably(folder.settings_file, _toml(card, issued))  # the cable's services, which are other users, go by it


def is_dock(certificate: x509.Certificate | None, authority: Authority, at: datetime) -> None:
    """Check that the dock's own certificate is valid by the dock's own clock; raises CertificateError."""
    if certificate is None:
        raise CertificateError("the dock", "none was shown")
    authority.check(certificate, Role.DOCK, at)


def _toml(card: EnrolmentSettings, issued: Issued) -> bytes:
    board = {name: getattr(card, name) for name in Board.__struct_fields__}
    settings = UnitSettings(unit_id=issued.unit_id, dock_url=issued.dock_url, **board)
    lines = [f"{name} = {msgspec.json.encode(getattr(settings, name)).decode()}\n" for name in _names(settings)]
    return "".join(lines).encode()


def _names(settings: UnitSettings) -> list[str]:
    """Return the names to be written: who it is and where its dock is, and what differs from the defaults."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(Board)}
    differing = [name for name, default in defaults.items() if getattr(settings, name) != default]
    return ["unit_id", "dock_url", *differing]
