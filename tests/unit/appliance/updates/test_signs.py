"""What the unit's process tells root by files in RAM, and what it calls its software."""

from pathlib import Path

import pytest

from appliance import installation
from appliance.updates.firmware import find_boot_choice
from appliance.updates.raspberry_pi import RaspberryPi
from appliance.updates.running import running
from appliance.updates.signs import Sign, Signs
from appliance.updates.slots import BootChoiceError
from appliance.updates.uefi import Uefi
from evidence.release import RELEASE_FILE, Installed, Release, ReleaseFileError
from tests.pki import Pki
from tests.signed_bundles import COMPATIBLE, RUNS
from tests.unit_process import call, environment, running_unit
from tests.worn import enrol


def test_a_unit_gives_its_signs_as_long_as_they_are_true(tmp_path: Path) -> None:
    folder = enrol(tmp_path / "unit", Pki(), "https://localhost:1")
    signs = tmp_path / "signs"
    signs.mkdir()
    with running_unit(folder.path, "--headless", with_environment=environment(RUNTIME_DIRECTORY=str(signs))) as unit:
        unit.wait_for("standby")
        assert {sign.name for sign in signs.iterdir()} == {Sign.CAMERA}
        unit.say("touch")
        unit.wait_for("recording_started")
        assert {sign.name for sign in signs.iterdir()} == {Sign.CAMERA, Sign.RECORDING}
        unit.say("hold 2.2")
        unit.wait_for("recording_ended")
        unit.wait_for("standby", count=2)
        assert {sign.name for sign in signs.iterdir()} == {Sign.CAMERA}


def test_without_a_folder_there_are_no_signs(tmp_path: Path) -> None:
    for signs in (Signs.from_environment({}), Signs(tmp_path / "gone")):
        signs.give(Sign.CAMERA)
        assert not signs.is_given(Sign.CAMERA)
        signs.take_back(Sign.CAMERA)


def put_release(root: Path, text: str) -> None:
    (root / RELEASE_FILE).parent.mkdir()
    (root / RELEASE_FILE).write_text(text)


def test_the_release_that_runs_is_what_the_root_says(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    put_release(tmp_path, f"release={RUNS}\ncompatible={COMPATIBLE}\n")
    assert running(tmp_path) == Installed(Release.parse(RUNS), COMPATIBLE)


def test_a_unit_of_an_image_calls_its_software_by_its_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "running", lambda: Installed(Release.parse(RUNS), COMPATIBLE))
    assert installation.software() == f"mirrorcam {RUNS}"


def test_a_release_file_that_is_damaged_keeps_no_unit_from_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_release(tmp_path, "nonsense")
    with pytest.raises(ReleaseFileError):
        running(tmp_path)
    monkeypatch.setattr(installation, "running", lambda: running(tmp_path))
    assert installation.software().startswith("mirrorcam ")


def test_the_boot_choice_is_found_as_init_finds_it(tmp_path: Path) -> None:
    nowhere, variables = tmp_path / "nowhere", tmp_path / "efivars"
    variables.mkdir()
    with pytest.raises(BootChoiceError, match="neither a Raspberry Pi's nor UEFI"):
        find_boot_choice(raspberry_pi=nowhere, efivars=variables)
    (variables / "Boot0000").touch()
    assert isinstance(find_boot_choice(raspberry_pi=nowhere, efivars=variables), Uefi)
    assert isinstance(find_boot_choice(raspberry_pi=variables, efivars=variables), RaspberryPi)


@pytest.mark.parametrize("command", [("install", "--folder", "."), ("trial", "--folder", ".")])
def test_where_no_image_was_started_there_is_nothing_to_update(command: tuple[str, ...]) -> None:
    done = call("update", *command)
    assert done.returncode == 5
    assert done.stderr.strip().endswith("there is no slot to be updated.")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_permit_with_which_nothing_can_be_done_is_taken_back(tmp_path: Path) -> None:
    signs = Signs(tmp_path)
    signs.give(Sign.PERMIT)
    assert call("update", "install", "--folder", ".", "--signs", str(tmp_path)).returncode == 5
    assert not signs.is_given(Sign.PERMIT)
