"""What is installed from a wheel has every file that a checkout has: pages, profiles, migrations, foreign licences."""

import shutil
import subprocess
import sys
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT

PACKAGES = ("appliance", "dock_station", "evidence", "provisioning")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all files in a wheel that was built just now, of a copy: building leaves things behind."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in (*PACKAGES, "systemd"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, wheels], cwd=source, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with ZipFile(wheel) as content:
        return set(content.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_has_all_that_the_package_has(inside: set[str], package: str) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(files) > 10
    assert files - inside == set()


def test_a_wheel_has_what_an_installation_puts_in_place(inside: set[str]) -> None:
    (data,) = {name.partition("/")[0] for name in inside if ".data/" in name}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "systemd").rglob("*") if path.is_file()}
    assert len(files) > 10
    assert {f"{data}/data/share/mirrorcam/{file}" for file in files} <= inside
    assert "provisioning/install/requirements.lock" in inside


def test_a_wheel_has_what_the_dock_needs_beside_its_code(inside: set[str]) -> None:
    assert inside >= {
        "dock_station/pages/templates/clip.html",
        "dock_station/pages/static/player.js",
        "dock_station/pages/static/play.svg",
        "dock_station/pages/static/vendor/pico.min.css",
        "dock_station/pages/static/vendor/README.md",  # Pico's licence, which must go with it
        "dock_station/catalogue/migrations/versions/0001_first_tables.py",
    }
