"""A refused certificate is noted at the bay that its unit is in, and at no other."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from dock_station.bays.cable import bay_of
from dock_station.bays.refused import QUIET, RefusedCertificates
from dock_station.catalogue import bays
from dock_station.catalogue.bays import Bay
from dock_station.serving.http import Server
from dock_station.serving.listeners import listening
from dock_station.serving.tls import Contexts, bays_context
from tests.dock import RunningDock, until
from tests.pki import Pki
from tests.stored import StoredDock

# What Linux's bridge gives for cards at its ports 1 and 2 (the last two lines are the cards' own addresses).
TABLE = bytes.fromhex(
    "02000000000102000800000000000000"
    "02000000000201004800000000000000"
    "4ac66479e25b02010000000000000000"
    "262e2d8fa26001010000000000000000"
)
FIRST, SECOND = "fd6d:6972:726f::ff:fe00:1", "fd6d:6972:726f::ff:fe00:2"


@pytest.fixture
def bridge(tmp_path: Path) -> Path:
    """The bridge as it stands in sysfs: unit 1 behind its port 2, in USB port 1-1.3; unit 2 behind port 1, in 1-1.4."""
    bridge = tmp_path / "class" / "net" / "mirrorcam0"
    for card, number, port in (("enx1", "0x1", "1-1.4"), ("enx2", "0x2", "1-1.3")):
        (bridge / "brif" / card).mkdir(parents=True)
        (bridge / "brif" / card / "port_no").write_text(f"{number}\n")
        device = tmp_path / "devices" / "usb1" / port / f"{port}:1.0"
        device.mkdir(parents=True)
        (bridge.parent / card).mkdir()
        (bridge.parent / card / "device").symlink_to(device)
    (bridge / "brforward").write_bytes(TABLE)
    return bridge


def test_an_address_leads_to_the_usb_port_of_its_card(bridge: Path) -> None:
    assert bay_of(FIRST, bridge) == "1-1.3"
    assert bay_of(SECOND, bridge) == "1-1.4"
    assert bay_of("fe80::ff:fe00:1%mirrorcam0", bridge) == "1-1.3"


@pytest.mark.parametrize(
    "address", ["fd6d:6972:726f::ff:fe00:3", "fd6d:6972:726f::1", "::ffff:192.0.2.1", "192.0.2.1", "", "pulse"]
)
def test_any_other_address_leads_nowhere(bridge: Path, address: str) -> None:
    assert bay_of(address, bridge) is None


def test_the_dock_s_own_cards_and_a_computer_without_the_bridge_lead_nowhere(bridge: Path, tmp_path: Path) -> None:
    assert bay_of("fd6d:6972:726f:0:48c6:64ff:fe79:e25b", bridge) is None
    assert bay_of(FIRST, tmp_path / "nothing") is None


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredDock]:
    stored = StoredDock(tmp_path / "dock")
    with stored.dock.catalogue.writing() as connection:
        for port in ("1-1.3", "1-1.4"):
            bays.plug_in(connection, port, "unit-1", stored.time.now())
    yield stored
    stored.dock.close()


def taken(stored: StoredDock) -> list[Bay]:
    with stored.dock.catalogue.reading() as connection:
        return bays.taken(connection)


def finding(port: str | None) -> Callable[[str], str | None]:
    return lambda _address: port


def test_it_is_noted_once_in_a_while_only(stored: StoredDock) -> None:
    refused, first = RefusedCertificates(stored.dock, finding("1-1.3")), stored.time.now()
    refused.note(FIRST)
    stored.time.pass_(QUIET - timedelta(seconds=1))
    refused.note(FIRST)
    assert [bay.refused_at for bay in taken(stored)] == [first, None]
    stored.time.pass_(timedelta(seconds=1))
    refused.note(FIRST)
    assert [bay.refused_at for bay in taken(stored)] == [first + QUIET, None]


@pytest.mark.parametrize("port", [None, "1-1.9"])
def test_who_is_in_no_bay_leaves_no_note(stored: StoredDock, port: str | None) -> None:
    RefusedCertificates(stored.dock, finding(port)).note(FIRST)
    assert [bay.refused_at for bay in taken(stored)] == [None, None]


def test_a_catalogue_that_fails_keeps_the_door_going(stored: StoredDock) -> None:
    with stored.dock.catalogue.writing() as connection:
        connection.exec_driver_sql("DROP TABLE bays")
    RefusedCertificates(stored.dock, finding("1-1.3")).note(FIRST)


def test_the_door_tells_who_showed_a_certificate_that_is_refused(stored: StoredDock) -> None:
    told: list[str] = []
    server = Server(
        address="127.0.0.1", port=0, app=None, contexts=Contexts(stored.folder, bays_context), threads=2, max_body=0,
        on_refused=told.append,
    )  # fmt: skip
    with listening("bays", server) as listener:
        dock = RunningDock(stored.dock, stored.pki, listener.port)
        stranger = Pki().unit("unit-1")
        with dock.visitor(stranger).raw() as cable, suppress(OSError):  # however TLS ends it
            while cable.recv(4096):
                pass
        until(lambda: told == ["127.0.0.1"])
