"""Policies: the shipped profiles, signing, and what is refused."""

import re
import shutil
from pathlib import Path

import pytest

from evidence.age import X25519Identity
from evidence.policy import OlderPolicyError, Policy, decode
from evidence.signature import SignatureError
from provisioning.authority import AuthorityFolder
from provisioning.placing import WouldOverwriteError
from provisioning.policies import (
    PROFILES,
    NoPolicyError,
    NoProfileError,
    PolicyFileError,
    PolicySource,
    SetByAuthorityError,
    UnfitRecipientsError,
    policy_in_force,
    profile,
    publish_policy,
    sign_first_policy,
    sign_policy,
)
from tests.unit.provisioning.conftest import NOW, openssl

SOURCED = [name for name in Policy.__struct_fields__ if name not in {"schema", "policy_id", "recipients", "serial"}]


def settings_of(town: AuthorityFolder, name: str) -> Policy:
    sign_policy(town, profile(name))
    return policy_in_force(town, NOW).policy


def test_nrw_keeps_nothing_from_before_and_deletes_after_two_weeks(town: AuthorityFolder) -> None:
    policy = settings_of(town, "nrw")
    assert (policy.pre_record_seconds, policy.retention_days, policy.retention_max_days) == (0, 14, 14)


def test_the_federal_police_keep_thirty_seconds_and_thirty_days(town: AuthorityFolder) -> None:
    policy = settings_of(town, "bundespolizei")
    assert (policy.pre_record_seconds, policy.retention_min_days, policy.retention_days) == (30, 30, 30)


def test_baden_wuerttemberg_keeps_sixty_seconds_and_at_most_four_weeks(town: AuthorityFolder) -> None:
    policy = settings_of(town, "baden-wuerttemberg")
    assert (policy.pre_record_seconds, policy.retention_max_days) == (60, 28)


def test_bavaria_keeps_clips_for_two_months_at_most(town: AuthorityFolder) -> None:
    assert settings_of(town, "bayern").retention_max_days == 59


def test_the_default_records_at_the_first_touch_with_thirty_seconds_from_before(town: AuthorityFolder) -> None:
    policy = settings_of(town, "bocholt")
    assert (policy.on_touch, policy.pre_record_seconds, policy.pre_record_audio) == ("live+record", 30, False)


@pytest.mark.parametrize("name", PROFILES)
def test_every_value_of_every_profile_stands_under_a_comment_that_says_where_it_comes_from(name: str) -> None:
    for paragraph in profile(name).text.split("\n\n")[1:]:
        if re.search(r"^[a-z_]+ =", paragraph, re.MULTILINE):
            is_source = "#" in paragraph or "schema" in paragraph
            assert is_source, f"no source: {paragraph}"
    for setting in SOURCED:
        assert re.search(rf"^{setting} =", profile(name).text, re.MULTILINE), f"{setting} is left to a default"


def test_stock_openssl_verifies_the_signature_of_the_policy(town: AuthorityFolder, tmp_path: Path) -> None:
    public = tmp_path / "signer.pub"
    public.write_bytes(openssl("x509", "-in", town.path / "policy.toml.crt", "-pubkey", "-noout"))
    signature = ("-sigfile", town.path / "policy.toml.sig", "-in", town.policy_file)
    openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, *signature)


def test_the_signed_policy_keeps_its_sources_and_names_both_recipients(town: AuthorityFolder) -> None:
    content = town.policy_file.read_bytes()
    assert b"PolG NRW" in content
    assert decode(content).recipients == town.recipients()


def test_a_policy_that_was_changed_after_signing_is_refused(town: AuthorityFolder) -> None:
    town.policy_file.write_bytes(town.policy_file.read_bytes().replace(b"= 30", b"= 99"))
    with pytest.raises(SignatureError, match="policy"):
        policy_in_force(town, NOW)


def test_signing_the_same_again_changes_nothing(town: AuthorityFolder) -> None:
    assert not any(step.is_new for step in sign_policy(town, profile("bocholt")).steps)


def test_a_first_policy_never_replaces_another(town: AuthorityFolder) -> None:
    with pytest.raises(WouldOverwriteError, match="another policy is in force"):
        sign_first_policy(town, profile("nrw"))


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(NoProfileError, match="choose one of bocholt"):
        profile("atlantis")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("policy_id = ", "it is not TOML"),
        ('policy_id = "x"\n', "missing required field 'retention_days'"),
        ('policy_id = "x"\nretention_days = 9\nretention_min_days = 1\nretention_max_days = 5\n', "retention_days"),
        (profile("nrw").text + "colour = 3\n", "unknown field 'colour'"),
        (profile("nrw").text.replace("pre_record_seconds = 0", "pre_record_seconds = 121"), "pre_record_seconds"),
    ],
    ids=["no-toml", "incomplete", "contradiction", "unknown-setting", "pre-record-too-long"],
)
def test_a_broken_policy_file_is_refused_with_the_setting_s_name_and_the_old_one_stays(
    town: AuthorityFolder, text: str, reason: str
) -> None:
    with pytest.raises(PolicyFileError, match=reason):
        sign_policy(town, PolicySource("own.toml", text))
    assert policy_in_force(town, NOW).policy.policy_id == "bocholt-1"


def test_a_policy_file_cannot_add_a_reader(town: AuthorityFolder) -> None:
    with pytest.raises(SetByAuthorityError, match="states its recipients: leave that out"):
        sign_policy(town, PolicySource("own.toml", profile("nrw").text + 'recipients = ["age1qqq"]\n'))


def test_keys_that_no_clip_can_be_sealed_to_together_get_no_policy(town: AuthorityFolder) -> None:
    town.recovery_recipient_file.write_text(f"{X25519Identity.generate().recipient}\n")
    with pytest.raises(UnfitRecipientsError, match=r"kinds X25519 and mlkem768x25519 cannot share a file"):
        sign_policy(town, profile("nrw"))
    assert policy_in_force(town, NOW).policy.policy_id == "bocholt-1"


def test_each_policy_that_is_signed_has_a_higher_serial_than_the_one_before(town: AuthorityFolder) -> None:
    assert policy_in_force(town, NOW).policy.serial == 1
    assert [settings_of(town, name).serial for name in ("nrw", "nrw", "bayern", "nrw")] == [2, 2, 3, 4]


def test_a_policy_file_cannot_state_its_serial(town: AuthorityFolder) -> None:
    with pytest.raises(SetByAuthorityError, match="states its serial: leave that out"):
        sign_policy(town, PolicySource("own.toml", profile("nrw").text + "serial = 99\n"))


def test_a_dock_or_unit_that_has_a_newer_policy_keeps_it(town: AuthorityFolder, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(town.path, backup)
    sign_policy(town, profile("nrw"))
    dock = tmp_path / "policy.toml"
    publish_policy(town, dock, NOW)
    with pytest.raises(OlderPolicyError, match=r"bocholt-1 \(serial 1\) is older than .* \(nrw-1, serial 2\)"):
        publish_policy(AuthorityFolder(backup), dock, NOW)
    assert decode(dock.read_bytes()).policy_id == "nrw-1"


def test_an_authority_without_a_policy_says_so(town: AuthorityFolder) -> None:
    town.policy_file.unlink()
    with pytest.raises(NoPolicyError, match="policy sign"):
        policy_in_force(town, NOW)
