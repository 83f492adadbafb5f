"""Every service of ours, the dock's, the unit's and the image's, is locked in as systemd itself measures it."""

import re
import subprocess
from pathlib import Path

import pytest

from provisioning.image.profiles import RECIPE

ROOT = Path(__file__).parents[2]
EXPOSURE_AT_MOST = 2.0
SERVICES = sorted([*(ROOT / "systemd/system").glob("*.service"), *(RECIPE / "overlay").rglob("*.service")])


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_is_locked_in(tmp_path: Path, service: Path) -> None:
    file = tmp_path / service.name.replace("@.", "@mirrorcam-unit.")
    file.write_text(service.read_text())
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert found
    assert float(found[1]) <= EXPOSURE_AT_MOST


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_that_is_root_says_why(service: Path) -> None:
    lines = service.read_text().splitlines()
    user = next((number for number, line in enumerate(lines) if line.startswith("User=")), None)
    assert user is not None, "without User= it is root's, and no line says why"
    assert lines[user] != "User=root" or lines[user - 1].startswith("# Root, ")
