"""A town of today, its dock, and bundles that were made of images by the stock tools."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dock_station.settings import DockFolder
from provisioning.authority import AuthorityFolder, create_authority
from provisioning.bundles.making import make_bundle
from provisioning.card.image import Image, check_image
from provisioning.dock import DockPlan, create_dock
from provisioning.policies import profile, sign_policy
from tests.bundles import NEWER, RELEASE, update_image
from tests.unit.provisioning.conftest import CHEAP


def now() -> datetime:
    """RAUC asks this computer's clock, so what it judges is of today."""
    return datetime.now(UTC)


def checked(image: Path) -> Image:
    return check_image(image, lambda _doing, _done, _total: None)


def new_town(folder: Path, town: str = "Sampleton") -> AuthorityFolder:
    authority = AuthorityFolder(folder)
    create_authority(authority, town=town, reviewer="a-example", passphrases=CHEAP, at=now())
    sign_policy(authority, profile("bocholt"))
    return authority


def new_dock(folder: Path, authority: AuthorityFolder, dock_id: str = "town-hall") -> DockFolder:
    dock = DockFolder(folder)
    create_dock(dock, authority, DockPlan(dock_id, ("localhost",)), now())
    dock.settings_file.write_text(dock.settings_file.read_text() + "vault_reserve_bytes = 0\n")
    return dock


@pytest.fixture(scope="session")
def made_town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a dock, an image and a bundle of each of two releases; nobody writes to it."""
    place = tmp_path_factory.mktemp("place")
    authority = new_town(place / "town")
    new_dock(place / "dock", authority)
    for name, release in (("older", RELEASE), ("newer", NEWER)):
        image = update_image(place / f"{name}.img", release=release)
        make_bundle(checked(image), authority, place, now())
    return place


@pytest.fixture
def place(made_town: Path, tmp_path: Path) -> Path:
    """The test's own copy of all that."""
    return Path(shutil.copytree(made_town, tmp_path / "place"))


@pytest.fixture
def authority(place: Path) -> AuthorityFolder:
    return AuthorityFolder(place / "town")


@pytest.fixture
def dock(place: Path) -> DockFolder:
    return DockFolder(place / "dock")


@pytest.fixture
def older(place: Path) -> Path:
    return place / f"mirrorcam-debian-{RELEASE}.raucb"


@pytest.fixture
def newer(place: Path) -> Path:
    return place / f"mirrorcam-debian-{NEWER}.raucb"
