"""Enrolling, listing and revoking units."""

from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from evidence.certificates import CertificateError, Role, load_certificate
from evidence.strict import SchemaError
from provisioning.authority import AuthorityFolder
from provisioning.placing import SetUp, WouldOverwriteError
from provisioning.units import (
    RequestError,
    UnitRevokedError,
    UnitTakenError,
    UnknownUnitError,
    enrol_unit,
    enrolled_units,
    make_unit_key,
    read_request,
    request_unit,
    revoke_unit,
)
from tests.unit.provisioning.conftest import NOW, openssl

URL = "https://dock.example:8444"


def enrol(folder: UnitFolder, town: AuthorityFolder, unit_id: str = "unit-01", url: str = URL) -> SetUp:
    _, enrolment = make_unit_key(folder, unit_id)
    return enrol_unit(folder, town, enrolment, url, NOW)


@pytest.fixture
def unit(town: AuthorityFolder, tmp_path: Path) -> UnitFolder:
    folder = UnitFolder(tmp_path / "unit")
    enrol(folder, town)
    return folder


def test_an_enrolled_unit_reads_its_own_files(unit: UnitFolder) -> None:
    assert unit.settings().dock_url == URL
    assert unit.policy().policy.policy_id == "bocholt-1"
    signed = unit.signer().signed(b"a manifest")
    assert signed.verify(unit.authority(), Role.UNIT, NOW, "manifest").name == "unit-01"
    assert oct(unit.key_file.stat().st_mode & 0o777) == "0o600"
    assert oct(unit.data.stat().st_mode & 0o777) == "0o700"


def test_an_enrolled_unit_knows_from_the_first_moment_who_is_revoked(
    unit: UnitFolder, town: AuthorityFolder, tmp_path: Path
) -> None:
    revoke_unit(town, "unit-01", NOW)
    second = UnitFolder(tmp_path / "second")
    enrol(second, town, "unit-02")
    with pytest.raises(CertificateError, match="it was revoked on 2026-11-24"):
        second.authority().check(load_certificate(unit.certificate_file), Role.UNIT, NOW)


def test_enrolling_again_brings_the_newest_list_of_revoked_certificates(
    unit: UnitFolder, town: AuthorityFolder, tmp_path: Path
) -> None:
    enrol(UnitFolder(tmp_path / "second"), town, "unit-02")
    revoke_unit(town, "unit-02", NOW)
    assert [step.path for step in enrol(unit, town).steps if step.is_new] == [unit.revocations_file]
    assert unit.revocations_file.read_bytes() == town.revocations_file.read_bytes()


def test_enrolling_again_changes_nothing(unit: UnitFolder, town: AuthorityFolder) -> None:
    assert not any(step.is_new for step in enrol(unit, town).steps)


def test_a_unit_that_is_elsewhere_is_enrolled_by_a_request_and_its_key_never_travels(
    town: AuthorityFolder, tmp_path: Path
) -> None:
    far = UnitFolder(tmp_path / "far")
    request_unit(far, "unit-02")
    here = UnitFolder(tmp_path / "here")
    enrol_unit(here, town, read_request(far.path / "unit.csr"), URL, NOW)
    assert not here.key_file.exists()
    for path in here.path.iterdir():
        if path.is_file():
            path.rename(far.path / path.name)
    signed = far.signer().signed(b"a manifest")
    assert signed.verify(far.authority(), Role.UNIT, NOW, "manifest").name == "unit-02"


def test_a_request_can_be_made_again_and_is_the_same(tmp_path: Path) -> None:
    folder = UnitFolder(tmp_path / "unit")
    request_unit(folder, "unit-02")
    assert not any(step.is_new for step in request_unit(folder, "unit-02").steps)


def test_stock_openssl_reads_the_request(tmp_path: Path) -> None:
    request_unit(UnitFolder(tmp_path), "unit-02")
    openssl("req", "-verify", "-noout", "-in", tmp_path / "unit.csr")


def test_a_request_whose_sender_does_not_hold_the_key_is_refused(tmp_path: Path) -> None:
    request_unit(UnitFolder(tmp_path), "unit-02")
    path = tmp_path / "unit.csr"
    der = bytearray(openssl("req", "-in", path, "-outform", "DER"))
    der[-1] ^= 1
    path.write_bytes(openssl("req", "-inform", "DER", data=bytes(der)))
    with pytest.raises(RequestError, match="its signature does not fit"):
        read_request(path)


def test_a_file_that_is_no_request_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unit.csr"
    path.write_text("nothing of the kind")
    with pytest.raises(RequestError, match="cannot be read"):
        read_request(path)


def test_an_id_is_given_to_one_unit_only(unit: UnitFolder, town: AuthorityFolder, tmp_path: Path) -> None:
    with pytest.raises(UnitTakenError, match="an id is used once"):
        enrol(UnitFolder(tmp_path / "other"), town)


def test_another_dock_url_for_the_same_folder_is_refused(unit: UnitFolder, town: AuthorityFolder) -> None:
    with pytest.raises(WouldOverwriteError, match="its dock_url is"):
        enrol(unit, town, url="https://elsewhere.example")


@pytest.mark.parametrize("url", ["http://dock.example", "https://dock.example/path", "dock.example"])
def test_a_dock_url_that_is_none_is_refused(town: AuthorityFolder, tmp_path: Path, url: str) -> None:
    with pytest.raises(SchemaError, match="dock_url"):
        enrol(UnitFolder(tmp_path / "unit"), town, url=url)


def test_a_revoked_unit_is_refused_by_all_and_listed_as_such(unit: UnitFolder, town: AuthorityFolder) -> None:
    revoke_unit(town, "unit-01", NOW)
    with pytest.raises(CertificateError, match="it was revoked on 2026-11-24"):
        town.authority().check(load_certificate(unit.certificate_file), Role.UNIT, NOW)
    (listed,) = enrolled_units(town)
    assert listed.revoked_at == NOW


def test_revoking_twice_changes_nothing_and_revoking_another_keeps_the_first(
    unit: UnitFolder, town: AuthorityFolder, tmp_path: Path
) -> None:
    enrol(UnitFolder(tmp_path / "second"), town, "unit-02")
    revoke_unit(town, "unit-01", NOW)
    assert not any(step.is_new for step in revoke_unit(town, "unit-01", NOW).steps)
    revoke_unit(town, "unit-02", NOW)
    assert [bool(listed.revoked_at) for listed in enrolled_units(town)] == [True, True]


def test_a_revoked_unit_is_not_enrolled_again(unit: UnitFolder, town: AuthorityFolder) -> None:
    revoke_unit(town, "unit-01", NOW)
    with pytest.raises(UnitRevokedError, match="under a new id"):
        enrol(unit, town)


def test_a_unit_that_nobody_enrolled_cannot_be_revoked(town: AuthorityFolder) -> None:
    with pytest.raises(UnknownUnitError, match="unit list"):
        revoke_unit(town, "unit-99", NOW)
