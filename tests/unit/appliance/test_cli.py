"""The command line: help that teaches, what `status` shows, and how `dock` ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.wearer import Wearer
from dock_station.catalogue import units
from tests.dock import RunningDock, running_dock
from tests.unit_process import call
from tests.worn import Worn, enrol


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def unit(tmp_path: Path, dock: RunningDock) -> Worn:
    return Worn.open(enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}"))


def test_help_names_every_command_and_shows_how_to_begin() -> None:
    shown = call("--help")
    assert shown.returncode == 0
    for words in ("run", "status", "dock", "mirrorcam-unit run --folder unit --camera file:film.mp4"):
        assert words in shown.stdout
    assert "--touches-from-stdin" in call("run", "--help").stdout


@pytest.mark.parametrize("arguments", [("fly",), ("run",), ("status", "--folder"), ("dock", "--colour", "red")])
def test_wrong_usage_ends_with_exit_code_2(arguments: tuple[str, ...]) -> None:
    refused = call(*arguments)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_a_dock_that_is_away_ends_with_exit_code_5_and_keeps_everything(tmp_path: Path, dock: RunningDock) -> None:
    unit = Worn.open(enrol(tmp_path / "unit", dock.pki, "https://localhost:1"))
    clip = unit.clip()
    refused = call("dock", "--folder", unit.installation.folder.path)
    assert refused.returncode == 5
    assert "The dock https://localhost:1 was not reached" in refused.stderr
    assert unit.waiting() == [clip.clip_id]


def test_refused_clips_end_with_exit_code_1_and_are_shown_with_the_docks_reason(dock: RunningDock, unit: Worn) -> None:
    good, bad = unit.clip(), unit.clip()
    folder = unit.installation.folder
    (folder.data / f"{bad.clip_id}.mp4.age").write_bytes(b"damaged")
    refused = call("dock", "--folder", folder.path)
    assert refused.returncode == 1
    assert "The dock refused 1 of the clips, which stay on this unit" in refused.stderr
    assert f"{good.clip_id}  handed over, deleted here" in refused.stderr
    assert dock.is_stored(good)
    shown = call("status", "--folder", folder.path).stdout
    assert bad.clip_id in shown
    assert "it has 7 bytes" in shown


def test_the_wearer_whom_the_dock_names_is_remembered_and_not_shown(dock: RunningDock, unit: Worn) -> None:
    unit.offload()
    with dock.dock.catalogue.writing() as connection:
        units.issue(connection, "unit-1", "wearer-12")
    docked = call("dock", "--folder", unit.installation.folder.path)
    assert "wearer-12" not in docked.stdout + docked.stderr
    assert Wearer(unit.installation.folder.data / "wearer.json").current() == "wearer-12"
