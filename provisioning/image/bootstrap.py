"""A root file system from Debian's packages, by mmdebstrap, for this computer's processor or for another one.

For another processor the packages are unpacked only, and what their scripts would make (people, alternatives, enabled
services, caches) is taken from this processor's root of the same packages: it is the same on every processor. So no
script is emulated, which would take a quarter of an hour.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provisioning.stock_programs import run

Arch = Literal["amd64", "arm64"]

_TRIPLETS: dict[Arch, str] = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
# What each root has of its own, or has no use for.
_OWN = ("boot", "dev", "etc/ld.so.cache", "opt", "usr/lib/modules", "var/cache", "var/lib/apt", "var/lib/dpkg")
# Nobody reads these there; what a package must be given with, /usr/share/doc/*/copyright, stays.
LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/lib/udev/hwdb.d/*")
# Unpacked and not installed: its own scripts would make an initial RAM disk, and ours is another one.
FETCH_KERNEL = (
    'cd /boot && apt-get download $(apt-cache depends {kernel} | sed -n "s/.*Depends: linux-image/linux-image/p")'
)


@dataclass(frozen=True)
class Packages:
    """What a root consists of: Debian's suite, apt's lines of sources and preferences, the packages, the kernel's.

    Where `epoch` (Unix seconds) is given, nothing that mmdebstrap makes is younger, and it makes the same every time.
    """

    suite: str
    sources: str
    names: Sequence[str]
    kernels: Mapping[Arch, str]
    preferences: str = ""
    left_out: Sequence[str] = ()
    epoch: int | None = None


def this_arch() -> Arch:
    """Return this computer's processor, by Debian's name."""
    return "arm64" if os.uname().machine == "aarch64" else "amd64"


def build_tree(packages: Packages, arch: Arch, folder: Path, native: Callable[[], Path]) -> Path:
    """Make the root of `packages` in the empty `folder`, and return its tree; raises ProgramFailedError.

    `native` returns the tree of the same packages for this computer's processor: it is called where `arch` is another.
    """
    tree = folder / "tree"
    if arch == this_arch():
        _install(packages, arch, folder, tree)
    else:
        here = native()
        _unpack(packages, arch, folder, tree)
        _take_over_what_scripts_made(here, tree, here=_TRIPLETS[this_arch()], there=_TRIPLETS[arch])
    run("depmod", "-b", str(tree), modules_of(tree).name)
    return tree


def modules_of(tree: Path) -> Path:
    """Return the folder of the kernel's modules."""
    return next((tree / "usr/lib/modules").iterdir())


def kernel_of(tree: Path) -> Path:
    """Return the kernel itself."""
    return next((tree / "boot").glob("vmlinuz-*"))


def _install(packages: Packages, arch: Arch, folder: Path, tree: Path) -> None:
    fetch = f"--customize-hook=chroot \"$1\" sh -c '{FETCH_KERNEL.format(kernel=packages.kernels[arch])}'"
    _mmdebstrap(packages, arch, folder, tree, "--variant=minbase", f"--include={','.join(packages.names)}", fetch)
    package = next((tree / "boot").glob("linux-image-*.deb"))
    run("dpkg-deb", "-x", str(package), str(tree))
    package.unlink()


# An unpacked package is in no database; whoever lists what a root consists of reads dpkg's.
_NOTE_PACKAGES = (
    'for file in "$1"/var/cache/apt/archives/*.deb; do '
    'dpkg-deb --field "$file" Package Version Architecture Source && echo "Status: install ok unpacked" && echo; '
    'done > "$1/var/lib/dpkg/status"'
)


def _unpack(packages: Packages, arch: Arch, folder: Path, tree: Path) -> None:
    names = ("apt", packages.kernels[arch], *packages.names)
    # A pattern stands alone: mmdebstrap splits no list that has one.
    choose = ("--variant=extract", "--include=?essential", f"--include={','.join(names)}")
    _mmdebstrap(packages, arch, folder, tree, *choose, f"--extract-hook={_NOTE_PACKAGES}")


def _mmdebstrap(packages: Packages, arch: Arch, folder: Path, tree: Path, *options: str) -> None:
    sources, preferences = folder / "sources.list", folder / "preferences.pref"
    sources.write_text(packages.sources, encoding="utf-8")
    preferences.write_text(packages.preferences, encoding="utf-8")
    run(
        # In a mount namespace of its own: whatever it mounts goes with it, however it ends.
        *("unshare", "--mount", "--propagation", "private"),
        *("mmdebstrap", f"--architectures={arch}", "--format=directory"),
        '--aptopt=Acquire::Check-Valid-Until "false"',
        *(f"--dpkgopt=path-exclude={place}" for place in (*LEFT_OUT, *packages.left_out)),
        '--setup-hook=mkdir -p "$1/etc/apt/preferences.d"',
        f"--setup-hook=copy-in {preferences} /etc/apt/preferences.d",
        *options,
        *(packages.suite, str(tree), str(sources)),
        work=f"Fetching and unpacking the packages for {arch} with mmdebstrap",
        environment={} if packages.epoch is None else {"SOURCE_DATE_EPOCH": str(packages.epoch)},
    )


def _take_over_what_scripts_made(source_tree: Path, tree: Path, *, here: str, there: str) -> None:
    """Copy what no package has in it from this processor's root, whose libraries' folder is `here`."""
    for source in sorted(source_tree.rglob("*")):
        place = source.relative_to(source_tree)
        target = tree / place
        if here in str(place) or str(place).startswith(_OWN):
            continue
        if source.is_symlink() and _is_empty_folder(target):
            target.rmdir()  # var/run is a folder until a script has made it a link
        if os.path.lexists(target):
            continue
        if source.is_symlink():
            target.symlink_to(str(source.readlink()).replace(here, there))
        elif source.is_dir():
            target.mkdir()
        elif source.is_file():
            shutil.copy2(source, target)
        _give_alike(source, target)


def _is_empty_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink() and not any(place.iterdir())


def _give_alike(source: Path, target: Path) -> None:
    """Have `target` belong to whom `source` belongs, and be as open."""
    status = source.lstat()
    if os.path.lexists(target):
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not target.is_symlink():
        target.chmod(status.st_mode)
