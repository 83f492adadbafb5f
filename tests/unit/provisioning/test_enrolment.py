"""Signing what was confirmed at a dock: which key gets which id, and how the command ends."""

import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dock_station.settings import DockFolder
from evidence.certificates import CertificateError, Role
from evidence.enrolment import Answer, Confirmed, Register, key_sha256
from evidence.enrolment_files import EnrolmentOpenError
from evidence.policy import open_signed
from provisioning.authority import AuthorityFolder, create_authority
from provisioning.dock import DockPlan, NotADockError, OtherAuthorityError, create_dock, revoke_dock
from provisioning.enrolment import Signed, SigningDesk
from provisioning.placing import exclusively
from provisioning.policies import profile, sign_policy
from provisioning.units import UnknownUnitError, enrolled_units, reissue_unit, revoke_unit, waits_for_reissue
from tests.unit.provisioning.conftest import CHEAP, NOW

PLAN = DockPlan("town-hall", ("dock.example", "fd6d::1"))


@pytest.fixture
def dock(town: AuthorityFolder, tmp_path: Path) -> DockFolder:
    folder = DockFolder(tmp_path / "dock")
    create_dock(folder, town, PLAN, NOW)
    folder.enrolment.prepare()
    return folder


def ask(dock: DockFolder, unit_id: str, key: Ed25519PrivateKey | None = None) -> str:
    """Confirm a request, as the dock does, and return its name."""
    key = key or Ed25519PrivateKey.generate()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    csr = request.public_bytes(serialization.Encoding.PEM)
    name = key_sha256(key.public_key())
    dock.enrolment.ask(name, Confirmed(unit_id=unit_id, csr=csr, confirmed_at=NOW))
    return name


def sign(town: AuthorityFolder, dock: DockFolder, count: int = 1) -> list[Signed]:
    """Run the desk until so many requests are answered."""
    stop, done = threading.Event(), []
    for each in SigningDesk(town, dock, None, lambda: NOW).run(stop, lambda: None):
        done.append(each)
        if len(done) == count:
            stop.set()
    return done


def certificate(dock: DockFolder, name: str) -> x509.Certificate:
    answer = dock.enrolment.answer_of(name)
    assert answer
    assert answer.issued, answer.refusal
    return x509.load_pem_x509_certificate(answer.issued.certificate)


def test_what_was_confirmed_is_signed_with_all_that_a_unit_needs(town: AuthorityFolder, dock: DockFolder) -> None:
    key = Ed25519PrivateKey.generate()
    name = ask(dock, "unit-01", key)
    assert sign(town, dock) == [Signed("unit-01", None)]
    answer = dock.enrolment.answer_of(name)
    assert answer
    assert answer.issued
    assert answer.issued.dock_url == "https://[fd6d:6972:726f::1]:8444"
    assert answer.issued.revocations == town.revocations_file.read_bytes()
    assert open_signed(answer.issued.policy, town.authority(), NOW).policy.policy_id == "bocholt-1"
    issued = certificate(dock, name)
    assert town.authority().check(issued, Role.UNIT, NOW).name == "unit-01"
    assert issued.public_key() == key.public_key()
    assert dock.enrolment.register() == Register(enrolled=("unit-01",))
    assert [each.unit_id for each in enrolled_units(town)] == ["unit-01"]


def test_the_door_is_open_exactly_as_long_as_it_runs_and_for_one_at_a_time(
    town: AuthorityFolder, dock: DockFolder
) -> None:
    ask(dock, "unit-01")
    stop = threading.Event()
    running = SigningDesk(town, dock, None, lambda: NOW).run(stop, lambda: None)
    assert not dock.enrolment.is_open()
    next(running)
    assert dock.enrolment.is_open()
    with pytest.raises(EnrolmentOpenError):
        next(SigningDesk(town, dock, None, lambda: NOW).run(stop, lambda: None))
    stop.set()
    assert list(running) == []
    assert not dock.enrolment.is_open()


def test_no_private_key_of_the_authority_is_in_the_docks_folder(town: AuthorityFolder, dock: DockFolder) -> None:
    ask(dock, "unit-01")
    sign(town, dock)
    secret = town.key_file.read_bytes().splitlines()[1]
    assert not [path for path in dock.path.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_an_id_that_is_taken_is_declined_in_a_sentence_and_the_next_request_is_signed(
    town: AuthorityFolder, dock: DockFolder
) -> None:
    ask(dock, "unit-01")
    sign(town, dock)
    taken, other = ask(dock, "unit-01"), ask(dock, "unit-02")
    done = {each.unit_id: each.refusal for each in sign(town, dock, 2)}
    assert done["unit-02"] is None
    assert "an id is used once" in (done["unit-01"] or "")
    assert dock.enrolment.answer_of(taken) == Answer(refusal=done["unit-01"])
    assert certificate(dock, other)


def test_the_same_key_gets_the_same_certificate_again(town: AuthorityFolder, dock: DockFolder) -> None:
    key = Ed25519PrivateKey.generate()
    name = ask(dock, "unit-01", key)
    sign(town, dock)
    first = certificate(dock, name)
    ask(dock, "unit-01", key)  # after a crash between certificate and answer, say
    sign(town, dock)
    assert certificate(dock, name) == first


def test_a_file_that_is_no_request_is_declined(town: AuthorityFolder, dock: DockFolder) -> None:
    name = "ab" * 32
    for content in (b"{}", b'{"schema": "mirrorcam/enrolment-request/1"', b"\xff"):
        dock.enrolment.forget(name)
        (dock.enrolment.requests / f"{name}.json").write_bytes(content)
        (done,) = sign(town, dock)
        assert "is refused" in (done.refusal or "")
    dock.enrolment.ask(name, Confirmed(unit_id="unit-01", csr=b"none", confirmed_at=NOW))
    assert "cannot be read" in (sign(town, dock)[0].refusal or "")
    assert enrolled_units(town) == []


def test_a_unit_that_is_reissued_keeps_its_id_with_a_new_key_or_its_own_once(
    town: AuthorityFolder, dock: DockFolder
) -> None:
    key = Ed25519PrivateKey.generate()
    name = ask(dock, "unit-01", key)
    sign(town, dock)
    first = certificate(dock, name)
    reissue_unit(town, "unit-01", NOW)
    assert [waits_for_reissue(town, each) for each in enrolled_units(town)] == [True]
    with pytest.raises(CertificateError, match="revoked"):
        town.authority().check(first, Role.UNIT, NOW)
    anew = ask(dock, "unit-01")
    assert sign(town, dock) == [Signed("unit-01", None)]
    assert town.authority().check(certificate(dock, anew), Role.UNIT, NOW).name == "unit-01"
    assert [waits_for_reissue(town, each) for each in enrolled_units(town)] == [False]
    ask(dock, "unit-01", key)
    assert "an id is used once" in (sign(town, dock)[0].refusal or ""), "the mark is used up"
    reissue_unit(town, "unit-01", NOW)
    ask(dock, "unit-01", key)
    assert sign(town, dock)[0].refusal is None


def test_a_stolen_unit_stays_revoked_and_its_id_is_given_to_nobody(town: AuthorityFolder, dock: DockFolder) -> None:
    key = Ed25519PrivateKey.generate()
    ask(dock, "unit-01", key)
    sign(town, dock)
    revoke_unit(town, "unit-01", NOW)
    ask(dock, "unit-01", key)
    ask(dock, "unit-01")
    sentences = " ".join(str(each.refusal) for each in sign(town, dock, 2))
    assert "was revoked and stays so" in sentences
    assert "an id is used once" in sentences
    with pytest.raises(UnknownUnitError):
        reissue_unit(town, "unit-99", NOW)


def test_whoever_is_revoked_while_it_runs_is_refused_at_the_dock_at_once(
    town: AuthorityFolder, dock: DockFolder
) -> None:
    ask(dock, "unit-01")
    stop = threading.Event()
    running = SigningDesk(town, dock, None, lambda: NOW).run(stop, lambda: None)
    next(running)
    reissue_unit(town, "unit-01", NOW)
    ask(dock, "unit-02")
    next(running)
    assert dock.revocations_file.read_bytes() == town.revocations_file.read_bytes()
    stop.set()
    list(running)
    assert dock.enrolment.register().to_reissue == ("unit-01",)


def test_a_request_waits_while_another_command_works_in_the_authoritys_folder(
    town: AuthorityFolder, dock: DockFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.enrolment.LOOK_SECONDS", 0.01)
    ask(dock, "unit-01")
    stop = threading.Event()
    opened = threading.Event()
    done: list[Signed] = []
    with exclusively(town.path):
        running = SigningDesk(town, dock, None, lambda: NOW).run(stop, opened.set)
        worker = threading.Thread(target=lambda: done.append(next(running)))
        worker.start()
        assert opened.wait(30)
        assert done == []
        assert dock.enrolment.unanswered()
    worker.join(30)
    assert done == [Signed("unit-01", None)]
    stop.set()
    list(running)


def test_nothing_is_signed_at_a_dock_that_was_revoked(town: AuthorityFolder, dock: DockFolder) -> None:
    ask(dock, "unit-01")
    revoke_dock(town, "town-hall", NOW)
    with pytest.raises(CertificateError, match="revoked"):
        next(SigningDesk(town, dock, None, lambda: NOW).run(threading.Event(), lambda: None))
    assert enrolled_units(town) == []


def test_a_dock_of_another_authority_is_not_opened(town: AuthorityFolder, dock: DockFolder, tmp_path: Path) -> None:
    other = AuthorityFolder(tmp_path / "other")
    create_authority(other, town="Otherton", reviewer="a-example", passphrases=CHEAP, at=NOW)
    sign_policy(other, profile("bocholt"))
    before = dock.policy_file.read_bytes()
    with pytest.raises(OtherAuthorityError, match=r"The dock in .* is another authority's"):
        SigningDesk(other, dock, None, lambda: NOW)
    assert dock.policy_file.read_bytes() == before
    with pytest.raises(NotADockError):
        SigningDesk(town, DockFolder(tmp_path), None, lambda: NOW)
