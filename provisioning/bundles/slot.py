"""What of an image goes into a bundle: the boot partition and the root of its slot a, and the release that they are."""

import struct
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from evidence.release import RELEASE_FILE, Installed, ReleaseFileError
from provisioning.card.image import Image, NotAnImageError
from provisioning.card.table import Partition
from provisioning.tools import ToolFailedError, run

BOOT, ROOT = "boot.vfat", "root.squashfs"
_PARTS = {"boot-a": BOOT, "root-a": ROOT}
# A squashfs superblock's magic and, from byte 40 on, how many bytes the file system uses (squashfs_fs.h).
_SUPERBLOCK = struct.Struct("<4s36xQ")
_MAGIC = b"hsqs"
_PADDING = 4096  # to a multiple of this mksquashfs fills its file up, so what is cut out is what it wrote


@dataclass(frozen=True)
class Slot:
    """A slot's two files in a folder, and what the root says of itself."""

    folder: Path
    installed: Installed

    @property
    def boot(self) -> Path:
        """The boot partition, FAT."""
        return self.folder / BOOT

    @property
    def root(self) -> Path:
        """The root file system, squashfs."""
        return self.folder / ROOT


def take_out(image: Image, folder: Path) -> Slot:
    """Copy slot a of an image into `folder`; raises ImageChangedError, NotAnImageError or ToolMissingError."""
    wanted = [partition for partition in image.partitions if partition.name in _PARTS]
    with ExitStack() as files:
        targets = [(part, files.enter_context((folder / _PARTS[part.name]).open("xb"))) for part in wanted]
        for offset, piece in image.pieces():
            for partition, target in targets:
                target.write(_within(partition, offset, piece))
    _cut(image, folder / ROOT)
    return Slot(folder, _installed(image, folder / ROOT))


def _within(partition: Partition, offset: int, piece: bytes) -> memoryview:
    """Return what of a piece at `offset` of the image lies in the partition."""
    first = max(partition.start - offset, 0)
    return memoryview(piece)[first : max(partition.end - offset, 0)]


def _cut(image: Image, root: Path) -> None:
    """Cut off what of a root partition is not its file system."""
    with root.open("r+b") as file:
        head = file.read(_SUPERBLOCK.size)
        magic, used = _SUPERBLOCK.unpack(head) if len(head) == _SUPERBLOCK.size else (b"", 0)
        whole = -(-used // _PADDING) * _PADDING
        if magic != _MAGIC or not 0 < whole <= root.stat().st_size:
            raise NotAnImageError(image.path, "its root-a holds no squashfs")
        file.truncate(whole)


def _installed(image: Image, root: Path) -> Installed:
    try:
        text = run("unsquashfs", "-cat", str(root), str(RELEASE_FILE))
        return Installed.parse(text.decode("ascii", errors="replace"), RELEASE_FILE)
    except (ToolFailedError, ReleaseFileError) as error:
        raise NotAnImageError(image.path, f"its root names no release in /{RELEASE_FILE}") from error
