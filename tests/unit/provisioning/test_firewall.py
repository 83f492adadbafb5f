"""The dock's firewall in the kernel: who calls from the town's network and from a bay finds one door each."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from provisioning.install.firewall import rules

SSH, PAGES, BAYS, ENROLMENT, OTHER = PORTS = (22, 8443, 8444, 8445, 5432)
TOWN, BAY = "2001:db8::1", "fd6d:6972:726f::1"  # the dock's addresses on either side
TOWNSMAN = "2001:db8::2"

LISTEN = f"""
import socket
doors = [socket.create_server(("::", port), family=socket.AF_INET6) for port in {PORTS}]
print("ready", flush=True)
input()
"""
CALL = """
import socket, sys
for port in map(int, sys.argv[2:]):
    try:
        socket.create_connection((sys.argv[1], port), 1).close()
        print(port)
    except OSError:
        pass
"""


class Networks:
    """The dock's network namespace, one of the town and one of a unit."""

    def __init__(self) -> None:
        self.dock, self.town, self.unit = (f"firewall-{name}-{os.getpid()}" for name in ("dock", "town", "unit"))

    def inside(self, name: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", name, *command]

    def doors(self, name: str, address: str) -> set[int]:
        """Return the ports that whoever is in a namespace can call at an address."""
        command = self.inside(name, sys.executable, "-c", CALL, address, *map(str, PORTS))
        return set(map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))


@pytest.fixture
def networks() -> Iterator[Networks]:
    assert os.geteuid() == 0, "run this as root: it lays cables between network namespaces"
    networks = Networks()
    with ExitStack() as stack:
        for name in (networks.dock, networks.town, networks.unit):
            stack.enter_context(_namespace(name))
        _lay(networks.dock, "town0", f"{TOWN}/64", networks.town, f"{TOWNSMAN}/64")
        _lay(networks.dock, "mirrorcam0", f"{BAY}/64", networks.unit, "fd6d:6972:726f::2/64")
        yield networks


@pytest.fixture
def dock(networks: Networks) -> Iterator[Networks]:
    """The three networks; every port of the dock is open behind its firewall, and every port of the town's computer."""
    with _listening(networks, networks.dock), _listening(networks, networks.town):
        yield networks


@contextmanager
def _listening(networks: Networks, name: str) -> Iterator[None]:
    command = networks.inside(name, sys.executable, "-c", LISTEN)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as doors:
        assert doors.stdout
        assert doors.stdout.readline() == "ready\n"
        yield
        doors.communicate("\n")


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _lay(dock: str, card: str, address: str, other: str, other_address: str) -> None:
    peer = ("peer", "name", "eth0", "netns", other)
    subprocess.run(["ip", "-n", dock, "link", "add", card, "type", "veth", *peer], check=True)
    for place, name, own in ((dock, card, address), (other, "eth0", other_address)):
        subprocess.run(["ip", "-n", place, "address", "add", own, "dev", name, "nodad"], check=True)
        subprocess.run(["ip", "-n", place, "link", "set", name, "up"], check=True)


def _load(networks: Networks, path: Path, *, with_ssh: bool) -> None:
    file = path / "firewall.nft"
    file.write_text(rules(pages_port=PAGES, bays_port=BAYS, enrolment_port=ENROLMENT, with_ssh=with_ssh))
    subprocess.run(networks.inside(networks.dock, "/usr/sbin/nft", "--file", str(file)), check=True)


def test_without_the_firewall_every_door_is_open(dock: Networks) -> None:
    assert dock.doors(dock.town, TOWN) == dock.doors(dock.unit, BAY) == set(PORTS)


def test_the_town_finds_the_pages_and_a_unit_the_bays_or_enrolment_and_nothing_else(
    dock: Networks, tmp_path: Path
) -> None:
    _load(dock, tmp_path, with_ssh=False)
    assert dock.doors(dock.town, TOWN) == {PAGES}
    assert dock.doors(dock.unit, BAY) == {BAYS, ENROLMENT}
    assert dock.doors(dock.dock, "::1") == set(PORTS), "the dock itself is not kept from itself"
    assert dock.doors(dock.dock, TOWNSMAN) == set(PORTS), "what the dock asks for is answered"


def test_ssh_is_let_in_from_the_town_alone_where_that_was_said(dock: Networks, tmp_path: Path) -> None:
    _load(dock, tmp_path, with_ssh=True)
    assert dock.doors(dock.town, TOWN) == {PAGES, SSH}
    assert dock.doors(dock.unit, BAY) == {BAYS, ENROLMENT}


def test_a_unit_reaches_the_town_over_no_dock_even_if_that_forwards(dock: Networks, tmp_path: Path) -> None:
    forward = "/proc/sys/net/ipv6/conf/all/forwarding"
    subprocess.run(dock.inside(dock.dock, "sh", "-c", f"echo 1 > {forward}"), check=True)
    for name, gateway in ((dock.unit, BAY), (dock.town, TOWN)):
        subprocess.run(["ip", "-n", name, "route", "add", "default", "via", gateway], check=True)
    assert dock.doors(dock.unit, TOWNSMAN)
    _load(dock, tmp_path, with_ssh=False)
    assert not dock.doors(dock.unit, TOWNSMAN)
