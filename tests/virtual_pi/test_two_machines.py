"""Unit and dock in two machines, joined by USB over a wire (usbip): two kernels, and no shared memory between them."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import DOCK_SERVICES, UNIT_SERVICES, Rig, VirtualPi
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import UNIT_ID, Town

CLIPS, CLIP_BYTES = 2, 4 << 20
_UNIT_MAC, _DOCK_MAC = "52:54:00:77:00:01", "52:54:00:77:00:02"
_UNIT_ADDRESS, _DOCK_ADDRESS = "10.77.0.1", "10.77.0.2"
_CARD = "$(basename $(dirname $(grep -l '{mac}' /sys/class/net/*/address)))"
# On a unit there is one network namespace and one USB socket: the rig's own ways of having two are taken back.
_BE_A_UNIT = """
set -e
systemctl stop {dock} mirrorcam-unit mirrorcam-cable mirrorcam-gadget rig-unit-network@unit
rm -r /etc/systemd/system/mirrorcam-gadget.service.d /etc/systemd/system/mirrorcam-cable.service.d
modprobe -r dummy_hcd && modprobe usbip-vudc
rm /usr/lib/systemd/network/10-mirrorcam-* && ip link delete mirrorcam0
cp /usr/lib/mirrorcam-rig/unit-network/* /usr/lib/systemd/network/
systemctl daemon-reload && systemctl restart systemd-networkd
usbipd -D --device
systemctl start mirrorcam-gadget mirrorcam-cable mirrorcam-unit
"""


class Pair:
    """The two, and the wire between them."""

    def __init__(self, unit: VirtualPi, dock: VirtualPi) -> None:
        self.unit = unit
        self.dock = dock

    def attach(self) -> None:
        """Put the unit onto the dock."""
        command = f"usbip attach -r {_UNIT_ADDRESS} -d usbip-vudc.0"
        # The unit's end of a wire that was just pulled lets go of it a moment later, and refuses until then.
        until(lambda: self.dock.machine.try_run(command).code == 0, seconds=60, what="usbip to attach", pause=1.0)

    def detach(self) -> None:
        """Take it off."""
        self.dock.machine.run("usbip detach -p 00")


@pytest.fixture(scope="module")
def pair(machines: Machines, rig: Rig, town: Town) -> Iterator[Pair]:
    machines.switch_off()
    port = _free_port()
    unit = rig.pi("two-unit", town, extra=_wire(f"listen=127.0.0.1:{port}", _UNIT_MAC), processors=1)
    dock = rig.pi("two-dock", town, extra=_wire(f"connect=127.0.0.1:{port}", _DOCK_MAC), processors=1)
    try:
        unit.machine.start()
        dock.machine.start()
        dock.machine.run(f"systemctl stop {' '.join(UNIT_SERVICES)}", seconds=200)
        unit.machine.run(_BE_A_UNIT.format(dock=" ".join(DOCK_SERVICES)), seconds=400)
        for pi, mac, address in ((unit, _UNIT_MAC, _UNIT_ADDRESS), (dock, _DOCK_MAC, _DOCK_ADDRESS)):
            card = _CARD.format(mac=mac)
            pi.machine.run(f"ip addr add {address}/24 dev {card} && ip link set {card} up")
        dock.machine.run("modprobe vhci-hcd")
        until(lambda: dock.is_active("mirrorcam-bays"), seconds=300, what="the bays", pause=1.0)
        unit.wait_for_state("standby")
        yield Pair(unit, dock)
    finally:
        unit.machine.stop()
        dock.machine.stop()


def test_a_unit_hands_over_to_a_dock_that_is_another_machine(pair: Pair) -> None:
    waiting = pair.unit.fill_spool(CLIPS, CLIP_BYTES)
    begun = time.monotonic()
    pair.attach()
    line = pair.dock.wait_for("bay_taken", service="mirrorcam-bays")
    assert line["unit_id"] == UNIT_ID
    until(lambda: not pair.unit.waiting(), seconds=400, what="the clips to be handed over", pause=0.5)
    seconds = time.monotonic() - begun
    record("usb", f"two machines over usbip: {CLIPS} clips of {CLIP_BYTES >> 20} MiB at the dock", f"{seconds:.0f} s")
    kept = pair.dock.dock("clips", "list")
    assert all(kept.count(clip_id) == 1 for clip_id in waiting)
    pair.dock.dock("clips", "verify")


def test_pulled_in_mid_upload_and_put_back_it_goes_on(pair: Pair) -> None:
    undocked = pair.unit.count("undocked")
    pair.detach()
    pair.unit.wait_for("undocked", count=undocked + 1)
    waiting = pair.unit.fill_spool(CLIPS, CLIP_BYTES)
    before = pair.dock.vault_bytes()
    pair.attach()
    until(lambda: pair.dock.vault_bytes() > before + (1 << 20), seconds=300, what="an upload under way", pause=0.05)
    pair.detach()
    time.sleep(2)
    pair.attach()
    until(lambda: not pair.unit.waiting(), seconds=400, what="the clips to be handed over", pause=0.5)
    kept = pair.dock.dock("clips", "list")
    assert all(kept.count(clip_id) == 1 for clip_id in waiting)
    pair.dock.dock("clips", "verify")


def _wire(end: str, mac: str) -> tuple[str, ...]:
    return ("-netdev", f"socket,id=wire,{end}", "-device", f"virtio-net-pci,netdev=wire,mac={mac},romfile=")


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])
