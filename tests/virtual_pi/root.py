"""The virtual Pi's root file system: built once by mmdebstrap, and kept under the digest of its recipe."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evidence.errors import EnvironmentalError
from provisioning.image import bootstrap, python_packages
from provisioning.image import profiles as image
from provisioning.image.bootstrap import Arch, Packages, build_tree, this_arch
from provisioning.image.python_packages import SITE, install_locked
from provisioning.stock_programs import check_programs, check_root, run

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
RECIPE = HERE / "recipe"
LOCK = image.RECIPE / "requirements.lock"
SUITE = "trixie"

EMULATORS: dict[Arch, str] = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
_TOOLS = ("mmdebstrap", "mke2fs", "depmod", "unshare", "cpio", "setpriv")
_KERNELS: dict[Arch, str] = {"amd64": "linux-image-amd64", "arm64": "linux-image-arm64"}
_IMAGE_MIB = 2048


class NoSuchArchError(EnvironmentalError):
    """ARCH names a processor that there is no virtual Pi with."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no virtual Pi with the processor '{name}': ARCH is amd64 or arm64.")


class NoMirrorError(EnvironmentalError):
    """It is not known where Debian's packages are fetched from."""

    def __init__(self) -> None:
        super().__init__("No Debian mirror is known here: name one in DEBIAN_MIRROR.")


@dataclass(frozen=True)
class Root:
    """A root file system that is ready: its folder, its disk image, its kernel, and the modules that go with it."""

    arch: Arch
    folder: Path

    @property
    def tree(self) -> Path:
        """The files, as mmdebstrap left them."""
        return self.folder / "tree"

    @property
    def disk(self) -> Path:
        """The same as an ext4 image, which no machine ever writes to."""
        return self.folder / "root.ext4"

    @property
    def kernel(self) -> Path:
        """The kernel to boot."""
        return bootstrap.kernel_of(self.tree)

    @property
    def modules(self) -> Path:
        """The folder of the kernel's modules."""
        return bootstrap.modules_of(self.tree)


def chosen_arch() -> Arch:
    """Return the processor that ARCH names, amd64 where it names none; raises NoSuchArchError for any other."""
    match os.environ.get("ARCH") or "amd64":
        case "amd64" | "arm64" as arch:
            return arch
        case other:
            raise NoSuchArchError(other)


def ready_root(arch: Arch) -> Root:
    """Return the root file system of today's recipe, built now if it is not there yet; raises EnvironmentalError."""
    check_programs((EMULATORS[arch], *_TOOLS), remedy="'make test-virtual-pi-deps' installs it")
    check_root("The virtual Pi's files belong to root: run it as root, or with sudo.")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mirrorcam/virtual-pi"
    root = Root(arch, cache / f"{arch}-{_digest(arch)}")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{arch}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once: the first one builds
        if not root.disk.exists():
            shutil.rmtree(root.folder, ignore_errors=True)
            root.folder.mkdir()
            _build(root)
            _forget_others(root)
    return root


def compile_python(root: Root, folder: Path) -> None:
    """Compile the Python files below `folder`, by the Python of the root that can be run here."""
    native = root if root.arch == this_arch() else ready_root(this_arch())
    python_packages.compile_python(native.tree, folder)


def debian_mirror() -> str:
    """Return the Debian mirror: the one that is named, else the one that this machine installs from.

    Raises NoMirrorError.
    """
    return os.environ.get("DEBIAN_MIRROR") or _apt_source("Debian", lambda place: "security" not in place)


def security_mirror() -> str:
    """Return the mirror of Debian's security updates, in the same way; raises NoMirrorError."""
    named = os.environ.get("DEBIAN_SECURITY_MIRROR")
    return named or _apt_source("Debian", lambda place: "security" in place)


def _apt_source(wanted: str, fits: Callable[[str], bool]) -> str:
    listing = _output("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages")
    for line in listing.splitlines():
        origin, _, place = line.partition(" ")
        if origin == wanted and fits(place):
            return place
    raise NoMirrorError


def _digest(arch: Arch) -> str:
    digest = hashlib.sha256(arch.encode())
    code = (Path(module.__file__ or "") for module in (bootstrap, python_packages))
    for file in (*sorted(RECIPE.iterdir()), LOCK, Path(__file__), *code):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _build(root: Root) -> None:
    mirror = debian_mirror()
    packages = Packages(
        suite=SUITE,
        sources="".join(f"deb {mirror} {suite} main\n" for suite in (SUITE, f"{SUITE}-updates", f"{SUITE}-backports")),
        names=tuple(_packages()),
        kernels=_KERNELS,
        preferences=(RECIPE / "libcamera.pref").read_text(encoding="utf-8"),
        left_out=("/usr/share/doc/*",),
    )
    build_tree(packages, root.arch, root.folder, lambda: ready_root(this_arch()).tree)
    install_locked(root.tree, root.arch, LOCK)
    compile_python(root, root.tree / SITE)
    _make_disk(root)


def _packages() -> Iterator[str]:
    for line in (RECIPE / "packages.txt").read_text(encoding="utf-8").splitlines():
        package = line.partition("#")[0].strip()
        if package:
            yield package


def _make_disk(root: Root) -> None:
    unfinished = root.disk.with_suffix(".new")
    options = ("-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", "-m", "0")
    run("mke2fs", *options, "-L", "root", "-d", str(root.tree), str(unfinished), f"{_IMAGE_MIB}M")
    unfinished.rename(root.disk)


def _forget_others(root: Root) -> None:
    for other in root.folder.parent.glob(f"{root.arch}-*"):
        if other != root.folder:
            shutil.rmtree(other)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Build the root of the chosen processor, unless it is there; say in one sentence why that cannot be."""
    try:
        ready_root(chosen_arch())
    except EnvironmentalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
