"""From an image to a unit: made, offered, fetched over TLS with the cable pulled in between, and what RAUC takes."""

import ssl
from pathlib import Path

from appliance.settings import UnitFolder
from dock_station.catalogue.schema import migrate
from dock_station.dock import Dock
from dock_station.serving.listeners import listen_at_the_bays, listening
from dock_station.settings import DockFolder
from evidence.certificates import Authority, load_certificate
from evidence.docking import BUNDLE_PATH, UPDATE_PATH, UpdateOffer
from evidence.strict import read_json
from provisioning.authority import AuthorityFolder
from provisioning.bundles.publishing import publish_bundle
from provisioning.bundles.reading import read_bundle
from provisioning.units import enrol_unit, make_unit_key
from tests.bundles import RELEASE
from tests.dock import Visitor
from tests.unit.provisioning.bundles.conftest import now


def enrolled(folder: Path, authority: AuthorityFolder) -> UnitFolder:
    unit = UnitFolder(folder)
    _, request = make_unit_key(unit, "unit-01")
    enrol_unit(unit, authority, request, "https://localhost:8444", now())
    return unit


def test_a_bundle_reaches_a_unit_byte_for_byte(
    place: Path, authority: AuthorityFolder, dock: DockFolder, older: Path
) -> None:
    unit = enrolled(place / "unit", authority)
    dock.settings_file.write_text(dock.settings_file.read_text() + "bays_port = 0\n")
    opened = Dock.open_unchecked(dock)
    migrate(opened.catalogue)
    context = ssl.create_default_context(cafile=str(unit.authority_file))
    context.load_cert_chain(unit.certificate_file, unit.key_file)
    opened.vault.prepare()
    with listening("bays", listen_at_the_bays(opened)) as bays:
        visitor = Visitor(bays.port, context)
        assert visitor.ask("GET", UPDATE_PATH).status == 204
        publish_bundle(older, authority, dock, now())
        offer = read_json(visitor.ask("GET", UPDATE_PATH).content, UpdateOffer, "offer")
        path = BUNDLE_PATH.format(sha256=offer.sha256)
        with visitor.raw() as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            _, _, first = line.recv(100_000).partition(b"\r\n\r\n")
            first += line.recv(100_000)
        answer = visitor.ask("GET", path, headers={"Range": f"bytes={len(first)}-"})
        visitor.hang_up()
    opened.close()
    fetched = place / "fetched.raucb"
    fetched.write_bytes(first + answer.content)
    assert fetched.read_bytes() == older.read_bytes()
    found = read_bundle(fetched, Authority(load_certificate(unit.authority_file)), now())
    assert str(found.installed.release) == offer.release == RELEASE
