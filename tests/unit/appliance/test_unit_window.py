"""The unit's window on a real X server: clicks and keys, the mirrored picture, and the REC mark while it is true."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from tests.cameras import film
from tests.dock import until
from tests.pki import Pki, policy_toml
from tests.unit_process import UnitProcess, running_unit
from tests.worn import RECIPIENT, enrol
from tests.xvfb import Desk, Picture, desk, has_rec_mark, is_dark, wait_until_seen


@pytest.fixture
def screen() -> Iterator[Desk]:
    with desk() as screen:
        yield screen


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    return enrol(tmp_path / "unit", Pki(), "https://localhost:1", policy=policy_toml(recipients=(str(RECIPIENT),)))


@pytest.fixture
def unit(tmp_path: Path, folder: UnitFolder, screen: Desk) -> Iterator[UnitProcess]:
    footage = film(tmp_path / "film.mp4", pictures=50, size=(800, 480))  # left half red, right half blue
    with running_unit(folder.path, camera=f"file:{footage}", with_environment=screen.environment()) as unit:
        unit.wait_for("standby")
        yield unit


def test_a_click_shows_the_mirrored_picture_and_the_rec_mark_until_a_hold_ends_it(
    screen: Desk, unit: UnitProcess
) -> None:
    assert is_dark(screen.picture())
    screen.hand("mousemove", 400, 300, "click", 1)
    unit.wait_for("first_durable")
    seen = wait_until_seen(screen, has_rec_mark)
    assert colour_at(seen, row=300, column=200) == "blue"
    assert colour_at(seen, row=300, column=600) == "red"
    screen.hand("mousedown", 1)
    unit.wait_for("recording_ended")
    screen.hand("mouseup", 1)
    wait_until_seen(screen, is_dark)


def test_the_title_says_what_mouse_and_keys_do(screen: Desk, unit: UnitProcess) -> None:
    until(lambda: "standby, dark · click: record" in screen.titles())
    screen.hand("mousemove", 400, 300, "click", 1)
    unit.wait_for("recording_started")
    until(lambda: "recording · hold: stop" in screen.titles())


def test_the_key_d_docks_and_escape_switches_off(screen: Desk, unit: UnitProcess) -> None:
    screen.hand("mousemove", 400, 300, "key", "d")
    unit.wait_for("docked")
    assert not has_rec_mark(wait_until_seen(screen, lambda picture: not is_dark(picture)))
    screen.hand("key", "Escape")
    assert unit.end() == 0


def colour_at(picture: Picture, *, row: int, column: int) -> str:
    red, _, blue = (int(channel) for channel in picture[row, column])
    return "red" if red > 200 and blue < 60 else "blue" if blue > 200 and red < 60 else f"{red}, {blue}"
