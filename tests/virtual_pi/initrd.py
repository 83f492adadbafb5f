"""The rig's initial RAM disk: the few modules that reach the disks, and recipe/init."""

from pathlib import Path

from provisioning.image.initramfs import write_initramfs
from tests.virtual_pi.root import RECIPE, Root

_WANTED = ("virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4", "overlay", "9pnet_virtio", "9p")


def write_initrd(root: Root, target: Path) -> None:
    """Write the archive for the kernel of `root`; raises subprocess.CalledProcessError where cpio fails."""
    write_initramfs(root.tree, target, init=(RECIPE / "init").read_text(encoding="utf-8"), modules=_WANTED)
