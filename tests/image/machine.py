"""A unit's card in an emulated machine that starts as a unit does, from the card alone; and what the rig adds to it.

The firmware is UEFI, as there is no Raspberry Pi's in QEMU. What only the rig needs (a camera, a USB port, a dock, an
agent) is on disks beside the card; systemd is told of it by credentials from outside, systemd.system-credentials(7).
"""

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.virtual_pi.machine import Drive, Machine
from tests.virtual_pi.root import Root

RIG_SCRIPT = Path(__file__).with_name("rig.sh")

_FIRMWARE = Path("/usr/share/AAVMF")
_SECTOR = 512
_RIG = """\
[Unit]
Description=Rig: a camera and a USB port
DefaultDependencies=no
After=systemd-udevd.service local-fs.target
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mkdir -p /run/rig-code
ExecStart=/bin/mount -o ro /dev/vdb /run/rig-code
ExecStart=/bin/sh /run/rig-code/opt/mirrorcam/rig/rig.sh
"""
_AGENT = """\
[Unit]
Description=Rig: commands from outside
After=rig.service

[Service]
ExecStart=/run/rig-root/lib/ld-linux-aarch64.so.1 \\
    --library-path /run/rig-root/usr/lib/aarch64-linux-gnu /run/rig-root/usr/sbin/qemu-ga
Restart=always
RestartSec=0.2
"""
_SLOWLY = "[Service]\nTimeoutStartSec=900\n"
_UNIT = f"{_SLOWLY}# The software renderer compiles its shaders.\nMemoryDenyWriteExecute=no\n"
_WANTED = "[Unit]\nWants=rig.service\n"
_KERNEL = "console=ttyAMA0 loglevel=4 systemd.default_device_timeout_sec=900 systemd.default_timeout_start_sec=900"


@dataclass(frozen=True)
class Disks:
    """What a machine has: the unit's card, the firmware's variables, and the rig's own disks."""

    card: Path
    variables: Path
    code: Path
    dock: Path | None = None


def fresh_variables(target: Path) -> Path:
    """Make the firmware's variables as they are in a machine that was never switched on, and return their file."""
    shutil.copy(_FIRMWARE / "AAVMF_VARS.fd", target)
    return target


def machine_of(disks: Disks, root: Root, folder: Path, *, screen: tuple[int, int]) -> Machine:
    """Return a machine, switched off, that starts from its card; `root` is the rig's too."""
    boot = (
        *("-drive", f"if=pflash,format=raw,readonly=on,file={_FIRMWARE / 'AAVMF_CODE.fd'}"),
        *("-drive", f"if=pflash,format=raw,file={disks.variables}"),
        *_told("io.systemd.boot.kernel-cmdline-extra", _KERNEL),
        *_credential("systemd.extra-unit.rig.service", _RIG),
        *_credential("systemd.extra-unit.rig-agent.service", _AGENT),
        *_credential("systemd.unit-dropin.sysinit.target~rig", _WANTED),
        *_credential("systemd.unit-dropin.mirrorcam-unit.service~emulated", _UNIT),
        *_credential("systemd.unit-dropin.mirrorcam-gadget.service~emulated", _SLOWLY),
    )
    drives = [Drive(disks.card, is_written=True), *(Drive(each, is_written=False) for each in (disks.code, root.disk))]
    drives += [Drive(disks.dock, is_written=True)] if disks.dock else []
    return Machine("arm64", boot, drives, folder, screen=screen)


def write_partition(card: Path, label: str, content: Path) -> None:
    """Write a file system over the one in a card's partition."""
    start, size = place_of(card, label)
    assert content.stat().st_size <= size
    command = ["dd", f"if={content}", f"of={card}", "bs=1M", f"seek={start}", "oflag=seek_bytes", "conv=notrunc,sparse"]
    subprocess.run(command, check=True, capture_output=True)


def read_partition(card: Path, label: str, into: Path) -> Path:
    """Copy a card's partition into a file, and return that."""
    start, size = place_of(card, label)
    command = ["dd", f"if={card}", f"of={into}", "bs=1M", f"skip={start}", f"count={size}"]
    subprocess.run([*command, "iflag=skip_bytes,count_bytes", "conv=sparse"], check=True, capture_output=True)
    return into


def place_of(card: Path, label: str) -> tuple[int, int]:
    """Return where the partition with this label begins on a card, and how long it is, in bytes."""
    told = subprocess.run(["sfdisk", "--json", str(card)], check=True, capture_output=True).stdout
    for partition in json.loads(told)["partitiontable"]["partitions"]:
        if partition.get("name") == label:
            return partition["start"] * _SECTOR, partition["size"] * _SECTOR
    raise AssertionError(f"{card.name} has no partition '{label}'")


def _credential(name: str, text: str) -> Sequence[str]:
    return _told(f"io.systemd.credential.binary:{name}", base64.b64encode(text.encode()).decode())


def _told(name: str, value: str) -> Sequence[str]:
    # QEMU takes a comma for the end of a value, unless it is doubled.
    return ("-smbios", f"type=11,value={name}={value.replace(',', ',,')}")
