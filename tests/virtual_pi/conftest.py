"""What the tests of the virtual Pi share: one rig, and a machine that goes from module to module."""

from collections.abc import Iterator

import pytest

from tests.virtual_pi.camera import add_camera
from tests.virtual_pi.figures import figures_file
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import Rig
from tests.virtual_pi.root import chosen_arch, ready_root
from tests.virtual_pi.table import print_table
from tests.virtual_pi.town import CAMERA_SIZE, Town


def pytest_terminal_summary() -> None:
    """Print what was measured, before the lines that say what has failed."""
    print_table(figures_file())


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """Root, initial RAM disk and today's code, for the processor named in ARCH."""
    return Rig.build(
        ready_root(chosen_arch()), tmp_path_factory.mktemp("rig"), lambda tree: add_camera(tree, *CAMERA_SIZE)
    )


@pytest.fixture(scope="session")
def town() -> Town:
    """The authority of all."""
    return Town()


@pytest.fixture(scope="session")
def machines(rig: Rig, town: Town) -> Iterator[Machines]:
    """The machine that runs in this worker, if any: a module asks for the one that it needs."""
    machines = Machines(rig, town)
    yield machines
    machines.switch_off()
