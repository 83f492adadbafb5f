"""Each service killed or hung at a bad moment comes back by itself, and nothing is lost, doubled or half."""

import time
from collections.abc import Iterator

import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.pi import Rig, VirtualPi
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import Town

BIG_CLIPS, BIG_CLIP_BYTES = 3, 6 << 20


@pytest.fixture(scope="module")
def pi(rig: Rig, town: Town) -> Iterator[VirtualPi]:
    """A machine whose unit waits in standby, off the dock."""
    pi = rig.pi("services", town)
    pi.machine.start()
    pi.unplug()
    pi.wait_for_state("standby")
    yield pi
    pi.machine.stop()


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_the_unit_in_the_middle_of_a_recording(pi: VirtualPi, signal: str) -> None:
    begun = pi.count("recording_started")
    pi.touch("tap 0.08")
    pi.wait_for("recording_started", count=begun + 1)
    time.sleep(4)
    _strike(pi, "mirrorcam-unit", signal, while_it=f"it records (SIG{signal})")
    cut = pi.wait_for("recovered")
    assert cut["remains"] == "cut"
    pi.wait_for("recording_started", count=begun + 2)  # the wearer has touched once, and it goes on by itself
    time.sleep(2)
    pi.touch("hold 3")
    pi.wait_for_state("standby")
    assert f"{cut['clip_id']}.mp4.age" in pi.spool()


@pytest.mark.parametrize("service", ["mirrorcam-cable", "mirrorcam-bays"])
@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_either_end_of_the_cable_in_the_middle_of_an_upload(pi: VirtualPi, service: str, signal: str) -> None:
    waiting = pi.fill_spool(BIG_CLIPS, BIG_CLIP_BYTES)
    before = pi.vault_bytes()
    pi.plug()
    until(lambda: pi.vault_bytes() > before + (1 << 20), seconds=240, what="an upload under way")
    _strike(pi, service, signal, while_it=f"an upload runs (SIG{signal})")
    _all_arrive(pi, waiting)
    pi.unplug()
    pi.wait_for_state("standby")


@pytest.mark.parametrize("service", ["mirrorcam-pages", "mirrorcam-retention"])
@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_the_docks_other_services(pi: VirtualPi, service: str, signal: str) -> None:
    _strike(pi, service, signal, while_it=f"it waits (SIG{signal})")
    assert pi.dock("doctor") == "Everything is in order.\n"


def test_the_gadget_is_made_again_after_it_was_left_half_made(pi: VirtualPi) -> None:
    pi.machine.run("echo > /sys/kernel/config/usb_gadget/mirrorcam/UDC")
    offloaded = pi.count("offloaded")
    pi.machine.run("systemctl restart mirrorcam-gadget", seconds=120)
    pi.plug()
    pi.wait_for("offloaded", count=offloaded + 1)
    pi.unplug()
    pi.wait_for_state("standby")


def _strike(pi: VirtualPi, service: str, signal: str, *, while_it: str) -> None:
    """Send the signal to all of a service's processes, and wait until systemd has a new one that says it is ready."""
    before = pi.main_pid(service)
    started = time.monotonic()
    pi.machine.run(f"systemctl kill --signal=SIG{signal} {service}")
    until(
        lambda: pi.main_pid(service) not in (before, 0) and pi.is_active(service),
        seconds=300,
        what=f"{service} to come back",
        pause=0.3,
    )
    record("systemd", f"{service} killed while {while_it}: back after", f"{time.monotonic() - started:.1f} s")


def _all_arrive(pi: VirtualPi, expected: set[str]) -> None:
    until(lambda: not pi.waiting(), seconds=400, what="all clips to be handed over", pause=1.0)
    kept = pi.dock("clips", "list")
    assert all(kept.count(clip_id) == 1 for clip_id in expected), kept
    pi.dock("clips", "verify")
