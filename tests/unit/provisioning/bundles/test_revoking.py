"""A release that nobody is to trust any more: its signers are revoked, and its offer ends."""

from datetime import timedelta
from pathlib import Path

import pytest

from dock_station.settings import DockFolder
from evidence.certificates import load_certificate
from evidence.release import Release
from provisioning.authority import AuthorityFolder
from provisioning.bundles.making import make_bundle
from provisioning.bundles.publishing import publish_bundle
from provisioning.bundles.reading import BundleRefusedError
from provisioning.bundles.revoking import UnknownReleaseError, revoke_release, withdraw_release
from provisioning.bundles.signers import RevokedReleaseError
from tests.bundles import NEWER, RELEASE
from tests.unit.provisioning.bundles.conftest import checked, new_dock, now


def revoked(authority: AuthorityFolder) -> set[int]:
    return {entry.serial_number for entry in authority.revocations()}


def test_every_signer_of_the_release_is_revoked_and_no_other(authority: AuthorityFolder, place: Path) -> None:
    make_bundle(checked(place / "older.img"), authority, place / "elsewhere", now())
    records = list(authority.bundles.glob(f"*{RELEASE}*.crt"))
    assert len(records) == 2
    revoke_release(authority, Release.parse(RELEASE), now())
    assert revoked(authority) == {load_certificate(record).serial_number for record in records}


def test_a_second_run_changes_nothing(authority: AuthorityFolder) -> None:
    revoke_release(authority, Release.parse(RELEASE), now())
    before = authority.revocations_file.read_bytes()
    setup = revoke_release(authority, Release.parse(RELEASE), now() + timedelta(days=1))
    assert [step.is_new for step in setup.steps] == [False]
    assert authority.revocations_file.read_bytes() == before


def test_one_that_was_never_signed_is_told(authority: AuthorityFolder) -> None:
    with pytest.raises(UnknownReleaseError, match=r"no signer of release 9\.0\.0\+"):
        revoke_release(authority, Release.parse("9.0.0+20261120T000000Z"), now())
    assert revoked(authority) == set()


def test_a_dock_that_knows_of_it_takes_no_bundle_of_it(
    authority: AuthorityFolder, older: Path, newer: Path, tmp_path: Path
) -> None:
    revoke_release(authority, Release.parse(RELEASE), now())
    dock = new_dock(tmp_path / "another", authority, "annex")
    with pytest.raises(BundleRefusedError, match="does not count"):
        publish_bundle(older, authority, dock, now())
    publish_bundle(newer, authority, dock, now())


def test_it_cannot_be_made_again(authority: AuthorityFolder, place: Path) -> None:
    revoke_release(authority, Release.parse(RELEASE), now())
    records = sorted(authority.bundles.iterdir())
    with pytest.raises(RevokedReleaseError, match="was revoked and stays so: have an image"):
        make_bundle(checked(place / "older.img"), authority, place / "elsewhere", now())
    assert sorted(authority.bundles.iterdir()) == records
    assert list((place / "elsewhere").iterdir()) == []


def test_only_an_offer_of_it_ends(authority: AuthorityFolder, dock: DockFolder, older: Path) -> None:
    assert not withdraw_release(dock, Release.parse(RELEASE))
    publish_bundle(older, authority, dock, now())
    assert not withdraw_release(dock, Release.parse(NEWER))
    assert dock.updates.offer() is not None
    assert withdraw_release(dock, Release.parse(RELEASE))
    assert dock.updates.offer() is None
