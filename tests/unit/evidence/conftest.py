"""A unit's clips, to be inspected, verified and opened."""

import shutil
from pathlib import Path

import pytest

from tests.clips import Case, make_case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Two clips of one unit, the second with some chunks; nothing in this folder is changed by a test."""
    return make_case(tmp_path_factory.mktemp("case"), seconds=2)


@pytest.fixture
def copied(case: Case, tmp_path: Path) -> Path:
    """A copy of the second clip and the certificates, to be spoilt; the path of its sealed file."""
    clip = case.clips[1]
    for file in (clip.sealed_file, clip.manifest_file, clip.signature_file, case.authority, case.folder / "unit.crt"):
        shutil.copy(file, tmp_path)
    return tmp_path / clip.sealed_file.name
