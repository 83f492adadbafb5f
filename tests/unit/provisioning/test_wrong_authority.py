"""An authority that does not match, at every door of IT's command: one sentence, and no file is another than before."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from dock_station.settings import DockFolder
from provisioning.authority import AuthorityFolder, create_authority
from provisioning.dock import DockPlan, create_dock
from provisioning.policies import profile, sign_policy
from provisioning.units import enrol_unit, make_unit_key
from tests.bundles import update_image
from tests.unit.provisioning.conftest import CHEAP, openssl
from tests.unit.provisioning.test_cli import call

BUNDLE = "mirrorcam-debian-0.1.0+20261120T000000Z.raucb"
CREATE = "dock create {dock} --authority {town} --id town-hall --host localhost"

# Each command with an authority that did not set the dock (or the unit) up: "other" is of the town of Otherton.
OF_ANOTHER_TOWN = {
    CREATE.format(dock="dock", town="other"): "The dock in dock is another authority's",
    "dock update dock --authority other": "The dock in dock is another authority's",
    "dock renew dock --authority other": "The dock in dock is another authority's",
    "dock revoke town-hall --authority town --into dock --into other-dock": "The dock in other-dock is another",
    "unit enrol --authority other --dock dock": "The dock in dock is another authority's",
    "unit enrol unit --authority other --id unit-01 --dock-url https://localhost:8444": "it is another authority's",
    "unit revoke unit-01 --authority town --into dock --into other-dock": "The dock in other-dock is another",
    "unit reissue unit-01 --authority town --into other-dock": "The dock in other-dock is another authority's",
    "policy sign --authority town --profile nrw --into dock --into other-dock": "The dock in other-dock is another",
    f"bundle publish {BUNDLE} --authority town --into dock --into other-dock": "The dock in other-dock is another",
    f"bundle publish {BUNDLE} --authority other --into other-dock": "another authority issued it",
    f"bundle publish {BUNDLE} --authority other --into dock": "The dock in dock is another authority's",
}
# Each command with a certificate in the authority's folder that does not go with the key beside it.
WITH_ANOTHER_CERTIFICATE = (
    CREATE.format(dock="new-dock", town="town"),
    "dock renew dock --authority town",
    "unit enrol new-unit --authority town --id unit-09 --dock-url https://localhost:8444",
    "unit enrol --authority town --dock dock",
    "bundle make image.img --authority town --into new-bundles",
    "image sign image.img --authority town",
    "card write image.img --authority town --device /dev/none --confirm none",
)


def new_town(folder: Path, town: str) -> AuthorityFolder:
    authority = AuthorityFolder(folder)
    create_authority(authority, town=town, reviewer="a-example", passphrases=CHEAP, at=datetime.now(UTC))
    sign_policy(authority, profile("bocholt"))
    return authority


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two towns with a dock each, a unit and a bundle of the first one's; nobody writes to it."""
    place, now = tmp_path_factory.mktemp("place"), datetime.now(UTC)
    town, other = new_town(place / "town", "Sampleton"), new_town(place / "other", "Otherton")
    create_dock(DockFolder(place / "dock"), town, DockPlan("town-hall", ("localhost",)), now)
    create_dock(DockFolder(place / "other-dock"), other, DockPlan("other-hall", ("localhost",)), now)
    unit = UnitFolder(place / "unit")
    enrol_unit(unit, town, make_unit_key(unit, "unit-01")[1], "https://localhost:8444", now)
    update_image(place / "image.img")
    done = call("bundle", "make", "image.img", "--authority", "town", folder=place)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "place"))


def contents(place: Path) -> dict[str, bytes | None]:
    """Return every file and folder, but for the folders that a dock and its authority reach each other by."""
    return {
        str(path.relative_to(place)): path.read_bytes() if path.is_file() else None
        for path in place.rglob("*")
        if path.name != "updates"
    }


def refused(place: Path, command: str, sentence: str) -> str:
    before = contents(place)
    done = call(*command.split(), folder=place)
    said = [line for line in done.stderr.splitlines() if line.startswith("mirrorcam-provision: ")]
    assert done.returncode in {1, 3}, done.stderr
    assert len(said) == 1, done.stderr
    assert sentence in said[0]
    assert "Traceback" not in done.stderr
    assert contents(place) == before
    return said[0]


@pytest.mark.parametrize("command", OF_ANOTHER_TOWN)
def test_a_dock_or_unit_of_another_authority_stays_as_it_is(place: Path, command: str) -> None:
    refused(place, command, OF_ANOTHER_TOWN[command])


@pytest.mark.parametrize("command", WITH_ANOTHER_CERTIFICATE)
def test_a_certificate_that_does_not_go_with_the_key_issues_nothing(place: Path, command: str) -> None:
    shutil.copy(place / "other/authority.crt", place / "town/authority.crt")
    said = refused(place, command, "")
    assert "another" in said


@pytest.fixture
def nameless(place: Path) -> Path:
    """The first town, whose certificate was made anew with the same key by somebody who gave it no organisation."""
    subject = ("-subj", "/CN=some authority", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-x509", "-key", place / "town/authority.key", *subject, "-out", place / "town/authority.crt")
    return place


@pytest.mark.parametrize("command", [command for command in WITH_ANOTHER_CERTIFICATE if "renew" not in command])
def test_a_certificate_without_a_town_is_one_sentence(nameless: Path, command: str) -> None:
    if "--dock dock" in command:
        shutil.copy(nameless / "town/authority.crt", nameless / "dock/authority.crt")
    refused(nameless, command, "names no town")


def test_an_authority_is_not_made_anew_over_a_certificate_without_a_town(nameless: Path) -> None:
    refused(nameless, "authority create town --town Sampleton --reviewer a-example", "names no town")
