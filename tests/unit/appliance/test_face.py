"""What the wearer is told, and for how long: faults while they are there, news when somebody looks."""

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

os.environ["SDL_VIDEODRIVER"] = "dummy"

import pygame

from appliance.board.battery import Battery
from appliance.front import messages
from appliance.front.face import Face
from appliance.front.gauges import Gauges
from appliance.front.messages import Message
from appliance.front.screen import Screen, open_display
from appliance.journal import Journal
from appliance.recording import NOTHING
from appliance.states import Fault, State
from tests.recording import Unit

CAMERA, REFUSED = Message("No camera", "It is gone."), Message("Not recording", "Wait.")


class Stage:
    """A face whose screen nobody sees but the test, and its log."""

    def __init__(self, folder: Path) -> None:
        self._log = io.StringIO()
        gauges = Gauges(Unit(folder).spool(), Battery(), bits_per_second=8_000_000, monotonic=lambda: 0.0)
        self.face = Face(
            lambda: Screen(open_display((800, 480))),
            (),
            gauges,
            Journal(self._log),
            utc=lambda: datetime(2026, 3, 1, tzinfo=UTC),
            docking=lambda: messages.STARTING,
        )

    def seen(self, state: State) -> npt.NDArray[np.uint8]:
        self.face.open_screen()  # which shows at once what is so
        self.face.show(state, NOTHING, None, is_mirrored=True, hold=0)
        return pygame.surfarray.array3d(pygame.display.get_surface())

    def told(self) -> int:
        return self._log.getvalue().count('"told"')


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.face.close()


def test_of_two_faults_the_newest_is_shown_and_when_it_is_gone_the_other(stage: Stage) -> None:
    stage.face.trouble(Fault.TOUCH, messages.NO_TOUCH_PANEL)
    touch = stage.seen(State.FAULT)
    stage.face.trouble(Fault.CAMERA, CAMERA)
    assert (stage.seen(State.FAULT) != touch).any()
    stage.face.keep_troubles({Fault.TOUCH})
    assert (stage.seen(State.FAULT) == touch).all()


def test_what_passes_is_told_no_more_once_the_unit_does_something_else(stage: Stage) -> None:
    stage.face.trouble(Fault.CAMERA, CAMERA)
    camera = stage.seen(State.FAULT)
    stage.face.trouble(None, REFUSED)
    assert (stage.seen(State.FAULT) != camera).any()
    stage.face.entered(State.STANDBY)
    assert (stage.seen(State.FAULT) == camera).all()


def test_what_happened_is_told_when_somebody_looks_and_one_thing_after_the_other(stage: Stage) -> None:
    stage.face.announce(messages.GOES_ON)
    stage.face.announce(REFUSED)
    assert not stage.seen(State.STANDBY).any()
    assert stage.told() == 0
    stage.seen(State.RECORDING)
    stage.seen(State.RECORDING)
    assert stage.told() == 1


def test_a_recording_without_a_touch_panel_says_how_to_end_it(stage: Stage) -> None:
    without = stage.seen(State.POST_RECORDING)
    stage.face.trouble(Fault.TOUCH, messages.NO_TOUCH_PANEL)
    assert (stage.seen(State.POST_RECORDING) != without).any()


def test_that_there_is_no_sound_stands_over_every_picture_and_is_announced_once(stage: Stage) -> None:
    with_sound = stage.seen(State.LIVE)
    stage.face.hear(is_deaf=True)
    stage.face.hear(is_deaf=True)
    assert (stage.seen(State.LIVE) != with_sound).any()
    assert stage.told() == 1


def test_what_was_to_be_said_of_missing_sound_is_taken_back_when_there_is_some(stage: Stage) -> None:
    with_sound = stage.seen(State.LIVE)
    stage.face.hear(is_deaf=True)
    stage.face.hear(is_deaf=False)
    assert (stage.seen(State.LIVE) == with_sound).all()
    stage.face.hear(is_deaf=True)
    stage.seen(State.LIVE)
    stage.face.hear(is_deaf=False)
    assert (stage.seen(State.LIVE) == with_sound).all()
    assert stage.told() == 1
