"""An initial RAM disk: busybox, the few kernel modules that reach the disks, and one script that finds the root."""

import lzma
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory

from provisioning.image.alike import make_alike
from provisioning.image.bootstrap import modules_of

_PLACES = ("bin", "modules", "dev", "proc", "sys", "lower", "code", "upper", "newroot")


def write_initramfs(tree: Path, target: Path, *, init: str, modules: Sequence[str], epoch: int = 0) -> None:
    """Write the archive for the kernel of `tree`; `init` is the script, `modules` what it wants to have loaded.

    Every file in it is of the moment `epoch` (Unix seconds). Raises CalledProcessError where cpio fails.
    """
    with TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        for place in _PLACES:
            (folder / place).mkdir()
        shutil.copy(tree / "usr/bin/busybox", folder / "bin/busybox")
        (folder / "bin/sh").symlink_to("busybox")
        (folder / "init").write_text(init, encoding="utf-8")
        (folder / "init").chmod(0o755)
        order = list(dict.fromkeys(_in_order(modules_of(tree), modules)))
        for module in order:
            (folder / "modules" / _loaded_as(module)).write_bytes(lzma.decompress(module.read_bytes()))
        (folder / "modules/order").write_text("\n".join(map(_loaded_as, order)), encoding="ascii")
        _pack(folder, target, epoch)


def _in_order(folder: Path, wanted: Sequence[str]) -> Iterator[Path]:
    """Yield the wanted modules, each after those that it needs (modules.dep(5)); what is built in is not there."""
    needs = {}
    for line in (folder / "modules.dep").read_text(encoding="ascii").splitlines():
        module, _, others = line.partition(":")
        needs[module] = others.split()
    files = {_name(module): module for module in needs}
    for name in wanted:
        if name in files:
            yield from (folder / each for each in (*reversed(needs[files[name]]), files[name]))


def _name(module: str) -> str:
    return Path(module).name.partition(".")[0].replace("-", "_")


def _loaded_as(module: Path) -> str:
    return module.name.removesuffix(".xz")


def _pack(folder: Path, target: Path, epoch: int) -> None:
    make_alike(folder, epoch)
    names = "\n".join(str(place.relative_to(folder)) for place in sorted(folder.rglob("*")))
    command = ["cpio", "--create", "--format=newc", "--quiet", "--reproducible", "--owner=0:0"]
    with target.open("wb") as archive:
        run(command, cwd=folder, input=names.encode(), stdout=archive, check=True)
    with target.open("ab") as archive:
        archive.write(_console(epoch))


def _console(epoch: int) -> bytes:
    """Return an archive of the one device that the kernel opens itself: only root may make one, anyone may write of it.

    The kernel reads archives one behind the other (Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    major, minor = 5, 1  # /dev/console: Documentation/admin-guide/devices.txt
    return _record("dev/console", stat.S_IFCHR | 0o600, epoch, major, minor) + _record("TRAILER!!!", 0, 0, 0, 0)


def _record(name: str, mode: int, moment: int, major: int, minor: int) -> bytes:
    """Return a record, without content, of a "newc" archive: the same document."""
    numbers = (0, mode, 0, 0, 1, moment, 0, 0, 0, major, minor, len(name) + 1, 0)
    record = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode("ascii") + b"\0"
    return record + bytes(-len(record) % 4)
