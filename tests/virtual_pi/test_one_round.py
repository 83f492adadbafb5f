"""One round on one machine: it starts, a touch brings picture and clip, the dock takes the clip in, and it plays.

Short enough for a processor that is emulated twice as slowly: CI runs it with ARCH=arm64.
"""

import io
import time
from typing import Any

import av
import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import DOCK_SERVICES, UNIT_SERVICES, VirtualPi
from tests.virtual_pi.root import chosen_arch
from tests.virtual_pi.stamps import read_stamp
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import CAMERA_SIZE

SECONDS = 6
POINT = f"one round, {chosen_arch()}"


@pytest.fixture(scope="module")
def pi(machines: Machines) -> VirtualPi:
    """A machine with the panel that a unit has."""
    return machines.with_panel()


def test_the_machine_is_of_the_kind_that_was_asked_for(pi: VirtualPi) -> None:
    kind = {"amd64": "x86_64", "arm64": "aarch64"}[chosen_arch()]
    assert pi.machine.run("uname -m").strip() == kind


def test_every_service_gets_ready(pi: VirtualPi) -> None:
    for service in (*UNIT_SERVICES, *DOCK_SERVICES):
        _wait_until_active(pi, service)
    record(POINT, "machine switched on until every service is ready, emulated", f"{pi.clock():.0f} s")


def test_a_touch_brings_the_picture_and_a_clip_whose_pictures_are_all_there(pi: VirtualPi) -> None:
    pi.unplug()
    pi.wait_for_state("standby")
    pi.touch("tap 0.08")
    until(lambda: read_stamp(pi.machine.picture(), size=CAMERA_SIZE, mirrored=True), seconds=200, what="the picture")
    time.sleep(SECONDS)
    stated = pi.end_clip()
    film = pi.town.opened(pi.clip(stated["clip_id"]))
    numbers = [stamp.sequence for stamp in map(read_stamp, _pictures(film)) if stamp]
    assert len(numbers) == stated["frames_written"]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] + 1 == stated["frames_written"] + stated["frames_lost"]
    lost = f"{stated['frames_written']} pictures in the clip, {stated['frames_lost']} lost on an emulated processor"
    record(POINT, "pictures of the sensor accounted for", lost, "all")


def test_on_the_dock_the_clip_is_handed_over_and_gone_from_the_unit(pi: VirtualPi) -> None:
    (clip_id,) = pi.waiting()
    plugged = time.monotonic()
    pi.plug()
    until(lambda: not pi.waiting(), seconds=300, what="the clip to be handed over", pause=0.5)
    record(POINT, "plugged in until the clip is at the dock", f"{time.monotonic() - plugged:.1f} s")
    assert clip_id in pi.dock("clips", "list")
    pi.dock("clips", "verify")


def _wait_until_active(pi: VirtualPi, service: str) -> None:
    until(lambda: pi.is_active(service), seconds=400, what=service, pause=1.0)


def _pictures(film: bytes) -> list[Any]:
    with av.open(io.BytesIO(film), mode="r") as container:
        return [picture.to_ndarray(format="gray") for picture in container.decode(video=0)]
