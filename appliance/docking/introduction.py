"""What the unit and the dock tell each other first: how the unit is; what time it is, who wears it, by which policy."""

from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509

from appliance.board.battery import Battery
from appliance.board.thermometer import Thermometer
from appliance.docking.client import DockAnswerError, DockClient
from appliance.installation import Installation
from evidence.certificates import Authority, CertificateError, Role
from evidence.docking import Greeting, Welcome
from evidence.errors import NotGenuineError
from evidence.policy import check_recipients, open_signed
from evidence.signature import Signed
from evidence.strict import read_json


class WelcomeDiffersError(NotGenuineError):
    """A dock's welcome is not meant for this unit, or not given by the dock that answers."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The dock's welcome {what}; nothing was handed over: have IT look at the dock.")


@dataclass(frozen=True)
class Gauge:
    """What measures the board; a board that cannot be measured says so."""

    battery: Battery
    thermometer: Thermometer


def introduce(installation: Installation, gauge: Gauge, dock: DockClient) -> Signed:
    """Tell the dock how the unit is, and return its Welcome, not checked yet; raises as DockClient does."""
    spool = installation.spool
    return dock.greet(
        Greeting(
            unit_id=installation.settings.unit_id,
            software=installation.facts.software,
            sent_at=installation.clock.utc(),
            clips_waiting=len(spool.waiting()),
            storage_free_bytes=spool.free_bytes(),
            storage_total_bytes=spool.total_bytes(),
            battery_percent=gauge.battery.percent(),
            temperature_celsius=gauge.thermometer.celsius(),
            seen_heads=spool.seen_heads(),
        )
    )


def read_welcome(document: Signed, authority: Authority, unit_id: str, shown: x509.Certificate) -> Welcome:
    """Return the Welcome if the dock that has `shown` its certificate in the handshake gave it to this unit.

    Certificates are held against the time that the dock itself states. The unit's clock is what is being set right
    here: held against that, a unit that lost the time would never get it again, and keep its clips for ever. A dock
    cannot gain by it: it was the authority that vouched for the one who signs the time, and a dock in wrong hands is a
    matter for the list of revoked certificates, which knows no time.

    Raises SchemaError, CertificateError, SignatureError or WelcomeDiffersError.
    """
    welcome = read_json(document.content, Welcome, "welcome")
    signer = document.verify(authority, Role.DOCK_SIGNER, welcome.time, "welcome")
    server = authority.check(shown, Role.DOCK, welcome.time)
    if welcome.unit_id != unit_id:
        raise WelcomeDiffersError(f"is for unit {welcome.unit_id}, not for this one")
    if not welcome.dock_id == signer.name == server.name:
        raise WelcomeDiffersError(f"of dock {welcome.dock_id} comes from dock {server.name}, signed by {signer.name}")
    return welcome


def greet(installation: Installation, gauge: Gauge, dock: DockClient, authority: Authority) -> Welcome:
    """Greet the dock, and set the clock by it unless the dock doubts its own.

    Raises as DockClient and `read_welcome` do, or OSError where the spool cannot be read.
    """
    clock = installation.clock
    asked = clock.monotonic()
    document = introduce(installation, gauge, dock)
    if dock.certificate is None:
        raise DockAnswerError("it came without a certificate")
    welcome = read_welcome(document, authority, installation.settings.unit_id, dock.certificate)
    if welcome.time_is_trusted:
        # A full storage is emptied by what comes next, and the next docking tells the time again.
        with suppress(OSError):
            clock.learn(welcome.time, uncertainty_seconds=clock.monotonic() - asked)
    return welcome


def take_revocations(installation: Installation, authority: Authority, welcome: Welcome) -> Authority:
    """Keep the dock's list of revoked certificates if it is newer than ours, and return the authority with the newest.

    Where it cannot be kept it is in force for this docking, and the next brings it again. Raises CertificateError for a
    list that is not the authority's.
    """
    try:
        revocations = x509.load_pem_x509_crl(welcome.revocations)
    except ValueError as error:
        raise CertificateError("a dock", "its list of revoked certificates cannot be read") from error
    renewed = authority.renewed(revocations)
    if renewed is None:
        return authority
    with suppress(OSError):
        installation.folder.keep_revocations(welcome.revocations)
    return renewed


def take_policy(installation: Installation, authority: Authority, welcome: Welcome) -> None:
    """Keep the policy of a Welcome if it is another than the one in force; it rules from the next undocking on.

    Raises CertificateError, SignatureError, SchemaError or OSError; the old one stays then.
    """
    document = Signed(
        content=welcome.policy, signature=welcome.policy_signature, certificate=welcome.policy_certificate
    )
    policy = open_signed(document, authority, welcome.time).policy
    check_recipients(policy)
    installation.folder.keep_policy(document)
