"""A unit's card in an emulated machine that starts as a unit does, from the card alone; and what the rig adds to it.

The firmware is UEFI, as there is no Raspberry Pi's in QEMU. What only the rig needs (a camera, a USB port, an agent) is
on disks beside the card, and systemd is told of it by credentials from outside: systemd.system-credentials(7).
"""

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.virtual_pi.machine import Drive, Machine
from tests.virtual_pi.root import Root

_FIRMWARE = Path("/usr/share/AAVMF")
_SECTOR = 512
_RIG = """\
[Unit]
Description=Rig: a camera and a USB port
DefaultDependencies=no
After=systemd-udevd.service local-fs.target
Before=sysinit.target mirrorcam-unit.service mirrorcam-gadget.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mkdir -p /run/rig-code /run/rig-root
ExecStart=/bin/mount -o ro /dev/vdb /run/rig-code
ExecStart=/bin/mount -o ro /dev/vdc /run/rig-root
ExecStart=/bin/cp -a /run/rig-code/opt/mirrorcam/rig /run/rig-code/opt/mirrorcam/footage /opt/mirrorcam/
ExecStart=/bin/cp -a /run/rig-code/usr/share/libcamera /usr/share/
ExecStart=/bin/cp -a /run/rig-code/etc/udev /run/rig-code/etc/tmpfiles.d /etc/
ExecStart=/sbin/modprobe -a dummy_hcd cdc_ncm virtio_console uinput
ExecStart=/bin/udevadm control --reload
ExecStart=/bin/udevadm trigger
ExecStart=/bin/systemd-tmpfiles --create mirrorcam-rig.conf
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
_UNIT = """\
[Service]
Environment=PYTHONPATH=/opt/mirrorcam/rig
ReadWritePaths=/run/mirrorcam-rig
# The software renderer compiles its shaders.
MemoryDenyWriteExecute=no
TimeoutStartSec=900
"""
_GADGET = "[Unit]\nAfter=rig.service\n[Service]\nTimeoutStartSec=900\n"
_WANTED = "[Unit]\nWants=rig.service rig-agent.service\n"
_SLOW = "console=ttyAMA0 loglevel=4 systemd.default_device_timeout_sec=900 systemd.default_timeout_start_sec=900"


def machine_of(card: Path, root: Root, code: Path, folder: Path, *, screen: tuple[int, int]) -> Machine:
    """Return a machine, switched off, that starts from `card`; `root` and `code` are the rig's own disks."""
    folder.mkdir()
    variables = folder / "variables.fd"
    shutil.copy(_FIRMWARE / "AAVMF_VARS.fd", variables)
    boot = (
        *("-drive", f"if=pflash,format=raw,readonly=on,file={_FIRMWARE / 'AAVMF_CODE.fd'}"),
        *("-drive", f"if=pflash,format=raw,file={variables}"),
        *_told("io.systemd.boot.kernel-cmdline-extra", _SLOW),
        *_credential("systemd.extra-unit.rig.service", _RIG),
        *_credential("systemd.extra-unit.rig-agent.service", _AGENT),
        *_credential("systemd.unit-dropin.multi-user.target~rig", _WANTED),
        *_credential("systemd.unit-dropin.mirrorcam-unit.service~rig", _UNIT),
        *_credential("systemd.unit-dropin.mirrorcam-gadget.service~rig", _GADGET),
    )
    drives = [Drive(card, is_written=True), Drive(code, is_written=False), Drive(root.disk, is_written=False)]
    return Machine("arm64", boot, drives, folder, screen=screen)


def write_partition(card: Path, label: str, content: Path) -> None:
    """Write a file system over the one in a card's partition."""
    start, size = place_of(card, label)
    assert content.stat().st_size <= size
    command = ["dd", f"if={content}", f"of={card}", "bs=1M", f"seek={start}", "oflag=seek_bytes", "conv=notrunc,sparse"]
    subprocess.run(command, check=True, capture_output=True)


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
