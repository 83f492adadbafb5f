"""An image as `make image` makes it, and the authority whose cards are written, for the tests of cards."""

import shutil
from pathlib import Path

import pytest

from tests.cards import make_image


@pytest.fixture(scope="session")
def made_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image that each test copies; nobody writes to it."""
    return make_image(tmp_path_factory.mktemp("image") / "mirrorcam-test-0.1.0.img")


@pytest.fixture
def image_file(made_image: Path, tmp_path: Path) -> Path:
    """An image of the test's own, with its digest beside it."""
    copy = tmp_path / made_image.name
    for name in (made_image.name, f"{made_image.name}.sha256"):
        shutil.copy(made_image.with_name(name), tmp_path / name)
    return copy
