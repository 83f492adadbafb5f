"""Screen and touch for real: pygame on KMS, a touch through the kernel's input layer, pixels read from outside."""

import statistics
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.stamps import read_stamp
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import CAMERA_SIZE

Pixels = npt.NDArray[np.uint8]

# The REC mark's red, as appliance/front/overlay.py has it, and where it is on a screen of 800 × 480.
RED = (214, 16, 32)
MARK = (slice(0, 120), slice(0, 260))


@pytest.fixture(autouse=True)
def in_standby(pi: VirtualPi) -> Iterator[None]:
    """Each test begins and ends in the dark, off the dock."""
    pi.unplug()
    pi.wait_for_state("standby")
    yield
    if pi.state() != "standby":
        pi.touch("hold 3")
        pi.wait_for_state("standby")


def test_the_screen_is_dark_in_standby(pi: VirtualPi) -> None:
    until(lambda: not pi.machine.picture().any(), seconds=30, what="a dark screen")
    assert pi.machine.picture().shape == (480, 800, 3)


def test_a_tap_of_80_ms_brings_the_live_picture_and_the_rec_mark(pi: VirtualPi) -> None:
    pi.touch("tap 0.08")
    picture = until(lambda: _recording_picture(pi), seconds=60, what="the REC mark")
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
    until(lambda: _recording_picture(pi) is not None, seconds=60, what="the REC mark")
    for line in ("tap 0.08", "tap 0.3", "hold 1.5", "tap 0.08"):
        pi.touch(line)
    time.sleep(3)
    assert pi.count("recording_ended") == ended
    assert _recording_picture(pi) is not None


def test_a_hold_of_two_seconds_ends_the_clip(pi: VirtualPi) -> None:
    ended = pi.count("recording_ended")
    pi.touch("tap 0.08")
    until(lambda: _recording_picture(pi) is not None, seconds=60, what="the REC mark")
    pi.touch("hold 2.1")
    stated = pi.wait_for("recording_ended", count=ended + 1, seconds=60)
    assert stated["ended_by"] == "wearer"
    until(lambda: not pi.machine.picture().any(), seconds=30, what="a dark screen")


def test_how_long_a_touch_takes_to_be_seen(pi: VirtualPi) -> None:
    measured = []
    for _ in range(5):
        until(lambda: not pi.machine.picture().any(), seconds=30, what="a dark screen")
        touched = time.monotonic()
        pi.machine.run("echo 'tap 0.08' > /run/rig/touch")
        until(lambda: pi.machine.picture().any(), seconds=30, what="anything on the screen", pause=0.0)
        measured.append(time.monotonic() - touched)
        until(lambda: _recording_picture(pi) is not None, seconds=60, what="the REC mark")
        pi.touch("hold 3")
        pi.wait_for_state("standby")
    value = f"median {statistics.median(measured):.2f} s, worst {max(measured):.2f} s (with the way through the agent)"
    record("screen", "touch to the first changed frame, emulated", value)


def _recording_picture(pi: VirtualPi) -> Pixels | None:
    picture = pi.machine.picture()
    return picture if _is_red(picture[MARK]).sum() >= 200 else None


def _is_red(pixels: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(pixels.astype(int) - RED) < 24).all(axis=-1))


def _stamp_of_mirrored(pi: VirtualPi) -> int:
    def found() -> int | None:
        stamp = read_stamp(pi.machine.picture(), size=CAMERA_SIZE, mirrored=True)
        return stamp.sequence if stamp else None

    sequence: int = until(found, seconds=60, what="a stamp on the screen")
    return sequence
