"""The image for real: built of Debian's packages, started from its card alone by UEFI, and looked at from inside."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from provisioning.image.build import Built
from tests.image.cards import card_of
from tests.image.machine import place_of
from tests.virtual_pi.figures import record
from tests.virtual_pi.pi import UNIT_SERVICES, VirtualPi
from tests.virtual_pi.root import Root
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import Town

BOARDS = ("bcm2711-rpi-4-b", "bcm2712-rpi-5-b", "bcm2837-rpi-zero-2-w")
GOAL = "on a Raspberry Pi at most 12 s"
_PATIENCE = 300.0  # seconds, for what reads the whole log in a machine that is emulated beside others
_LOCKED_IN = (
    "for service in /usr/lib/systemd/system/mirrorcam-*[a-z].service /etc/systemd/system/emergency.service; "
    "do systemd-analyze security --offline=true --no-pager $service; done"
)


@pytest.fixture(scope="module")
def pi(built: Built, root: Root, town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualPi]:
    """A unit that was switched on for the first time, enrolled, with a card larger than the image."""
    pi = card_of(built, root, town, tmp_path_factory.mktemp("card"))
    try:
        pi.machine.start()
        yield pi
    finally:
        pi.machine.stop()


def test_the_image_has_a_digest_and_a_list_of_its_components(built: Built) -> None:
    told = subprocess.run(["sha256sum", str(built.image)], check=True, capture_output=True, text=True).stdout.split()[0]
    assert told == built.sha256
    assert built.image.with_name(f"{built.image.name}.sha256").read_text() == f"{told}  {built.image.name}\n"
    components = json.loads(built.components.read_text())["components"]
    names = {component["name"] for component in components}
    assert {"systemd", "python3-pygame", "picamera2", "cryptography", "linux-image-arm64"} <= names
    record("image", "components in its list; size on a disk", f"{len(components)}; {_mebibytes(built)} MiB")


def test_it_starts_from_its_card_alone_and_stands_by(pi: VirtualPi) -> None:
    for service in UNIT_SERVICES:
        until(partial(pi.is_active, service), seconds=600, what=service, pause=1.0)
    pi.wait_for_state("standby", seconds=600)
    record("image", "kernel's start until standby, emulated", f"{_standby(pi):.0f} s", GOAL)


def test_it_is_known_where_the_start_takes_its_time(pi: VirtualPi) -> None:
    until(lambda: _system_state(pi) == "running", seconds=600, what="all of systemd's jobs to be done", pause=2.0)
    began = pi.machine.run("systemd-analyze", seconds=_PATIENCE).splitlines()[0]
    record("image", "its start by systemd-analyze, emulated", began.partition("finished in ")[2])
    told = pi.machine.run("systemd-analyze blame --no-pager", seconds=_PATIENCE).splitlines()
    slowest = [line for line in told if "rig" not in line][:5]
    record("image", "slowest of it, emulated", "; ".join(" ".join(line.split()) for line in slowest))


def test_the_root_is_read_only_and_nothing_is_swapped(pi: VirtualPi) -> None:
    mounts = pi.machine.run("cat /proc/mounts")
    assert "overlay / overlay" in mounts
    assert len(pi.machine.run("cat /proc/swaps").splitlines()) == 1
    assert pi.machine.run("cat /etc/mirrorcam-slot").strip() == "a"


def test_the_partition_that_has_no_twin_is_not_mounted(pi: VirtualPi) -> None:
    assert pi.machine.try_run("findmnt /run/mirrorcam-firmware").code != 0


def test_the_data_partition_has_grown_to_the_end_of_the_card(pi: VirtualPi) -> None:
    size = int(pi.machine.run("df --output=size -B1 /var/lib/mirrorcam/unit | tail -n 1"))
    start, _ = place_of(pi.unit_disk, "data")
    assert size > 0.9 * (pi.unit_disk.stat().st_size - start)


def test_nobody_can_log_in(pi: VirtualPi) -> None:
    passwords = [line.split(":")[1] for line in pi.machine.run("cat /etc/shadow").splitlines()]
    assert passwords
    assert all(password[:1] in ("*", "!") for password in passwords)
    assert pi.machine.try_run("pgrep -x 'agetty|login|sshd'").code != 0
    assert pi.machine.try_run("command -v sshd").code != 0
    assert pi.machine.run("ss -Hltun").strip() == ""


@pytest.mark.parametrize("module", ["brcmfmac", "cfg80211", "bluetooth", "mac80211"])
def test_there_is_no_driver_of_a_radio_and_loading_one_is_forbidden(pi: VirtualPi, module: str) -> None:
    assert pi.machine.run(f"find /usr/lib/modules -name '{module}.ko*'").strip() == ""
    assert f"install {module} /bin/false" in pi.machine.run("modprobe --showconfig").splitlines()


def test_there_is_nothing_that_a_driver_would_load_into_a_radio(pi: VirtualPi) -> None:
    assert pi.machine.run("find /usr/lib/firmware -mindepth 1").strip() == ""


@pytest.mark.parametrize("slot", ["boot-a", "boot-b"])
def test_the_firmware_of_a_raspberry_pi_is_told_to_leave_the_radios_off(built: Built, slot: str) -> None:
    lines = _in_boot(built, slot, "mtype", "::/config.txt").splitlines()
    for radio in ("wifi", "bt"):
        assert {f"dtoverlay=disable-{radio}", f"dtoverlay=disable-{radio}-pi5"} <= set(lines)


@pytest.mark.parametrize("slot", ["boot-a", "boot-b"])
def test_every_board_has_its_device_tree(built: Built, slot: str) -> None:
    names = _in_boot(built, slot, "mdir", "-b", "::").split()
    assert {f"::/{board}.dtb" for board in BOARDS} <= set(names)


def test_what_the_cable_and_the_camera_need_of_the_kernel_does_not_come_from_the_rig_alone(pi: VirtualPi) -> None:
    wanted = pi.machine.run("systemctl show --property Wants --value mirrorcam-gadget").split()
    assert "modprobe@libcomposite.service" in wanted
    pi.machine.run("udevadm verify /usr/lib/udev/rules.d/60-mirrorcam.rules")


def test_no_keyboard_starts_it_again(pi: VirtualPi) -> None:
    assert pi.machine.run("systemctl show --property LoadState --value ctrl-alt-del.target").strip() == "masked"


def test_systemd_feeds_the_watchdog(pi: VirtualPi) -> None:
    assert pi.machine.run("systemctl show --property RuntimeWatchdogUSec --value").strip() == "15s"


def test_each_service_is_locked_in(pi: VirtualPi) -> None:
    told = pi.machine.run(_LOCKED_IN, seconds=_PATIENCE)
    found = {name: float(level) for name, level in re.findall(r"exposure level for (\S+): ([\d.]+)", told)}
    assert {"mirrorcam-unit.service", "mirrorcam-grow.service", "emergency.service"} <= set(found)
    record("systemd", "exposure of the image's services, highest", f"{max(found.values())}", "≤ 2.0")
    assert {name: level for name, level in found.items() if level > 2.0} == {}


def test_nothing_has_failed(pi: VirtualPi) -> None:
    assert pi.machine.run("systemctl --failed --no-legend --plain").strip() == ""


def test_the_log_is_in_ram(pi: VirtualPi) -> None:
    assert pi.machine.try_run("test -e /var/log/journal").code != 0
    assert pi.machine.run("find /run/log/journal -name 'system*.journal'")
    assert pi.machine.run("stat --file-system --format=%T /run/log/journal").strip() == "tmpfs"


def _in_boot(built: Built, slot: str, program: str, *arguments: str) -> str:
    """Return what one of mtools says of a slot's boot partition."""
    start, _ = place_of(built.image, slot)
    command = [program, "-i", f"{built.image}@@{start}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _mebibytes(built: Built) -> int:
    return built.image.stat().st_blocks >> 11


def _system_state(pi: VirtualPi) -> str:
    return pi.machine.try_run("systemctl is-system-running").out.strip()


def _standby(pi: VirtualPi) -> float:
    """Return when the unit first stood by, in seconds since the kernel's start."""
    command = "journalctl -o short-monotonic --no-pager -u mirrorcam-unit"
    lines = pi.machine.run(command, seconds=_PATIENCE).splitlines()
    line = next(line for line in lines if '"standby"' in line)
    return float(line.partition("[")[2].partition("]")[0])
