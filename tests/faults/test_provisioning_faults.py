"""Power cuts during provisioning: whatever moment it ends at, the next run finishes and nothing is half there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from dock_station.settings import DockFolder
from evidence.age import ScryptIdentity, open_bytes, parse_identities
from evidence.certificates import Role
from provisioning.authority import AuthorityFolder, create_authority
from provisioning.dock import DockPlan, create_dock
from provisioning.policies import policy_in_force, profile, sign_policy
from provisioning.station import Passphrases
from provisioning.units import enrol_unit, make_unit_key
from tests.unit.provisioning.conftest import CHEAP, NOW, REVIEWER_PASSPHRASE

SURVIVED = 0
CUT = 9


def make_authority(folder: Path) -> None:
    town = AuthorityFolder(folder / "town")
    create_authority(town, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=NOW)
    sign_policy(town, profile("bocholt"))


def make_dock(folder: Path) -> None:
    create_dock(DockFolder(folder / "dock"), AuthorityFolder(folder / "town"), DockPlan("hall", ("localhost",)), NOW)


def make_unit(folder: Path) -> None:
    unit = UnitFolder(folder / "unit")
    _, enrolment = make_unit_key(unit, "unit-01")
    enrol_unit(unit, AuthorityFolder(folder / "town"), enrolment, "https://localhost", NOW)


def cut_at(flush: int, run: Callable[[Path], None], folder: Path) -> int:
    """Run in a process that dies just before its `flush`-th fsync, as by a power cut; return how it ended."""
    child = os.fork()
    if child == 0:
        really, seen = os.fsync, 0

        def fsync(descriptor: int) -> None:
            nonlocal seen
            seen += 1
            if seen == flush:
                os._exit(CUT)
            really(descriptor)

        os.fsync = fsync  # type: ignore[assignment]
        try:
            run(folder)
            os._exit(SURVIVED)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def cut_everywhere(run: Callable[[Path], None], folder: Path) -> int:
    """Run again and again, each time cut at the next moment of what is left to do; return how many cuts there were."""
    cuts = 0
    while (ended := cut_at(1 + cuts % 20, run, folder)) == CUT:
        cuts += 1
        assert cuts < 500, "it never finishes"
    assert ended == SURVIVED
    return cuts


def test_an_authority_that_was_cut_again_and_again_is_whole_in_the_end(tmp_path: Path) -> None:
    assert cut_everywhere(make_authority, tmp_path) >= 10
    town = AuthorityFolder(tmp_path / "town")
    keyslot = (town.keyslots / "a-example.age").read_bytes()
    (identity,) = parse_identities(open_bytes(keyslot, [ScryptIdentity(REVIEWER_PASSPHRASE)]).decode())
    assert str(identity.recipient) == town.recipients()[0]
    assert policy_in_force(town, NOW).policy.recipients == town.recipients()
    assert {path.name for path in town.path.iterdir() if not path.name.startswith(".")} == {
        *("authority.key", "authority.crt", "policy-signer.key", "policy-signer.crt", "revocations.pem"),
        *("keyslots", "units", "docks", "station.pub", "recovery.pub", "recovery.age"),
        *("policy.toml", "policy.toml.sig", "policy.toml.crt"),
    }


@pytest.mark.parametrize("flush", range(1, 30))
def test_a_cut_at_any_flush_of_a_first_run_leaves_what_the_next_run_finishes(tmp_path: Path, flush: int) -> None:
    cut_at(flush, make_authority, tmp_path)
    make_authority(tmp_path)
    town = AuthorityFolder(tmp_path / "town")
    keyslot = (town.keyslots / "a-example.age").read_bytes()
    (identity,) = parse_identities(open_bytes(keyslot, [ScryptIdentity(REVIEWER_PASSPHRASE)]).decode())
    assert policy_in_force(town, NOW).policy.recipients[0] == str(identity.recipient)


def test_a_dock_and_a_unit_that_were_cut_again_and_again_are_whole_in_the_end(tmp_path: Path) -> None:
    make_authority(tmp_path)
    assert cut_everywhere(make_dock, tmp_path) > 5
    assert cut_everywhere(make_unit, tmp_path) > 3
    dock, unit = DockFolder(tmp_path / "dock"), UnitFolder(tmp_path / "unit")
    receipt = dock.signer().signed(b"a receipt")
    assert receipt.verify(unit.authority(), Role.DOCK_SIGNER, NOW, "receipt").name == "hall"
    manifest = unit.signer().signed(b"a manifest")
    assert manifest.verify(dock.authority(), Role.UNIT, NOW, "manifest").name == "unit-01"
    assert unit.policy().sha256 == dock.policy(NOW).sha256


def test_no_cut_leaves_a_private_key_that_others_can_read(tmp_path: Path) -> None:
    cut_everywhere(make_authority, tmp_path)
    leftovers = [path for path in (tmp_path / "town").rglob("*") if path.is_file()]
    private = [path for path in leftovers if b"PRIVATE KEY" in path.read_bytes() or ".age" in path.name]
    assert len(private) > 4
    assert {oct(path.stat().st_mode & 0o777) for path in private} == {"0o600"}


def test_a_run_that_fails_for_want_of_a_passphrase_is_finished_by_the_next(tmp_path: Path) -> None:
    def nobody() -> str:
        raise KeyboardInterrupt

    town = AuthorityFolder(tmp_path / "town")
    with pytest.raises(KeyboardInterrupt):
        create_authority(town, town="Sampleton", reviewer="a-example", passphrases=Passphrases(nobody, nobody), at=NOW)
    make_authority(tmp_path)
    assert len(town.recipients()) == 2
