"""What the tests of the virtual Pi share: one rig for the whole run, and one machine that most tests use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual_pi.camera import add_camera
from tests.virtual_pi.pi import Rig, VirtualPi, switched_on
from tests.virtual_pi.root import chosen_arch, ready_root
from tests.virtual_pi.town import CAMERA_SIZE, Town


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


@pytest.fixture(scope="module")
def pi(rig: Rig, town: Town, request: pytest.FixtureRequest) -> Iterator[VirtualPi]:
    """A running machine; what one test leaves behind, the next one finds."""
    with switched_on(rig.pi(Path(request.node.name).stem, town)) as pi:
        yield pi
