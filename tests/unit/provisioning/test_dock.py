"""Setting up a dock: what browsers, units and the dock itself need to find."""

import contextlib
import shutil
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from dock_station.settings import DockFolder
from evidence.certificates import Role, holder_of, load_certificate
from evidence.strict import SchemaError
from provisioning.authority import AuthorityFolder
from provisioning.dock import (
    BAYS_ADDRESS,
    DockPlan,
    DockRevokedError,
    DockTakenError,
    HostNameError,
    NotADockError,
    UnknownDockError,
    create_dock,
    renew_dock,
    revoke_dock,
    update_dock,
)
from provisioning.placing import WouldOverwriteError
from provisioning.policies import profile, sign_policy
from provisioning.units import enrol_unit, make_unit_key
from tests.unit.provisioning.conftest import NOW, openssl

PLAN = DockPlan("town-hall", ("dock.example", "localhost", "192.0.2.7", "fd6d:6972:726f::1"))


@pytest.fixture
def dock(town: AuthorityFolder, tmp_path: Path) -> DockFolder:
    folder = DockFolder(tmp_path / "dock")
    create_dock(folder, town, PLAN, NOW)
    return folder


def test_a_dock_that_was_set_up_reads_its_own_files(dock: DockFolder) -> None:
    assert dock.settings().host_names == PLAN.host_names
    assert dock.policy(NOW).policy.policy_id == "bocholt-1"
    authority = dock.authority()
    assert authority.check(load_certificate(dock.tls_certificate_file), Role.DOCK, NOW).name == "town-hall"
    signed = dock.signer().signed(b"a receipt")
    assert signed.verify(authority, Role.DOCK_SIGNER, NOW, "receipt").name == "town-hall"
    assert [path.name for path in dock.keyslots.iterdir()] == ["a-example.age"]


def test_a_second_run_changes_nothing_even_when_it_states_less(dock: DockFolder, town: AuthorityFolder) -> None:
    setup = create_dock(dock, town, PLAN, NOW + timedelta(days=30))
    assert not any(step.is_new for step in setup.steps)


@pytest.mark.parametrize("name", ["dock.example", "localhost", "192.0.2.7", "fd6d:6972:726f::1"])
def test_every_host_name_is_one_that_the_certificate_answers_for(dock: DockFolder, name: str) -> None:
    option = "-verify_hostname" if name[0] in "dl" else "-verify_ip"
    purpose = ("-x509_strict", "-purpose", "sslserver", option, name)
    openssl("verify", *purpose, "-CAfile", dock.authority_file, dock.tls_certificate_file)


def test_the_tls_certificate_lasts_no_longer_than_browsers_accept(dock: DockFolder) -> None:
    certificate = load_certificate(dock.tls_certificate_file)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=825)


def test_unit_and_dock_shake_hands_as_strictly_as_python_knows(
    dock: DockFolder, town: AuthorityFolder, tmp_path: Path
) -> None:
    unit = UnitFolder(tmp_path / "unit")
    _, enrolment = make_unit_key(unit, "unit-01")
    enrol_unit(unit, town, enrolment, "https://localhost:8444", NOW)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(dock.tls_certificate_file, dock.tls_key_file)
    server.load_verify_locations(dock.authority_file)
    server.load_verify_locations(dock.revocations_file)
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF
    client = ssl.create_default_context(cafile=str(unit.authority_file))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(unit.certificate_file, unit.key_file)
    assert _handshake(server, client, "localhost") == "TLSv1.3"


def test_a_changed_plan_is_refused_and_changes_nothing(dock: DockFolder, town: AuthorityFolder) -> None:
    before = dock.settings_file.read_bytes()
    with pytest.raises(WouldOverwriteError, match="its host_names is"):
        create_dock(dock, town, DockPlan("town-hall", ("elsewhere.example",)), NOW)
    assert dock.settings_file.read_bytes() == before


def test_settings_that_the_plan_does_not_state_are_the_towns_own(dock: DockFolder, town: AuthorityFolder) -> None:
    dock.settings_file.write_bytes(dock.settings_file.read_bytes() + b"unlock_minutes = 5\n")
    create_dock(dock, town, PLAN, NOW)
    assert dock.settings().unlock_minutes == 5


def test_a_second_dock_cannot_take_the_first_ones_id(dock: DockFolder, town: AuthorityFolder, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in town.path.rglob("*") if path.is_file()}
    with pytest.raises(DockTakenError, match="choose another id"):
        create_dock(DockFolder(tmp_path / "other"), town, PLAN, NOW)
    assert not (tmp_path / "other").exists()
    assert {path: path.read_bytes() for path in town.path.rglob("*") if path.is_file()} == before


def test_a_dock_that_lost_its_keys_does_not_get_its_id_for_others(dock: DockFolder, town: AuthorityFolder) -> None:
    dock.tls_key_file.unlink()
    with pytest.raises(DockTakenError, match="choose another id"):
        create_dock(dock, town, PLAN, NOW)
    assert not dock.tls_key_file.exists()


def test_a_dock_answers_at_the_bays_address_whatever_hosts_it_was_given(town: AuthorityFolder, tmp_path: Path) -> None:
    network = Path(__file__).parents[3] / "systemd/network/dock/10-mirrorcam-bridge.network"
    assert f"Address={BAYS_ADDRESS}/64" in network.read_text()
    folder = DockFolder(tmp_path / "dock")
    create_dock(folder, town, DockPlan("town-hall", ("dock.example",)), NOW)
    for at in (NOW, NOW + timedelta(days=800)):
        openssl("verify", "-verify_ip", BAYS_ADDRESS, "-CAfile", folder.authority_file, folder.tls_certificate_file)
        renew_dock(folder, town, at)
    assert folder.settings().host_names == ("dock.example",)


@pytest.mark.parametrize("host", ["", "Dock.Example", "dock..example", "https://dock.example", "-dock", "300.1.2.3.4."])
def test_a_host_that_is_no_name_and_no_address_is_refused_before_anything_is_made(
    town: AuthorityFolder, tmp_path: Path, host: str
) -> None:
    with pytest.raises(HostNameError, match="is no host name and no IP address"):
        create_dock(DockFolder(tmp_path / "dock"), town, DockPlan("town-hall", (host,)), NOW)
    assert not (tmp_path / "dock").exists()


def test_a_dock_needs_a_host_name(town: AuthorityFolder, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="host_names"):
        create_dock(DockFolder(tmp_path / "dock"), town, DockPlan("town-hall", ()), NOW)


def test_update_brings_the_newest_policy(dock: DockFolder, town: AuthorityFolder) -> None:
    sign_policy(town, profile("nrw"))
    update_dock(dock, town, NOW)
    assert dock.policy(NOW).policy.policy_id == "nrw-1"


def test_renewing_gives_the_same_key_a_certificate_for_later(dock: DockFolder, town: AuthorityFolder) -> None:
    before = load_certificate(dock.tls_certificate_file)
    renew_dock(dock, town, NOW + timedelta(days=800))
    after = load_certificate(dock.tls_certificate_file)
    assert after.public_key() == before.public_key()
    assert after.not_valid_after_utc == before.not_valid_after_utc + timedelta(days=800)
    assert holder_of(after) == holder_of(before)
    assert not any(step.is_new for step in create_dock(dock, town, PLAN, NOW).steps)


def revoked(town: AuthorityFolder) -> set[int]:
    return {entry.serial_number for entry in town.revocations()}


def test_revoking_takes_in_every_certificate_that_the_dock_ever_had_and_no_other(
    dock: DockFolder, town: AuthorityFolder, tmp_path: Path
) -> None:
    other = DockFolder(tmp_path / "other")
    create_dock(other, town, DockPlan("town-hall-tls", ("dock.example",)), NOW)
    files = [dock.signer_certificate_file]
    for days in (0, 400, 800):
        if days:
            renew_dock(dock, town, NOW + timedelta(days=days))
        files.append(Path(shutil.copy(dock.tls_certificate_file, tmp_path / f"{days}.crt")))
    revoke_dock(town, "town-hall", NOW)
    assert revoked(town) == {load_certificate(file).serial_number for file in files}
    assert len(revoked(town)) == 4
    before = town.revocations_file.read_bytes()
    assert not any(step.is_new for step in revoke_dock(town, "town-hall", NOW + timedelta(days=1)).steps)
    assert town.revocations_file.read_bytes() == before


def test_a_revoked_dock_is_neither_renewed_nor_set_up_again(dock: DockFolder, town: AuthorityFolder) -> None:
    revoke_dock(town, "town-hall", NOW)
    before = {path: path.read_bytes() for path in town.path.rglob("*") if path.is_file()}
    with pytest.raises(DockRevokedError, match="was revoked and stays so: set another one up"):
        renew_dock(dock, town, NOW)
    with pytest.raises(DockRevokedError):
        create_dock(dock, town, PLAN, NOW)
    assert {path: path.read_bytes() for path in town.path.rglob("*") if path.is_file()} == before


def test_a_dock_that_was_never_set_up_is_told(dock: DockFolder, town: AuthorityFolder) -> None:
    with pytest.raises(UnknownDockError, match=r"has set up no dock 'annex': .* its folder 'docks'"):
        revoke_dock(town, "annex", NOW)
    assert revoked(town) == set()


def test_a_folder_without_a_dock_is_neither_updated_nor_renewed(town: AuthorityFolder, tmp_path: Path) -> None:
    for command in (update_dock, renew_dock):
        with pytest.raises(NotADockError, match="dock create"):
            command(DockFolder(tmp_path), town, NOW)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    client_end = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(5):
        for end in (client_end, server_end):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    server_end.do_handshake()
    return server_end.version()
