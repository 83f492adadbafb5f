"""Each service killed or hung at a bad moment comes back by itself, and nothing is lost, doubled or half."""

import json
import time

import pytest

from appliance.installation import GO_ON_SECONDS
from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.talking import until

OTHERS = ("mirrorcam-cable", "mirrorcam-bays", "mirrorcam-pages", "mirrorcam-retention")
BIG_CLIPS, BIG_CLIP_BYTES = 3, 6 << 20
LATE = "/run/systemd/system/mirrorcam-fault@.service.d"


@pytest.fixture(scope="module")
def pi(machines: Machines) -> VirtualPi:
    """A machine whose unit waits in standby, off the dock."""
    return machines.in_standby()


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_the_unit_in_the_middle_of_a_recording(pi: VirtualPi, signal: str) -> None:
    begun, recovered, closed = (pi.count(event) for event in ("recording_started", "recovered", "closed"))
    stood_by = pi.count("standby")
    pi.touch("tap 0.08")
    pi.wait_for("recording_started", count=begun + 1)
    time.sleep(4)
    seconds = _strike(pi, "mirrorcam-unit", signal=signal, while_it="it records")
    cut = pi.wait_for("recovered", count=recovered + 1)
    assert cut["remains"] == "cut"
    until(lambda: pi.count("recording_started") > begun + 1 or pi.count("standby") > stood_by, seconds=300, what="news")
    if pi.count("standby") > stood_by:  # a processor that is emulated may take longer to start than it goes on after
        assert seconds > GO_ON_SECONDS
        pi.touch("tap 0.08")
    pi.wait_for("recording_started", count=begun + 2)  # the wearer has touched once, and it goes on by itself
    time.sleep(2)
    pi.end_clip()
    pi.wait_for_state("standby")
    assert pi.wait_for("closed", count=closed + 1)["clip_id"] == cut["clip_id"]
    assert f"{cut['clip_id']}.mp4.age" in pi.spool()


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_everything_else_at_once_in_the_middle_of_an_upload(pi: VirtualPi, signal: str) -> None:
    waiting = pi.fill_spool(BIG_CLIPS, BIG_CLIP_BYTES)
    before = pi.vault_bytes()
    pi.plug()
    until(lambda: pi.vault_bytes() > before + (1 << 20), seconds=240, what="an upload under way", pause=0.05)
    _strike(pi, *OTHERS, signal=signal, while_it="an upload runs")
    _all_arrive(pi, waiting)
    assert pi.dock("doctor") == "Everything is in order.\n"
    pi.unplug()
    pi.wait_for_state("standby")


def test_the_gadget_is_made_again_after_it_was_left_half_made(pi: VirtualPi) -> None:
    pi.machine.run("echo > /sys/kernel/config/usb_gadget/mirrorcam/UDC")
    offloaded = pi.count("offloaded")
    pi.machine.run("systemctl restart mirrorcam-gadget", seconds=300)
    pi.plug()
    pi.wait_for("offloaded", count=offloaded + 1)
    pi.unplug()
    pi.wait_for_state("standby")


def test_what_was_killed_stands_in_the_fault_log_however_late_its_line_is_written(pi: VirtualPi) -> None:
    pi.machine.run(f"mkdir -p {LATE} && printf '[Service]\\nExecStartPre=/usr/bin/sleep 5\\n' > {LATE}/late.conf")
    pi.machine.run("systemctl daemon-reload", seconds=300)
    killed = _times_killed(pi, "mirrorcam-cable")
    _strike(pi, "mirrorcam-cable", signal="KILL", while_it="nothing goes on")
    until(lambda: _times_killed(pi, "mirrorcam-cable") == killed + 1, seconds=300, what="the fault in the log")


def _times_killed(pi: VirtualPi, service: str) -> int:
    lines = pi.machine.run("cat /var/lib/mirrorcam/unit/faults/*.jsonl || true").splitlines()
    killed = (service, "signal", "KILL")
    faults = map(json.loads, lines)
    return sum(fault["times"] for fault in faults if (fault["part"], fault["what"], fault["status"]) == killed)


def _strike(pi: VirtualPi, *services: str, signal: str, while_it: str) -> float:
    """Send the signal to all of these services' processes, and return when new ones are ready, in seconds from then."""
    before = {service: pi.main_pid(service) for service in services}
    started = time.monotonic()
    pi.machine.run(f"systemctl kill --signal=SIG{signal} {' '.join(services)}")
    for service in services:
        _wait_until_back(pi, service, before[service])
    seconds = time.monotonic() - started
    what = f"{', '.join(services)} SIG{signal} while {while_it}: back, emulated"
    record("systemd", what.replace("mirrorcam-", ""), f"{seconds:.0f} s")
    return seconds


def _wait_until_back(pi: VirtualPi, service: str, before: int) -> None:
    def is_back() -> bool:
        return pi.main_pid(service) not in (before, 0) and pi.is_active(service)

    until(is_back, seconds=400, what=f"{service} to come back", pause=0.3)


def _all_arrive(pi: VirtualPi, expected: set[str]) -> None:
    until(lambda: not pi.waiting(), seconds=400, what="all clips to be handed over", pause=1.0)
    kept = pi.dock("clips", "list")
    assert all(kept.count(clip_id) == 1 for clip_id in expected), kept
    pi.dock("clips", "verify")
