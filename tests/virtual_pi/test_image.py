"""The image for real: built of Debian's packages, started from its card alone by UEFI, and looked at from inside."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from provisioning.image.build import Built, build_image
from provisioning.image.profiles import load_profile
from tests.virtual_pi.camera import add_camera
from tests.virtual_pi.card import machine_of, place_of, write_partition
from tests.virtual_pi.cards import write_code_disk
from tests.virtual_pi.figures import record
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.pi import UNIT_SERVICES, VirtualPi
from tests.virtual_pi.root import Root, debian_mirror, ready_root, security_mirror
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import CAMERA_SIZE, PANEL, Town

CARD_BYTES = 3 << 30


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The image of the profile that can be built here."""
    mirrors = {"DEBIAN_MIRROR": debian_mirror(), "DEBIAN_SECURITY_MIRROR": security_mirror()}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mirrorcam/image"
    profile = load_profile("debian", {**mirrors, **os.environ})
    return build_image(profile, tmp_path_factory.mktemp("image"), cache, print)


@pytest.fixture(scope="module")
def root() -> Root:
    """The rig's own disk for the processor that a Raspberry Pi has."""
    return ready_root("arm64")


@pytest.fixture(scope="module")
def pi(
    machines: Machines, built: Built, root: Root, town: Town, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualPi]:
    """A unit that was switched on for the first time, with a card larger than the image, enrolled by hand."""
    machines.switch_off()
    folder = tmp_path_factory.mktemp("card")
    card, unit, code = folder / "card.img", folder / "unit.ext4", folder / "code.ext4"
    write_code_disk(root, code, lambda tree: add_camera(tree, *CAMERA_SIZE))
    shutil.copy(built.image, card)
    os.truncate(card, CARD_BYTES)
    town.write_unit_disk(unit, PANEL, mebibytes=place_of(card, "data")[1] >> 20)
    write_partition(card, "data", unit)
    machine = machine_of(card, root, code, folder / "run", screen=PANEL)
    try:
        machine.start()
        yield VirtualPi(machine, town, card, card, card)
    finally:
        machine.stop()


def test_the_image_has_a_digest_and_a_list_of_its_components(built: Built) -> None:
    told = subprocess.run(["sha256sum", str(built.image)], check=True, capture_output=True, text=True).stdout.split()[0]
    assert told == built.sha256
    assert built.image.with_name(f"{built.image.name}.sha256").read_text() == f"{told}  {built.image.name}\n"
    components = json.loads(built.components.read_text())["components"]
    names = {component["name"] for component in components}
    assert {"systemd", "python3-pygame", "picamera2", "cryptography", "linux-image-arm64"} <= names
    record("image", "components in its list; size", f"{len(components)}; {built.image.stat().st_blocks >> 11} MiB")


def test_it_starts_from_its_card_alone_and_stands_by(pi: VirtualPi) -> None:
    for service in UNIT_SERVICES:
        until(partial(pi.is_active, service), seconds=600, what=service, pause=1.0)
    pi.wait_for_state("standby", seconds=600)
    until(lambda: pi.machine.run("systemctl is-system-running || true").strip() == "running", seconds=300, what="peace")
    began = pi.machine.run("systemd-analyze").splitlines()[0]
    record("image", "started, emulated: kernel and services", began.partition("finished in ")[2])
    record(
        "image", "kernel started until standby, emulated (on a Raspberry Pi the goal is 12 s)", f"{_standby(pi):.0f} s"
    )


def test_the_root_is_read_only_and_nothing_is_swapped(pi: VirtualPi) -> None:
    mounts = pi.machine.run("cat /proc/mounts")
    assert "overlay / overlay" in mounts
    assert len(pi.machine.run("cat /proc/swaps").splitlines()) == 1
    assert pi.machine.run("cat /etc/mirrorcam-slot").strip() == "a"


def test_the_data_partition_has_grown_to_the_end_of_the_card(pi: VirtualPi) -> None:
    size = int(pi.machine.run("df --output=size -B1 /var/lib/mirrorcam/unit | tail -n 1"))
    start, _ = place_of(pi.unit_disk, "data")
    assert size > 0.9 * (CARD_BYTES - start)


def test_nobody_can_log_in(pi: VirtualPi) -> None:
    passwords = [line.split(":")[1] for line in pi.machine.run("cat /etc/shadow").splitlines()]
    assert all(password[:1] in ("*", "!") for password in passwords)
    assert pi.machine.run("pgrep -x -c 'agetty|login|sshd' || true").strip() == "0"
    assert pi.machine.try_run("command -v sshd").code != 0
    assert pi.machine.run("ss -Hltun").strip() == ""


@pytest.mark.parametrize("module", ["brcmfmac", "cfg80211", "bluetooth", "mac80211"])
def test_there_is_no_driver_of_a_radio(pi: VirtualPi, module: str) -> None:
    assert pi.machine.try_run(f"modprobe {module}").code != 0
    assert pi.machine.run(f"find /usr/lib/modules -name '{module}.ko*'").strip() == ""


def test_nothing_has_failed(pi: VirtualPi) -> None:
    assert pi.machine.run("systemctl --failed --no-legend --plain").strip() == ""


def _standby(pi: VirtualPi) -> float:
    """Return when the unit first stood by, in seconds since the kernel's start."""
    lines = pi.machine.run("journalctl -o short-monotonic --no-pager -u mirrorcam-unit").splitlines()
    line = next(line for line in lines if '"standby"' in line)
    return float(line.partition("[")[2].partition("]")[0])
