"""Setting up a dock: its keys, its certificates, what it must know of the authority; and taking its trust away."""

import ipaddress
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from dock_station.settings import DockFolder, DockSettings
from evidence.certificates import Holder, Role, load_certificate
from evidence.errors import EnvironmentalError, ExitCode, MirrorcamError, NotGenuineError
from evidence.strict import read_toml
from provisioning.authority import AuthorityFolder
from provisioning.issuing import pem
from provisioning.keys import load_key, make_server_key, make_signing_key
from provisioning.placing import PRIVATE_FILE, SetUp, WouldOverwriteError, exclusively
from provisioning.policies import publish_policy
from provisioning.revoking import revoke

# The dock's address in the bays, the same at every dock (systemd/network/dock/10-mirrorcam-bridge.network).
BAYS_ADDRESS = "fd6d:6972:726f::1"

# RFC 1123 §2.1: labels of letters, digits and inner hyphens; 253 characters in all.
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class HostNameError(MirrorcamError):
    """A host that a dock should answer for is neither a name nor an address."""

    exit_code = ExitCode.USAGE

    def __init__(self, host: str) -> None:
        super().__init__(f"'{host}' is no host name and no IP address: give it as in 'dock.example' or 'fd6d::1'.")


class SamePortError(MirrorcamError):
    """The pages and the bays were given one port."""

    exit_code = ExitCode.USAGE

    def __init__(self, port: int) -> None:
        super().__init__(
            f"The pages and the bays would both listen at port {port}: choose two with --pages-port and --bays-port."
        )


class NotADockError(EnvironmentalError):
    """A folder is not a dock's."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is no dock's folder: set one up with 'mirrorcam-provision dock create' first.")


class DockTakenError(MirrorcamError):
    """The authority knows another dock by this id."""

    def __init__(self, dock_id: str) -> None:
        super().__init__(
            f"This authority has issued a certificate to another dock '{dock_id}': choose another id, or name that "
            "dock's own folder. Nothing was changed."
        )


class DockRevokedError(MirrorcamError):
    """The dock's certificates were revoked."""

    def __init__(self, dock_id: str) -> None:
        super().__init__(f"Dock '{dock_id}' was revoked and stays so: set another one up, under a new id.")


class UnknownDockError(MirrorcamError):
    """The authority has set up no such dock."""

    def __init__(self, dock_id: str) -> None:
        super().__init__(
            f"This authority has set up no dock '{dock_id}': the certificates of all that it has are in its folder "
            "'docks'."
        )


class OtherAuthorityError(NotGenuineError):
    """A dock belongs to another authority than the one that was named."""

    def __init__(self, dock: Path) -> None:
        super().__init__(
            f"The dock in {dock} is another authority's: name the one that it was set up with. Nothing was changed."
        )


@dataclass(frozen=True)
class DockPlan:
    """What IT decides about a dock; None leaves a setting to its default, or to what dock.toml says already."""

    dock_id: str
    host_names: tuple[str, ...]
    pages_port: int | None = None
    bays_port: int | None = None
    address: str | None = None

    def stated(self) -> dict[str, object]:
        """Return the settings that the plan states, by their names in dock.toml."""
        settings = {
            "dock_id": self.dock_id,
            "host_names": list(self.host_names),
            "pages_address": self.address,
            "pages_port": self.pages_port,
            "bays_address": self.address,
            "bays_port": self.bays_port,
        }
        return {name: value for name, value in settings.items() if value is not None}


def create_dock(folder: DockFolder, authority: AuthorityFolder, plan: DockPlan, at: datetime) -> SetUp:
    """Make what is missing of a dock's set-up; its keys are made here and stay here.

    Raises HostNameError, SamePortError, DockTakenError, DockRevokedError, OtherAuthorityError, WouldOverwriteError,
    NoAuthorityError, NotAnAuthorityError, NoPolicyError or SchemaError.
    """
    for host in plan.host_names:
        _check_host(host)
    authority.issuer()
    setup = SetUp()
    with exclusively(authority.path):
        if folder.authority_file.exists():
            _check_same_authority(folder, authority)
        _check_id_is_free(folder, authority, plan.dock_id)
        _check_not_revoked(authority, plan.dock_id)
        setup.folder(folder.path)
        _make_settings(setup, folder, plan)
        _make_secrets(setup, folder)
        _make_certificates(setup, folder, authority, plan, at)
        setup.file(folder.authority_file, pem(authority.certificate()), "certificate of the authority")
        _copy_keyslots(setup, folder, authority)
    setup.steps += update_dock(folder, authority, at).steps
    return setup


def update_dock(folder: DockFolder, authority: AuthorityFolder, at: datetime) -> SetUp:
    """Bring a dock the authority's newest policy and list of revoked certificates.

    Raises NotADockError, OtherAuthorityError, or as `publish_policy` does.
    """
    check_own_dock(folder, authority)
    setup = SetUp()
    setup.replacement(folder.revocations_file, authority.revocations_file.read_bytes(), "list of revoked certificates")
    setup.steps += publish_policy(authority, folder.policy_file, at).steps
    return setup


def renew_dock(folder: DockFolder, authority: AuthorityFolder, at: datetime) -> SetUp:
    """Give a dock a new TLS certificate for the key that it has; the authority keeps the one before.

    Raises NotADockError, OtherAuthorityError or DockRevokedError.
    """
    check_own_dock(folder, authority)
    settings = folder.settings()
    public_key = load_key(folder.tls_key_file).public_key()
    setup = SetUp()
    with exclusively(authority.path):
        _check_not_revoked(authority, settings.dock_id)
        holder = Holder(Role.DOCK, settings.dock_id)
        certificate = pem(authority.issuer().issue(holder, public_key, at, _answered_for(settings.host_names)))
        register = authority.docks / f"{settings.dock_id}.tls.crt"
        if register.exists():
            before = load_certificate(register)
            kept = authority.docks / f"{settings.dock_id}.tls-{before.serial_number:x}.crt"
            setup.file(kept, pem(before), "the authority's copy of the one before")
        setup.replacement(register, certificate, "the authority's copy of it")
        setup.replacement(folder.tls_certificate_file, certificate, "new TLS certificate")
    return setup


def revoke_dock(authority: AuthorityFolder, dock_id: str, at: datetime) -> SetUp:
    """Revoke every certificate that a dock ever had, to serve and to sign, for good.

    Raises UnknownDockError or NoAuthorityError.
    """
    certificates = _certificates_of(authority, dock_id)
    if not certificates:
        raise UnknownDockError(dock_id)
    return revoke(authority, certificates, f"dock {dock_id}", at)


def check_is_dock(folder: DockFolder) -> None:
    """Raise NotADockError for a folder that is no dock's."""
    if not folder.tls_key_file.exists():
        raise NotADockError(folder.path)


def check_own_dock(folder: DockFolder, authority: AuthorityFolder) -> None:
    """Raise NotADockError, or OtherAuthorityError for a dock that another authority has set up.

    Of the authority no more than its certificate is needed.
    """
    check_is_dock(folder)
    _check_same_authority(folder, authority)


def _check_same_authority(folder: DockFolder, authority: AuthorityFolder) -> None:
    if load_certificate(folder.authority_file) != authority.certificate():
        raise OtherAuthorityError(folder.path)


def _check_id_is_free(folder: DockFolder, authority: AuthorityFolder, dock_id: str) -> None:
    """Raise DockTakenError where the authority has certified a key by this id that is not the folder's."""
    for kind, key_file in (("tls", folder.tls_key_file), ("signer", folder.signer_key_file)):
        register = authority.docks / f"{dock_id}.{kind}.crt"
        if register.exists() and not (
            key_file.exists() and load_certificate(register).public_key() == load_key(key_file).public_key()
        ):
            raise DockTakenError(dock_id)


def _certificates_of(authority: AuthorityFolder, dock_id: str) -> list[x509.Certificate]:
    """Return every certificate that a dock ever had: the newest ones, and the TLS ones before."""
    kinds = ("tls", "tls-*", "signer")
    return [load_certificate(path) for kind in kinds for path in sorted(authority.docks.glob(f"{dock_id}.{kind}.crt"))]


def _check_not_revoked(authority: AuthorityFolder, dock_id: str) -> None:
    known = authority.authority()
    if any(known.has_revoked(each.serial_number) for each in _certificates_of(authority, dock_id)):
        raise DockRevokedError(dock_id)


def _answered_for(host_names: Sequence[str]) -> tuple[str, ...]:
    """Return what a dock's TLS certificate names: its hosts, and the bays' address, by which every unit calls it."""
    return (*host_names, *(() if BAYS_ADDRESS in host_names else (BAYS_ADDRESS,)))


def _make_settings(setup: SetUp, folder: DockFolder, plan: DockPlan) -> None:
    stated = plan.stated()
    if folder.settings_file.exists():
        known = folder.settings()
        for name, value in stated.items():
            there = getattr(known, name)
            if (list(there) if isinstance(there, tuple) else there) != value:
                raise WouldOverwriteError(folder.settings_file, f"its {name} is {json.dumps(there)}")
        setup.found(folder.settings_file, "settings of the dock")
        return
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in stated.items()]
    content = "".join(lines).encode()
    settings = read_toml(content, DockSettings, "file dock.toml")
    if settings.pages_port == settings.bays_port != 0:
        raise SamePortError(settings.bays_port)
    setup.file(folder.settings_file, content, "settings of the dock")


def _make_secrets(setup: SetUp, folder: DockFolder) -> None:
    setup.secret(folder.tls_key_file, make_server_key, "key of the TLS server")
    setup.secret(folder.signer_key_file, make_signing_key, "key that signs receipts")
    setup.secret(folder.session_key_file, lambda: secrets.token_hex(32).encode(), "key that signs page sessions")


def _make_certificates(
    setup: SetUp, folder: DockFolder, authority: AuthorityFolder, plan: DockPlan, at: datetime
) -> None:
    wanted = (
        (Role.DOCK, folder.tls_key_file, folder.tls_certificate_file, "tls", _answered_for(plan.host_names)),
        (Role.DOCK_SIGNER, folder.signer_key_file, folder.signer_certificate_file, "signer", ()),
    )
    for role, key_file, certificate_file, kind, host_names in wanted:
        register = authority.docks / f"{plan.dock_id}.{kind}.crt"
        if not register.exists():
            holder = Holder(role, plan.dock_id)
            certificate = authority.issuer().issue(holder, load_key(key_file).public_key(), at, host_names)
            setup.file(register, pem(certificate), f"the authority's copy of the {role.value} certificate")
        setup.file(certificate_file, register.read_bytes(), f"certificate of the {role.value}")


def _copy_keyslots(setup: SetUp, folder: DockFolder, authority: AuthorityFolder) -> None:
    setup.folder(folder.keyslots)
    for keyslot in sorted(authority.keyslots.glob("*.age")):
        copy = folder.keyslots / keyslot.name
        if copy.exists():  # the reviewer may have changed the passphrase at the dock since
            setup.found(copy, f"keyslot of {keyslot.stem}")
        else:
            setup.file(copy, keyslot.read_bytes(), f"keyslot of {keyslot.stem}", mode=PRIVATE_FILE)


def _check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise HostNameError(host) from None
