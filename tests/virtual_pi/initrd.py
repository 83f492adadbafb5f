"""The rig's initial RAM disk: busybox, the few modules that reach the disks, and recipe/init."""

import lzma
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.virtual_pi.root import RECIPE, Root

_WANTED = ("virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4", "overlay", "9pnet_virtio", "9p")
_PLACES = ("bin", "modules", "dev", "proc", "sys", "lower", "code", "upper", "newroot")


def write_initrd(root: Root, target: Path) -> None:
    """Write the archive for the kernel of `root`; raises subprocess.CalledProcessError where cpio fails."""
    with TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        for place in _PLACES:
            (folder / place).mkdir()
        os.mknod(folder / "dev/console", stat.S_IFCHR | 0o600, os.makedev(5, 1))
        shutil.copy(root.tree / "usr/bin/busybox", folder / "bin/busybox")
        (folder / "bin/sh").symlink_to("busybox")
        shutil.copy(RECIPE / "init", folder / "init")
        (folder / "init").chmod(0o755)
        order = list(dict.fromkeys(_in_order(root.modules)))
        for module in order:
            (folder / "modules" / _loaded_as(module)).write_bytes(lzma.decompress(module.read_bytes()))
        (folder / "modules/order").write_text("\n".join(map(_loaded_as, order)), encoding="ascii")
        _pack(folder, target)


def _in_order(modules: Path) -> Iterator[Path]:
    """Yield the wanted modules, each after those that it needs (modules.dep(5)); what is built in is not there."""
    needs = {}
    for line in (modules / "modules.dep").read_text(encoding="ascii").splitlines():
        module, _, others = line.partition(":")
        needs[module] = others.split()
    files = {_name(module): module for module in needs}
    for wanted in _WANTED:
        if wanted in files:
            yield from (modules / each for each in (*reversed(needs[files[wanted]]), files[wanted]))


def _name(module: str) -> str:
    return Path(module).name.partition(".")[0].replace("-", "_")


def _loaded_as(module: Path) -> str:
    return module.name.removesuffix(".xz")


def _pack(folder: Path, target: Path) -> None:
    names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    with target.open("wb") as archive:
        subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet"],
            cwd=folder,
            input=names.encode(),
            stdout=archive,
            check=True,
        )
