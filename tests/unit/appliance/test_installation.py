"""A unit's folder, opened; and that only one process at a time is at work in it."""

from pathlib import Path

import pytest

from appliance.installation import Installation, UnitRunsError
from appliance.recovered import BrokenOff, Recovered, Remains
from appliance.settings import NotEnrolledError, UnitFolder
from evidence.manifest import EndedBy
from evidence.policy import read_signed
from evidence.signature import Signed
from evidence.strict import write_json
from tests.pki import Pki
from tests.worn import Worn, enrol


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    return enrol(tmp_path / "unit", Pki(), "https://localhost:1")


def test_what_is_opened_is_what_enrolment_put_there(folder: UnitFolder) -> None:
    installation = Installation.open(folder.path)
    assert installation.settings.unit_id == "unit-1"
    assert installation.facts.software.startswith("mirrorcam ")
    assert installation.clock.quality().last_sync is None
    assert installation.folder.policy().policy.policy_id == "test"


def test_a_file_that_is_missing_is_named(folder: UnitFolder) -> None:
    folder.certificate_file.unlink()
    with pytest.raises(NotEnrolledError, match=r"unit\.crt is missing"):
        Installation.open(folder.path)


def test_one_process_at_a_time_is_at_work(folder: UnitFolder) -> None:
    first, second = Installation.open(folder.path), Installation.open(folder.path)
    with first.exclusively():
        assert second.is_at_work()
        with pytest.raises(UnitRunsError, match="Another mirrorcam-unit is at work"), second.exclusively():
            pass
    assert not second.is_at_work()
    with second.exclusively():
        pass


def test_recovering_finishes_what_a_power_cut_left_of_a_new_policy(folder: UnitFolder) -> None:
    old = folder.policy().document
    new = Signed(content=old.content + b"# another\n", signature=old.signature, certificate=old.certificate)
    (folder.path / "policy.arriving").write_bytes(write_json(new))
    Installation.open(folder.path).recover()
    assert read_signed(folder.policy_file) == new
    assert not (folder.path / "policy.arriving").exists()


def test_a_new_policy_that_cannot_be_put_in_its_place_is_in_force_all_the_same(folder: UnitFolder) -> None:
    document = folder.policy().document
    (folder.path / "policy.arriving").write_bytes(write_json(document))
    folder.policy_file.unlink()
    folder.policy_file.mkdir()  # who replaces it gets an OSError
    installation = Installation.open(folder.path)
    assert installation.recover() == ()
    assert installation.folder.policy().document == document


def test_a_clip_of_an_earlier_start_waits(folder: UnitFolder) -> None:
    clip = Worn.open(folder).clip()
    assert [waiting.clip_id for waiting in Installation.open(folder.path).spool.waiting()] == [clip.clip_id]


@pytest.mark.parametrize(("seconds_ago", "is_fresh"), [(59, True), (61, False), (-3600, True)])
def test_a_clip_that_broke_off_in_this_boot_goes_on_for_a_minute(
    folder: UnitFolder, *, seconds_ago: float, is_fresh: bool
) -> None:
    installation = Installation.open(folder.path)
    then = BrokenOff(installation.facts.boot_id, installation.clock.monotonic() - seconds_ago)
    assert installation.clip_to_go_on([Recovered("id", Remains.CUT, "cut", then)]) == ("id" if is_fresh else None)


def test_a_clip_that_broke_off_in_another_boot_or_was_ended_does_not_go_on(folder: UnitFolder) -> None:
    installation = Installation.open(folder.path)
    then = BrokenOff("another", installation.clock.monotonic())
    assert installation.clip_to_go_on([Recovered("id", Remains.CUT, "cut", then)]) is None
    assert installation.clip_to_go_on([Recovered("id", Remains.WHOLE, "closed")]) is None


@pytest.mark.parametrize(
    ("ended_by", "seconds_ago", "is_fresh"),
    [("camera-failed", 59, True), ("camera-failed", 61, False), ("wearer", 0, False)],
)
def test_the_newest_clip_goes_on_in_another_process_where_its_camera_has_just_failed_it(
    folder: UnitFolder, *, ended_by: EndedBy, seconds_ago: float, is_fresh: bool
) -> None:
    worn = Worn.open(folder)
    worn.clip(ended_by="camera-failed", ended_seconds_ago=90)
    newest = worn.clip(ended_by=ended_by, ended_seconds_ago=seconds_ago)
    assert Installation.open(folder.path).clip_to_go_on([]) == (newest.manifest.clip_id if is_fresh else None)
