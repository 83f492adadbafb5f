"""Which of a computer's disks may be written over: as lsblk lists those of an invented one, and on real devices."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evidence.errors import MirrorcamError
from provisioning.card import devices
from provisioning.card.devices import (
    CardTooSmallError,
    MountedError,
    NoCardError,
    Node,
    NoSuchDeviceError,
    NotACardError,
    NotADiskError,
    NotPermittedError,
    OtherCardError,
    ReadOnlyCardError,
    SectorSizeError,
    SystemDiskError,
)
from tests.cards import MIB, loop_device

COMMON: dict[str, Any] = {
    "ro": False,
    "rm": False,
    "log-sec": 512,
    "mountpoints": [None],
    "tran": None,
    "vendor": None,
    "model": None,
}


def block(name: str, kind: str = "disk", size: int = 32_000_000_000, **facts: Any) -> dict[str, Any]:
    return {**COMMON, "name": name, "path": f"/dev/{name}", "type": kind, "size": size, **facts}


def listing(*blocks: dict[str, Any]) -> tuple[Node, ...]:
    return devices.parse(msgspec.json.encode({"blockdevices": blocks}))


USB: dict[str, Any] = {"rm": True, "tran": "usb", "vendor": "Generic ", "model": "STORAGE DEVICE"}
ROOT = block("town-root", "lvm", mountpoints=["/"])
SWAP = block("town-swap", "lvm", mountpoints=["[SWAP]"])
LAPTOP = listing(
    block("nvme0n1", tran="nvme", children=[
        block("nvme0n1p1", "part", mountpoints=["/boot/efi"]),
        block("nvme0n1p2", "part", children=[block("crypt", "crypt", children=[ROOT])]),
    ]),
    block("sda", tran="sata"),
    block("sdb", **USB, children=[block("sdb1", "part")]),
    block("sdc", **USB, children=[block("sdc1", "part", mountpoints=["/media/it/CAMERA"])]),
    block("sdd", size=0, **USB),
    block("sde", **USB, children=[block("sde1", "part", children=[SWAP])]),
    block("sdf", **{**USB, "ro": True}),
    block("sdg", **{**USB, "log-sec": 4096}),
    block("mmcblk0"),
    block("mmcblk0boot0", ro=True),
)  # fmt: skip


def named(name: str) -> Node:
    return devices.find(name, LAPTOP)


def test_cards_that_nobody_uses_are_offered_and_nothing_else_is() -> None:
    assert [disk.name for disk in devices.candidates(LAPTOP)] == ["sdb", "sdf", "sdg", "mmcblk0", "mmcblk0boot0"]
    assert named("sdb").label == "Generic STORAGE DEVICE"
    assert named("mmcblk0").label == "no name"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nvme0n1", SystemDiskError),
        ("sda", NotACardError),
        ("sdc", MountedError),
        ("sdd", NoCardError),
        ("sde", SystemDiskError),
        ("sdf", ReadOnlyCardError),
        ("sdg", SectorSizeError),
    ],
)
def test_each_disk_that_is_no_free_card_is_refused_with_a_sentence_of_its_own(
    name: str, error: type[MirrorcamError]
) -> None:
    with pytest.raises(error, match=f"/dev/{name}"):
        devices.check(named(name))


def test_a_disk_is_found_by_its_name_and_by_a_path_and_a_link_to_it(tmp_path: Path) -> None:
    link = tmp_path / "card"
    link.symlink_to("/dev/sdb")
    assert [devices.find(name, LAPTOP).name for name in ("sdb", "/dev/sdb", str(link))] == ["sdb"] * 3


@pytest.mark.parametrize("name", ["sdb1", "/dev/sdb1", "town-root"])
def test_a_partition_or_a_volume_is_refused_and_its_disk_named(name: str) -> None:
    with pytest.raises(NotADiskError, match="only a part of a disk"):
        devices.find(name, LAPTOP)


@pytest.mark.parametrize("name", ["sdz", "/dev/null", "/etc/passwd", "", "..", "/"])
def test_what_is_no_disk_is_refused(name: str) -> None:
    with pytest.raises(NoSuchDeviceError, match="no disk"):
        devices.find(name, LAPTOP)


def test_a_card_that_was_changed_for_another_is_noticed() -> None:
    other = listing(block("sdb", **{**USB, "model": "OTHER"}))
    with pytest.raises(MirrorcamError) as refused:
        devices.check_again(named("sdb"), other)
    assert isinstance(refused.value, OtherCardError | NotPermittedError)


def test_a_card_that_is_too_small_is_told_with_both_sizes() -> None:
    with pytest.raises(CardTooSmallError, match=r"has 32\.0 GB, the image needs 64\.0 GB"):
        devices.check_fits(named("sdb"), 64_000_000_000)
    with pytest.raises(CardTooSmallError, match="has 32000000000 bytes, the image needs 32000000512 bytes"):
        devices.check_fits(named("sdb"), 32_000_000_512)
    devices.check_fits(named("sdb"), 32_000_000_000)


class TestReal:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "card"
        file.touch()
        os.truncate(file, MIB)
        return file

    def test_lsblk_tells_of_a_real_device_and_it_may_be_written(self, file: Path) -> None:
        with loop_device(file) as device:
            disk = devices.find(str(device), devices.disks())
            devices.check(disk)
            devices.check_again(disk, devices.disks())
        assert disk.size == MIB

    def test_a_write_protected_one_is_refused(self, file: Path) -> None:
        with loop_device(file, "--read-only") as device, pytest.raises(ReadOnlyCardError):
            devices.check(devices.find(str(device), devices.disks()))

    def test_one_of_other_sectors_is_refused(self, file: Path) -> None:
        with loop_device(file, "--sector-size", "4096") as device, pytest.raises(SectorSizeError):
            devices.check(devices.find(str(device), devices.disks()))

    def test_a_card_that_is_another_now_is_refused(self, file: Path) -> None:
        with loop_device(file) as device:
            disk = devices.find(str(device), devices.disks())
            with pytest.raises(OtherCardError, match="another card now"):
                devices.check_again(msgspec.structs.replace(disk, size=2 * MIB), devices.disks())

    def test_whoever_is_not_root_is_told_to_use_sudo(self, file: Path) -> None:
        with loop_device(file) as device:
            disk = devices.find(str(device), devices.disks())
            assert in_another_user(lambda: devices.check(disk)) is NotPermittedError


def in_another_user(call: Callable[[], object]) -> type[BaseException] | None:
    """Return what a call raises when nobody (65534) makes it."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(65534)
        try:
            call()
        except NotPermittedError:
            os._exit(7)
        os._exit(0)
    return NotPermittedError if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7 else None
