"""Screen and touch for real: pygame on KMS, a touch through the kernel's input layer, pixels read from outside."""

import statistics
import time
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.stamps import read_stamp
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import CAMERA_SIZE

Pixels = npt.NDArray[np.uint8]

# The REC mark's red, as appliance/front/overlay.py has it, and where it is on a screen of 800 × 480.
RED = (214, 16, 32)
HOLD_SECONDS = 2.0
CONNECTOR = "/sys/class/drm/card0-Virtual-1/status"  # a word in it is as a plug pulled out and put in
MARK = (slice(0, 120), slice(0, 260))


@pytest.fixture(scope="module")
def pi(machines: Machines) -> VirtualPi:
    """A machine with the panel that a unit has."""
    return machines.with_panel()


@pytest.fixture(autouse=True)
def in_standby(pi: VirtualPi) -> Iterator[None]:
    """Each test begins and ends in the dark, off the dock."""
    pi.unplug()
    pi.wait_for_state("standby")
    yield
    if pi.state() != "standby":
        pi.end_clip()
        pi.wait_for_state("standby")


def test_the_screen_is_dark_in_standby(pi: VirtualPi) -> None:
    until(lambda: not pi.machine.picture().any(), seconds=60, what="a dark screen")
    assert pi.machine.picture().shape == (480, 800, 3)


def test_a_tap_of_80_ms_brings_the_live_picture_and_the_rec_mark(pi: VirtualPi) -> None:
    pi.touch("tap 0.08")
    until(lambda: _shows_rec(pi), seconds=60, what="the REC mark")
    picture = pi.machine.picture()
    mark = _is_red(picture[MARK])
    record("screen", "REC mark, pixels of its red", f"{int(mark.sum())}", "≥ 200")
    assert mark.sum() >= 200
    assert not _is_red(picture[240:, :]).sum()  # and nowhere else
    assert pi.wait_for("recording_started")


def test_the_picture_moves_and_is_mirrored(pi: VirtualPi) -> None:
    pi.touch("tap 0.08")
    seen = [_stamp_of_mirrored(pi)]
    until(lambda: _stamp_of_mirrored(pi) > seen[0], seconds=60, what="another picture")
    assert read_stamp(pi.machine.picture(), size=CAMERA_SIZE) is None  # as it is, it cannot be read: only from behind


def test_taps_and_a_hold_of_a_second_and_a_half_change_nothing_while_recording(pi: VirtualPi) -> None:
    ended = pi.count("recording_ended")
    pi.touch("tap 0.08")
    until(lambda: _shows_rec(pi), seconds=60, what="the REC mark")
    for line in ("tap 0.08", "tap 0.3", "hold 1.5", "tap 0.08"):
        pressed, lifted = pi.touch(line)
        assert lifted - pressed < HOLD_SECONDS, "the machine was too busy to lift the finger in time"
    time.sleep(3)
    assert pi.count("recording_ended") == ended
    assert _shows_rec(pi)


def test_a_hold_of_two_seconds_ends_the_clip(pi: VirtualPi) -> None:
    ended = pi.count("recording_ended")
    pi.touch("tap 0.08")
    until(lambda: _shows_rec(pi), seconds=60, what="the REC mark")
    (pressed,) = pi.touch("down")
    stated = pi.wait_for("recording_ended", count=ended + 1, seconds=60)
    pi.touch("up")
    assert stated["ended_by"] == "wearer"
    held = datetime.fromisoformat(stated["at"]).timestamp() - pi.wall_clock_at(pressed)
    record("screen", "finger down until the clip is closed and signed, emulated", f"{held:.2f} s", "≥ 2 s")
    assert held >= HOLD_SECONDS
    until(lambda: not pi.machine.picture().any(), seconds=60, what="a dark screen")


def test_a_touch_panel_that_goes_is_told_and_one_that_comes_late_is_taken(pi: VirtualPi) -> None:
    faults = pi.count("fault")
    pi.touch("away")
    lost = pi.wait_for("fault", count=faults + 1)
    assert lost["kind"] == "touch_lost"
    until(lambda: pi.machine.picture().any(), seconds=60, what="the fault on the screen")
    found = pi.count("touch_found")
    pi.touch("back")
    pi.wait_for("touch_found", count=found + 1)
    pi.wait_for_state("standby")
    begun = pi.count("recording_started")
    pi.touch("tap 0.08")
    pi.wait_for("recording_started", count=begun + 1)


def test_a_touch_panel_that_goes_ends_no_recording(pi: VirtualPi) -> None:
    ended, found, faults = pi.count("recording_ended"), pi.count("touch_found"), pi.count("fault")
    pi.touch("tap 0.08")
    until(lambda: _shows_rec(pi), seconds=60, what="the REC mark")
    pi.touch("away")
    pi.wait_for("fault", count=faults + 1)
    time.sleep(3)
    assert pi.count("recording_ended") == ended
    assert _shows_rec(pi)
    pi.touch("back")
    pi.wait_for("touch_found", count=found + 1)


def test_a_display_that_goes_and_comes_back_shows_what_is_going_on(pi: VirtualPi) -> None:
    ended, found = pi.count("recording_ended"), pi.count("display_found")
    pi.touch("tap 0.08")
    until(lambda: _shows_rec(pi), seconds=60, what="the REC mark")
    _set_connector(pi, "off")
    until(lambda: _last_fault(pi) == "display_lost", seconds=60, what="the missing display to be noticed")
    _set_connector(pi, "detect")
    pi.wait_for("display_found", count=found + 1)
    until(lambda: _shows_rec(pi), seconds=60, what="the REC mark again")
    assert pi.count("recording_ended") == ended


def test_how_long_a_touch_takes_to_be_seen(pi: VirtualPi) -> None:
    measured = []
    for _ in range(5):
        until(lambda: not pi.machine.picture().any(), seconds=60, what="a dark screen")
        touched = time.monotonic()
        pi.machine.run("echo 'tap 0.08' > /run/rig/touch")
        until(lambda: pi.machine.picture().any(), seconds=30, what="anything on the screen", pause=0.0)
        measured.append(time.monotonic() - touched)
        until(lambda: _shows_rec(pi), seconds=60, what="the REC mark")
        pi.end_clip()
        pi.wait_for_state("standby")
    value = f"median {statistics.median(measured):.2f} s, worst {max(measured):.2f} s (with the way through the agent)"
    record("screen", "touch to the first changed frame, emulated", value)


def _set_connector(pi: VirtualPi, word: str) -> None:
    pi.machine.run(f"echo {word} > {CONNECTOR}")
    pi.machine.run("udevadm trigger --action=change /sys/class/drm/card0")  # virtio's card tells of no plug by itself


def _last_fault(pi: VirtualPi) -> str:
    faults = [line["kind"] for line in pi.said("mirrorcam-unit") if line["event"] == "fault"]
    return faults[-1] if faults else ""


def _shows_rec(pi: VirtualPi) -> bool:
    return bool(_is_red(pi.machine.picture()[MARK]).sum() >= 200)


def _is_red(pixels: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(pixels.astype(int) - RED) < 24).all(axis=-1))


def _stamp_of_mirrored(pi: VirtualPi) -> int:
    def found() -> int | None:
        stamp = read_stamp(pi.machine.picture(), size=CAMERA_SIZE, mirrored=True)
        return stamp.sequence if stamp else None

    sequence: int = until(found, seconds=60, what="a stamp on the screen")
    return sequence
