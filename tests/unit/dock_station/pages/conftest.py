"""The pages of a fresh dock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.dock_station.pages.visitor import Pages


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    pages = Pages(tmp_path / "dock")
    yield pages
    pages.stored.dock.close()
