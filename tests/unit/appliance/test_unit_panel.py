"""The unit as a real process whose touch panel and display go and come, in the dark and while it records."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cameras import film
from tests.pki import Pki, policy_toml
from tests.unit_process import UnitProcess, running_unit
from tests.worn import RECIPIENT, enrol
from tests.xvfb import Desk, desk, has_rec_mark, is_dark, wait_until_seen

SMALL = "video_width = 320\nvideo_height = 240\nvideo_bits_per_second = 500000"


@pytest.fixture
def screen() -> Iterator[Desk]:
    with desk() as screen:
        yield screen


@pytest.fixture
def unit(tmp_path: Path, screen: Desk) -> Iterator[UnitProcess]:
    policy = policy_toml(recipients=(str(RECIPIENT),))
    folder = enrol(tmp_path / "unit", Pki(), "https://localhost:1", policy=policy, settings=SMALL)
    footage = film(tmp_path / "film.mp4", pictures=50, size=(800, 480))
    with running_unit(folder.path, camera=f"file:{footage}", with_environment=screen.environment()) as unit:
        unit.wait_for("standby")
        yield unit


def test_a_touch_panel_that_goes_in_standby_is_a_fault_on_the_screen_until_it_is_back(
    screen: Desk, unit: UnitProcess
) -> None:
    unit.say("unplug touch")
    assert unit.wait_for("fault")["kind"] == "touch_lost"
    wait_until_seen(screen, lambda picture: not is_dark(picture))
    unit.say("plug touch")
    unit.wait_for("touch_found")
    unit.wait_for("standby", count=2)
    wait_until_seen(screen, is_dark)


def test_a_touch_panel_that_goes_while_it_records_ends_nothing(unit: UnitProcess) -> None:
    unit.say("touch")
    unit.wait_for("first_durable")
    unit.say("unplug touch")
    assert unit.wait_for("fault")["kind"] == "touch_lost"
    unit.say("plug touch")
    unit.wait_for("touch_found")
    assert "recording_ended" not in unit.events
    unit.say("hold 2.2")
    assert unit.wait_for("recording_ended")["ended_by"] == "wearer"
    assert unit.events.count("recording_started") == 1
    assert unit.wait_for("standby", count=2)


def test_the_screen_is_opened_anew_in_the_middle_of_a_recording_that_goes_on(screen: Desk, unit: UnitProcess) -> None:
    unit.say("touch")
    unit.wait_for("first_durable")
    wait_until_seen(screen, has_rec_mark)
    unit.say("unplug display")
    assert unit.wait_for("fault")["kind"] == "display_lost"
    screen.take_windows_away()
    wait_until_seen(screen, is_dark)
    unit.say("plug display")
    unit.wait_for("display_found")
    wait_until_seen(screen, has_rec_mark)
    screen.hand("mousemove", 400, 300, "mousedown", 1)
    assert unit.wait_for("recording_ended")["ended_by"] == "wearer"
    assert unit.events.count("recording_started") == 1
