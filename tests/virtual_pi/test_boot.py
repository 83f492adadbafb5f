"""The machine starts its services by itself, in the right order, as the right people, and locked in."""

import re

import pytest

from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import DOCK_SERVICES, UNIT_SERVICES, VirtualPi
from tests.virtual_pi.root import chosen_arch

LONG_RUNNING = tuple(service for service in (*UNIT_SERVICES, *DOCK_SERVICES) if "gadget" not in service)
EXPOSURE_AT_MOST = 2.0


@pytest.fixture(scope="module")
def pi(machines: Machines) -> VirtualPi:
    """A machine with the panel that a unit has."""
    return machines.with_panel()


def test_everything_starts_by_itself_and_nothing_has_failed(pi: VirtualPi) -> None:
    state = pi.machine.try_run("systemctl is-system-running --wait", seconds=600).out.strip()
    assert state == "running", pi.machine.run("systemctl --failed; journalctl -b -p warning --no-pager | tail -50")
    seconds = pi.machine.run("systemd-analyze").splitlines()[0]
    record("systemd", f"boot of {chosen_arch()}, emulated", seconds.partition("finished in ")[2])


def test_each_service_is_ready_only_when_it_says_so(pi: VirtualPi) -> None:
    for service in LONG_RUNNING:
        shown = _properties(pi, service, "Type", "ActiveState", "WatchdogUSec", "NRestarts")
        assert shown["Type"] == "notify"
        assert shown["ActiveState"] == "active"
        assert shown["WatchdogUSec"] not in ("0", "infinity")
        assert shown["NRestarts"] == "0"


def test_the_cable_comes_after_the_gadget_and_retention_after_the_catalogue(pi: VirtualPi) -> None:
    assert _began(pi, "mirrorcam-cable.service") >= _ready(pi, "mirrorcam-gadget.service")
    assert _began(pi, "mirrorcam-retention.service") >= _ready(pi, "mirrorcam-bays.service")


def test_the_unit_waits_for_no_usb(pi: VirtualPi) -> None:
    after = _properties(pi, "mirrorcam-unit.service", "After")["After"].split()
    assert not {"mirrorcam-gadget.service", "network.target", "systemd-networkd.service"} & set(after)


def test_nothing_works_as_root_but_what_makes_the_network_card(pi: VirtualPi) -> None:
    for service in LONG_RUNNING:
        main = _properties(pi, service, "MainPID")["MainPID"]
        people = set(pi.machine.run(f"ps -o user= -g $(ps -o sid= -p {main})").split())
        people |= {pi.machine.run(f"stat -c %U /proc/{main}").strip()}
        assert people
        assert not {user for user in people if not user.startswith("mirrorc")}, (service, people)


@pytest.mark.parametrize("service", [*UNIT_SERVICES, *DOCK_SERVICES])
def test_each_service_is_locked_in(pi: VirtualPi, service: str) -> None:
    command = f"systemd-analyze security --offline=true --no-pager /usr/lib/systemd/system/{service}"
    found = re.search(r"exposure level for \S+: ([\d.]+)", pi.machine.run(command))
    assert found
    record("systemd", f"exposure of {service}", found[1], f"≤ {EXPOSURE_AT_MOST}")
    assert float(found[1]) <= EXPOSURE_AT_MOST


def test_nothing_listens_on_the_unit(pi: VirtualPi) -> None:
    assert pi.machine.run("ip netns exec unit ss -Hltun").strip() == ""


def _properties(pi: VirtualPi, service: str, *names: str) -> dict[str, str]:
    lines = pi.machine.run(f"systemctl show {service} {' '.join(f'-p {name}' for name in names)}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def _began(pi: VirtualPi, service: str) -> int:
    return int(_properties(pi, service, "InactiveExitTimestampMonotonic")["InactiveExitTimestampMonotonic"])


def _ready(pi: VirtualPi, service: str) -> int:
    return int(_properties(pi, service, "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"])
