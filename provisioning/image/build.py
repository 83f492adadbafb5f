"""Builds an image: the root of packages, the unit's root, its slots, the card; and what others check it by."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from evidence.durable import write_durably
from provisioning.digest import sha256_of
from provisioning.image.bootstrap import this_arch
from provisioning.image.components import components_of
from provisioning.image.partitions import write_card, write_data
from provisioning.image.profiles import Profile
from provisioning.image.root import ready_tree
from provisioning.image.slots import write_boot, write_firmware, write_root
from provisioning.image.tree import finish_tree
from provisioning.stock_programs import check_programs, check_root

TOOLS = (
    *("mmdebstrap", "dpkg-deb", "depmod", "unshare", "systemd-sysusers", "cpio", "mksquashfs", "mkfs.vfat", "mcopy"),
    *("mke2fs", "genimage", *(() if this_arch() == "arm64" else ("qemu-aarch64",))),
)
_UNFINISHED = ".unfinished-"  # what a build that was ended at once has left


@dataclass(frozen=True)
class Built:
    """A finished image: its file, its digest, and the list of its components beside it."""

    image: Path
    sha256: str
    components: Path


def build_image(profile: Profile, folder: Path, cache: Path, say: Callable[[str], None]) -> Built:
    """Build the image of a profile into `folder`; `say` is told what is being done.

    An image appears whole or not at all: an interrupted build leaves the root of packages in `cache`, and nothing else.
    Raises ProgramMissingError, NotRootError, KeyringMissingError, ArchiveUnreachableError or ProgramFailedError.
    """
    check_programs(TOOLS, remedy="'make image-deps' installs it")
    check_root("The image's files belong to root: run it as root, or with sudo.")
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover)
    name = f"mirrorcam-{profile.name}-{version('mirrorcam')}"
    say("the packages, unless they are there from before …")
    packages, runnable = (ready_tree(profile, arch, cache) for arch in ("arm64", this_arch()))
    with TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as work:
        parts, tree = Path(work) / "parts", Path(work) / "tree"
        parts.mkdir()
        say("the unit's root file system …")
        finish_tree(profile, packages, runnable, tree)
        write_root(profile, tree, parts / "root.squashfs")
        say("the boot partitions and the card …")
        write_boot(profile, packages, parts / "boot.vfat")
        write_firmware(profile, packages, parts / "firmware.vfat")
        write_data(profile, parts / "data.ext4")
        image = write_card(name, parts, Path(work))
        digest = sha256_of(image)
        bill = components_of(profile, tree, digest)
        shutil.move(image, folder / image.name)
    write_durably(folder / f"{name}.cdx.json", bill.encode())
    write_durably(folder / f"{name}.img.sha256", f"{digest}  {name}.img\n".encode())
    return Built(folder / f"{name}.img", digest, folder / f"{name}.cdx.json")
