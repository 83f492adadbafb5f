"""Before any test runs: say which programs are missing, and which of the chosen tests need them."""

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# What tests call beyond Python, by where those tests are. A test that still meets a missing program fails.
NEEDS: dict[str, tuple[str, ...]] = {
    "tests/unit/provisioning": ("openssl",),
    "tests/unit/provisioning/test_firewall.py": ("ip", "nft"),
    "tests/unit/provisioning/test_install.py": ("nft", "systemctl", "systemd-sysusers", "unshare"),
    "tests/unit/dock_station/test_backup.py": ("pg_virtualenv", "pg_dump"),
    "tests/unit/dock_station/test_catalogue.py": ("pg_virtualenv",),
    "tests/unit/dock_station/test_both_databases.py": ("pg_virtualenv",),
    "tests/unit/dock_station/test_running.py": ("pg_virtualenv",),
    "tests/unit/dock_station/test_usb.py": ("umockdev-wrapper",),
    "tests/browser": ("chromium",),
    "tests/conformance/age": ("age", "node", "Node packages"),
    "tests/conformance/tus": ("node", "Node packages"),
    "tests/conformance/formats": ("age", "ffprobe", "jq", "node", "openssl", "Node packages"),
    "tests/faults/test_cable_faults.py": ("ip",),
    "tests/unit/provisioning/card": ("debugfs", "losetup", "lsblk", "mkfs.ext4", "mkfs.vfat", "sfdisk", "zstd"),
    "tests/faults/test_card_faults.py": ("losetup", "mkfs.ext4", "mkfs.vfat", "sfdisk"),
    "tests/unit/provisioning/image": ("cpio", "genimage", "mcopy", "mkfs.vfat", "mksquashfs", "unshare", "unsquashfs"),
    "tests/unit/provisioning/image/test_alike.py": ("systemd-repart",),
    "tests/unit/provisioning/bundles": ("mksquashfs", "rauc", "unsquashfs"),
    "tests/unit/appliance/updates": ("mksquashfs", "rauc", "unsquashfs"),
    "tests/unit/appliance/updates/test_uefi.py": ("efibootmgr",),
    "tests/unit/test_services_locked_in.py": ("systemd-analyze",),
    "tests/faults/test_morning_and_theft.py": ("debugfs", "ip", "losetup", "mksquashfs", "openssl", "rauc", "sfdisk"),
    "tests/virtual_pi": ("qemu-system-x86_64", "qemu-system-aarch64", "mmdebstrap", "cpio"),
    "tests/image": ("qemu-system-aarch64", "UEFI's firmware", "mmdebstrap", "genimage", "mdir", "mksquashfs", "rauc"),
    "tests/unit/appliance/test_unit_window.py": ("Xvfb", "xdotool", "ffmpeg"),
}


def is_there(need: str) -> bool:
    """Tell whether a program, what npm installs, or the firmware of an emulated machine is on this one."""
    if need == "Node packages":
        return (ROOT / "tests/conformance/node_modules").is_dir()
    if need == "UEFI's firmware":
        return Path("/usr/share/AAVMF/AAVMF_CODE.fd").is_file()
    return shutil.which(need, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is not None


def missing_for(tests: Iterable[str], is_there: Callable[[str], bool]) -> dict[str, list[str]]:
    """Return, for each program that is missing, the places among `tests` (paths from the root) that need it."""
    files = set(tests)
    missing: dict[str, list[str]] = {}
    for place, needs in NEEDS.items():
        if any(file == place or file.startswith(f"{place}/") for file in files):
            for need in needs:
                if not is_there(need):
                    missing.setdefault(need, []).append(place)
    return missing


def pytest_configure() -> None:
    """Let the programs under test be interrupted, even where a script without job control has us run behind it.

    And let no example fail for the time that it takes: a busy machine takes any.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("mirrorcam", deadline=None)
    settings.load_profile("mirrorcam")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Stop before the first test if one of the chosen ones cannot run here."""
    chosen = {item.path.relative_to(ROOT).as_posix() for item in items if item.path.is_relative_to(ROOT)}
    missing = missing_for(chosen, is_there)
    if missing:
        listed = "".join(f"\n  {need}, needed by {', '.join(places)}" for need, places in sorted(missing.items()))
        raise pytest.UsageError(
            f"These are missing on this machine; 'make test-deps' and 'make test-image-deps' install them:{listed}"
        )
