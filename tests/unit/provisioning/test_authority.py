"""The authority: who can issue, who can view, and that a second run changes nothing."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from evidence.age import ScryptIdentity, open_bytes, parse_identities
from provisioning.authority import AuthorityFolder, TownNameError, create_authority
from provisioning.placing import FolderInUseError, WouldOverwriteError, exclusively
from provisioning.station import OtherReviewerError, Passphrases, RecipientLostError
from tests.unit.provisioning.conftest import CHEAP, NOW, RECOVERY_PASSPHRASE, REVIEWER_PASSPHRASE, openssl


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_changes_no_byte_and_asks_for_no_passphrase(town: AuthorityFolder) -> None:
    def never() -> str:
        raise AssertionError("a passphrase was asked for")

    before = contents(town.path)
    setup = create_authority(
        town, town="Sampleton", reviewer="a-example", passphrases=Passphrases(never, never), at=NOW
    )
    assert contents(town.path) == before
    assert not any(step.is_new for step in setup.steps)


def test_the_station_key_opens_with_the_reviewers_passphrase_and_is_the_one_that_clips_are_sealed_to(
    town: AuthorityFolder,
) -> None:
    keyslot = (town.keyslots / "a-example.age").read_bytes()
    (identity,) = parse_identities(open_bytes(keyslot, [ScryptIdentity(REVIEWER_PASSPHRASE)]).decode())
    assert str(identity.recipient) == town.recipients()[0]


def test_the_recovery_key_opens_with_its_own_passphrase_and_is_a_recipient_of_every_clip(
    town: AuthorityFolder,
) -> None:
    (identity,) = parse_identities(
        open_bytes(town.recovery_file.read_bytes(), [ScryptIdentity(RECOVERY_PASSPHRASE)]).decode()
    )
    assert str(identity.recipient) == town.recipients()[1]


def test_no_secret_of_the_station_or_the_recovery_key_stands_in_the_clear(town: AuthorityFolder) -> None:
    everything = b"".join(contents(town.path).values())
    assert b"AGE-SECRET-KEY" not in everything.upper()
    assert REVIEWER_PASSPHRASE.encode() not in everything
    assert RECOVERY_PASSPHRASE.encode() not in everything


def test_private_keys_are_readable_by_their_owner_alone(town: AuthorityFolder) -> None:
    private = [town.key_file, town.policy_signer_key_file, town.keyslots / "a-example.age", town.recovery_file]
    assert [oct(path.stat().st_mode & 0o777) for path in private] == ["0o600"] * 4
    assert oct(town.path.stat().st_mode & 0o777) == "0o700"


def test_the_authority_is_a_p384_certificate_that_stock_openssl_accepts_with_its_list_of_revoked(
    town: AuthorityFolder,
) -> None:
    key = town.certificate().public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    assert key.curve.name == "secp384r1"
    trust = ("-crl_check", "-CRLfile", town.revocations_file, "-CAfile", town.certificate_file)
    openssl("verify", "-x509_strict", *trust, town.policy_signer_certificate_file)


def test_another_town_in_the_same_folder_is_refused(town: AuthorityFolder) -> None:
    with pytest.raises(WouldOverwriteError, match="it is the authority of Sampleton; nothing was changed"):
        create_authority(town, town="Otherton", reviewer="a-example", passphrases=CHEAP, at=NOW)


def test_another_first_reviewer_is_refused(town: AuthorityFolder) -> None:
    with pytest.raises(OtherReviewerError, match="is a-example, not b-example"):
        create_authority(town, town="Sampleton", reviewer="b-example", passphrases=CHEAP, at=NOW)


def test_a_recovery_key_that_was_carried_offline_is_not_made_anew(town: AuthorityFolder) -> None:
    recipients = town.recipients()
    town.recovery_file.rename(town.path.parent / "offline.age")
    create_authority(town, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=NOW)
    assert not town.recovery_file.exists()
    assert town.recipients() == recipients


@pytest.mark.parametrize("recipient", ["station.pub", "recovery.pub"])
def test_a_recipient_that_was_lost_is_told_again_by_its_key_and_no_key_is_replaced(
    town: AuthorityFolder, recipient: str
) -> None:
    before = contents(town.path)
    (town.path / recipient).unlink()
    wrong = Passphrases(lambda: "not one of the passphrases", lambda: "nor is this one of them", work_factor=2)
    with pytest.raises(RecipientLostError, match=rf"{recipient} is missing: restore it from a copy, or type the"):
        create_authority(town, town="Sampleton", reviewer="a-example", passphrases=wrong, at=NOW)
    assert contents(town.path) == {name: content for name, content in before.items() if name != recipient}
    create_authority(town, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=NOW)
    assert contents(town.path) == before


@pytest.mark.parametrize("recipient", ["station.pub", "recovery.pub"])
def test_a_recipient_that_was_lost_where_its_key_is_elsewhere_is_not_replaced(
    town: AuthorityFolder, recipient: str
) -> None:
    for key in ("keyslots/a-example.age", "recovery.age", recipient):
        (town.path / key).unlink()
    before = contents(town.path)
    with pytest.raises(RecipientLostError, match=rf"{recipient} is missing: .*policy.toml names it"):
        create_authority(town, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=NOW)
    assert contents(town.path) == before


@pytest.mark.parametrize("name", ["", "x" * 41])
def test_a_town_whose_name_does_not_fit_into_a_certificate_is_refused(name: str, tmp_path: Path) -> None:
    folder = AuthorityFolder(tmp_path / "town")
    with pytest.raises(TownNameError, match="must have 1 to 40 characters"):
        create_authority(folder, town=name, reviewer="a-example", passphrases=CHEAP, at=NOW)
    assert not folder.path.exists()


def test_two_commands_never_work_in_one_authority_at_the_same_time(town: AuthorityFolder) -> None:
    with exclusively(town.path), pytest.raises(FolderInUseError, match="wait for it"):
        create_authority(town, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=NOW)
