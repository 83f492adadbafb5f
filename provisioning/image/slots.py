"""What is written into a slot: the root as a compressed read-only file system, and the boot partition beside it."""

import gzip
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from provisioning.image.bootstrap import kernel_of, modules_of
from provisioning.image.initramfs import write_initramfs
from provisioning.image.partitions import UUIDS
from provisioning.image.profiles import RECIPE, Profile
from provisioning.stock_programs import run

BOOT_MIB = 128
FIRMWARE_MIB = 8
# Whatever stands between the kernel and a card: QEMU's disks, then the card readers of the Pi 3 and Zero 2 W, 4 and 5.
_MODULES = (
    *("virtio_pci", "virtio_mmio", "virtio_blk"),
    *("bcm2835_dma", "gpio_raspberrypi_exp", "gpio_regulator", "fixed", "bcm2835", "sdhci_iproc", "sdhci_brcmstb"),
    *("mmc_block", "efivarfs", "squashfs", "overlay", "bcm2835_wdt"),
)
# What building leaves in a root, which is of no use on a unit and differs from build to build; what a boot partition is
# made of; devices, which are the kernel's own (devtmpfs); and what drivers load into devices: of a unit's devices only
# its radios want any.
_LEFT_OUT = (
    *("boot", "dev", "var/cache", "var/lib/apt", "var/log", "tmp", "var/tmp"),
    *("usr/lib/raspi-firmware", "usr/lib/firmware"),
)
_RESOLVER = "etc/resolv.conf"  # mmdebstrap copies the builder's: a unit asks nobody for a name
# Debian says bcm2837-rpi-zero-2-w, Raspberry Pi's own kernel bcm2710-rpi-zero-2-w.
_DEVICE_TREES = ("bcm2710-*.dtb", "bcm2711-*.dtb", "bcm2712*.dtb", "bcm2837-*.dtb")
_FIRMWARE_FIRST = ("bootcode.bin",)  # what a Pi 3 and a Zero 2 W look for on a card's first partition


def write_root(profile: Profile, tree: Path, target: Path) -> None:
    """Write the root slot's content; raises ProgramFailedError."""
    options = ("-noappend", "-no-progress", "-quiet", "-comp", "zstd", "-Xcompression-level", "15", "-b", "256K")
    left_out = (*(f"{place}/{each}" for place in _LEFT_OUT for each in ("*", ".*")), _RESOLVER)
    run(
        *("mksquashfs", str(tree), str(target), *options, "-mkfs-time", str(profile.epoch), "-no-exports", "-xattrs"),
        *("-wildcards", "-e", *left_out),
    )


def write_boot(profile: Profile, packages: Path, target: Path) -> None:
    """Write the boot partition's content: kernel, initial RAM disk, and what each firmware needs to start them.

    Raises ProgramFailedError.
    """
    with TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        shutil.copytree(RECIPE / "boot", folder, dirs_exist_ok=True)
        command_line = (RECIPE / "boot/cmdline.txt").read_text(encoding="ascii").strip()
        entry = folder / "loader/entries/mirrorcam.conf"
        entry.write_text(entry.read_text(encoding="ascii").replace("@CMDLINE@", command_line), encoding="ascii")
        shutil.copy(kernel_of(packages), folder / "vmlinuz")
        _write_initrd(profile, packages, folder)
        _copy_firmware(packages, folder)
        write_fat(folder, target, label="BOOT", mebibytes=BOOT_MIB, bits=32, epoch=profile.epoch)


def write_firmware(profile: Profile, packages: Path, target: Path) -> None:
    """Write the card's first partition, which says in which slot to start; raises ProgramFailedError."""
    with TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        shutil.copytree(RECIPE / "firmware", folder, dirs_exist_ok=True)
        for file in _FIRMWARE_FIRST:
            shutil.copy(packages / "usr/lib/raspi-firmware" / file, folder)
        # FAT16, for a Pi 3 and a Zero 2 W do not read a smaller partition, nor a FAT32 one of this size.
        write_fat(folder, target, label="FIRMWARE", mebibytes=FIRMWARE_MIB, bits=16, epoch=profile.epoch)


def write_fat(folder: Path, target: Path, *, label: str, mebibytes: int, bits: int, epoch: int) -> None:
    """Write a FAT file system of so many bits that holds what is in `folder`; raises ProgramFailedError."""
    environment = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
    target.unlink(missing_ok=True)
    # One sector a cluster: FAT16 and FAT32 are told by how many there are (Microsoft FAT specification §3.5).
    options = ("-C", "-F", str(bits), "-s", "1", "-n", label, "-i", "4d69636d", "--invariant")
    run("mkfs.vfat", *options, str(target), str(mebibytes << 10), environment=environment)
    for entry in sorted(folder.iterdir()):
        run("mcopy", "-s", "-i", str(target), str(entry), f"::{entry.name}", environment=environment)


def _write_initrd(profile: Profile, packages: Path, folder: Path) -> None:
    init = (RECIPE / "init").read_text(encoding="utf-8")
    init = init.replace("@BOOT_A@", UUIDS["BOOT_A"]).replace("@BOOT_B@", UUIDS["BOOT_B"])
    plain = folder / "initrd"
    write_initramfs(packages, plain, init=init, modules=_MODULES, epoch=profile.epoch)
    (folder / "initrd.img").write_bytes(gzip.compress(plain.read_bytes(), mtime=profile.epoch))
    plain.unlink()


def _copy_firmware(packages: Path, folder: Path) -> None:
    firmware = packages / "usr/lib/raspi-firmware"
    for pattern in ("start*.elf", "fixup*.dat"):
        for file in firmware.glob(pattern):
            shutil.copy(file, folder)
    trees = packages / f"usr/lib/linux-image-{modules_of(packages).name}"
    for pattern in _DEVICE_TREES:
        for file in (trees / "broadcom").glob(pattern):
            shutil.copy(file, folder)
    if (trees / "overlays").is_dir():  # Raspberry Pi's own kernel has them, Debian's has none
        shutil.copytree(trees / "overlays", folder / "overlays")
    starter = packages / "usr/lib/systemd/boot/efi/systemd-bootaa64.efi"
    if starter.exists():
        (folder / "EFI/BOOT").mkdir(parents=True)
        shutil.copy(starter, folder / "EFI/BOOT/BOOTAA64.EFI")
