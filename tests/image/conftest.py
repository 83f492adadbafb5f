"""What the tests of the image share: the image, built once, and the rig's own disks."""

import os
from pathlib import Path

import pytest

from provisioning.image.build import Built, build_image
from provisioning.image.profiles import load_profile
from tests.virtual_pi.figures import figures_file
from tests.virtual_pi.root import Root, debian_mirror, ready_root, security_mirror
from tests.virtual_pi.table import print_table
from tests.virtual_pi.town import Town


def pytest_terminal_summary() -> None:
    """Print what was measured, before the lines that say what has failed."""
    print_table(figures_file())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The image of the profile that can be built without Raspberry Pi's archive, from this machine's own mirrors."""
    mirrors = {"DEBIAN_MIRROR": debian_mirror(), "DEBIAN_SECURITY_MIRROR": security_mirror()}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mirrorcam/image"
    profile = load_profile("debian", {**os.environ, **mirrors})
    return build_image(profile, tmp_path_factory.mktemp("image"), cache, print)


@pytest.fixture(scope="session")
def root() -> Root:
    """The rig's own disk, for the processor that a Raspberry Pi has."""
    return ready_root("arm64")


@pytest.fixture(scope="session")
def town() -> Town:
    """The authority of all."""
    return Town()
