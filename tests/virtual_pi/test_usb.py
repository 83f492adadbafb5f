"""The cable for real: a USB device made in configfs, the kernel's NCM on both ends, pulled at many points."""

import random
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import DOCK_ADDRESS, OTHER_UNIT_ID, UNIT_ID

CUTS = 12
BIG_CLIP_BYTES = 48 << 20
STALL_AT_MOST = 30.0  # seconds after which a cable that is back must carry bytes again


@pytest.fixture(scope="module")
def pi(machines: Machines) -> VirtualPi:
    """A machine whose unit waits in standby, off the dock."""
    return machines.in_standby()


@pytest.fixture(autouse=True)
def off_the_dock(pi: VirtualPi) -> Iterator[None]:
    """Each test ends as it began."""
    yield
    pi.unplug()
    pi.wait_for_state("standby")


def test_plugging_in_is_noticed_on_both_sides_and_shown_before_any_sign_in(pi: VirtualPi) -> None:
    taken = pi.count("bay_taken", "mirrorcam-bays")
    came = pi.count("cable_in", "mirrorcam-cable")
    docked = pi.count("docked")
    plugged = time.monotonic()
    pi.plug()
    line = pi.wait_for("bay_taken", count=taken + 1, service="mirrorcam-bays")
    record("usb", "plugged in until the dock knows whose bay it is", f"{time.monotonic() - plugged:.1f} s")
    assert line["unit_id"] == UNIT_ID
    assert UNIT_ID in pi.page("/bays")
    pi.wait_for("cable_in", count=came + 1, service="mirrorcam-cable")
    pi.wait_for("docked", count=docked + 1)
    record("usb", "plugged in until the unit has met its dock", f"{time.monotonic() - plugged:.1f} s")


def test_pulling_it_is_noticed_on_both_sides(pi: VirtualPi) -> None:
    offloaded = pi.count("offloaded")
    pi.plug()
    pi.wait_for("offloaded", count=offloaded + 1)
    free, undocked = pi.count("bay_free", "mirrorcam-bays"), pi.count("undocked")
    pulled = time.monotonic()
    pi.unplug()
    pi.wait_for("undocked", count=undocked + 1)
    record("usb", "pulled until the unit is a camera again", f"{time.monotonic() - pulled:.1f} s")
    pi.wait_for("bay_free", count=free + 1, service="mirrorcam-bays")
    assert UNIT_ID not in pi.page("/bays")


def test_systemd_networkd_gives_both_ends_their_addresses(pi: VirtualPi) -> None:
    offloaded = pi.count("offloaded")
    pi.plug()
    pi.wait_for("offloaded", count=offloaded + 1)
    assert f"{DOCK_ADDRESS}/64" in pi.machine.run("ip -6 addr show dev mirrorcam0")
    assert pi.machine.run("ip -n unit -6 -o addr show dev usb0").count("inet6") == 1
    assert "inet6 fe80:" in pi.machine.run("ip -n unit -6 -o addr show dev usb0")
    assert "default" not in pi.machine.run("ip -n unit -6 route")


def test_a_clip_arrives_and_leaves_the_unit(pi: VirtualPi) -> None:
    begun, deleted = pi.count("recording_started"), pi.count("deleted")
    pi.touch("tap 0.08")
    pi.wait_for("recording_started", count=begun + 1)
    time.sleep(3)
    clip_id = pi.end_clip()["clip_id"]
    pi.plug()
    pi.wait_for("deleted", count=deleted + 1)
    assert clip_id in pi.dock("clips", "list")
    assert clip_id not in " ".join(pi.spool())
    pi.dock("clips", "verify")


def test_a_unit_that_records_and_is_plugged_in_ends_its_clip_and_hands_it_over(pi: VirtualPi) -> None:
    begun, ended, deleted = pi.count("recording_started"), pi.count("recording_ended"), pi.count("deleted")
    pi.touch("tap 0.08")
    pi.wait_for("recording_started", count=begun + 1)
    time.sleep(2)
    pi.plug()
    assert pi.wait_for("recording_ended", count=ended + 1)["ended_by"] == "docked"
    pi.wait_for("deleted", count=deleted + 1)


def test_the_cable_is_pulled_at_many_points_of_an_upload_and_put_back(pi: VirtualPi) -> None:
    (clip_id,) = pi.fill_spool(1, BIG_CLIP_BYTES)
    start, dice, stalls = pi.vault_bytes(), random.Random(7), []
    for cut in range(CUTS):
        have = pi.vault_bytes()
        plugged = time.monotonic()
        pi.plug()
        _wait_for_bytes(pi, have, seconds=STALL_AT_MOST + 60)
        stalls.append(time.monotonic() - plugged)
        _wait_for_bytes(pi, start + int(BIG_CLIP_BYTES * (cut + dice.random()) / (CUTS + 1)), seconds=200)
        pi.unplug()
        time.sleep(dice.uniform(0.2, 3))
    pi.plug()
    until(lambda: not pi.waiting(), seconds=300, what="the clip to be handed over", pause=0.5)
    value = f"median {statistics.median(stalls):.1f} s, worst {max(stalls):.1f} s of {len(stalls)}"
    record("usb", "cable back until bytes flow again, after a cut in mid-transfer", value, f"≤ {STALL_AT_MOST:.0f} s")
    assert pi.dock("clips", "list").count(clip_id) == 1
    pi.dock("clips", "verify")
    assert pi.dock("doctor") == "Everything is in order.\n"
    assert max(stalls) <= STALL_AT_MOST + 60


def test_macs_and_serial_are_the_same_after_every_start(pi: VirtualPi) -> None:
    before = _identity(pi)
    pi.machine.run("systemctl restart mirrorcam-gadget", seconds=200)
    assert _identity(pi) == before
    assert UNIT_ID in before


def test_a_second_unit_reaches_the_dock_and_not_the_first(pi: VirtualPi) -> None:
    offloaded = pi.count("offloaded")
    pi.plug()
    pi.wait_for("offloaded", count=offloaded + 1)
    pi.machine.run("systemctl start rig-second-unit rig-unit-network@unit2", seconds=200)
    until(lambda: OTHER_UNIT_ID in pi.page("/bays"), seconds=60, what="the second bay")
    reach_dock = f"ip netns exec unit2 ping -6 -c 1 -W 2 {DOCK_ADDRESS}"
    until(lambda: pi.machine.try_run(reach_dock).code == 0, seconds=60, what="the second unit to reach the dock")
    addresses = pi.machine.run("ip -n unit -6 -o addr show dev usb0 | awk '{print $4}' | cut -d/ -f1").split()
    assert addresses
    for address in addresses:
        assert pi.machine.try_run(f"ping -6 -c 1 -W 2 -I mirrorcam0 {address}").code == 0  # the dock reaches it
        assert pi.machine.try_run(f"ip netns exec unit2 ping -6 -c 2 -W 2 -I usb0 {address}").code != 0
    pi.machine.run("systemctl stop rig-second-unit")


def _wait_for_bytes(pi: VirtualPi, more_than: int, *, seconds: float) -> None:
    def has_more() -> bool:
        return pi.vault_bytes() > more_than or not pi.waiting()

    until(has_more, seconds=seconds, what="bytes to arrive", pause=0.02)


def _identity(pi: VirtualPi) -> str:
    gadget = "/sys/kernel/config/usb_gadget/mirrorcam"
    return pi.machine.run(f"cat {gadget}/functions/ncm.usb0/*_addr {gadget}/strings/0x409/serialnumber")
