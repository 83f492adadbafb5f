"""The virtual Pi's root file system: built once by mmdebstrap, and kept under the digest of its recipe."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
RECIPE = HERE / "recipe"
SUITE = "trixie"
PYTHON = "3.13"  # trixie's
SITE = Path(f"opt/mirrorcam/lib/python{PYTHON}/site-packages")

Arch = Literal["amd64", "arm64"]

_PLATFORMS: dict[Arch, str] = {"amd64": "x86_64-manylinux_2_36", "arm64": "aarch64-manylinux_2_36"}
_TRIPLETS: dict[Arch, str] = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
EMULATORS: dict[Arch, str] = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
_TOOLS = ("mmdebstrap", "mke2fs", "depmod", "unshare", "cpio", "setpriv")
_IMAGE_MIB = 2048
# What each root has of its own, or has no use for.
_OWN = ("boot", "dev", "etc/ld.so.cache", "opt", "usr/lib/modules", "var/cache", "var/lib/apt", "var/lib/dpkg")
# Nobody reads these there.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/lib/udev/hwdb.d/*")
# Unpacked and not installed: its own scripts would make an initial RAM disk, and the machine has one of the rig's own.
_FETCH_KERNEL = (
    "cd /boot && apt-get download "
    '$(apt-cache depends linux-image-{arch} | sed -n "s/.*Depends: linux-image/linux-image/p")'
)


class CannotBuildError(RuntimeError):
    """The virtual Pi cannot be built on this machine; the sentence says what is missing."""


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
        return next((self.tree / "boot").glob("vmlinuz-*"))

    @property
    def modules(self) -> Path:
        """The folder of the kernel's modules."""
        return next((self.tree / "usr/lib/modules").iterdir())


def chosen_arch() -> Arch:
    """Return the processor that ARCH names, amd64 where it names none; raises CannotBuildError for any other."""
    match os.environ.get("ARCH") or "amd64":
        case "amd64" | "arm64" as arch:
            return arch
        case other:
            raise CannotBuildError(f"There is no virtual Pi with the processor '{other}': ARCH is amd64 or arm64.")


def ready_root(arch: Arch) -> Root:
    """Return the root file system of today's recipe, built now if it is not there yet; raises CannotBuildError."""
    _check_tools(arch)
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


def _digest(arch: Arch) -> str:
    digest = hashlib.sha256(arch.encode())
    for file in (*sorted(RECIPE.iterdir()), Path(__file__)):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _check_tools(arch: Arch) -> None:
    place = f"{os.environ['PATH']}:/sbin:/usr/sbin"
    missing = [tool for tool in (EMULATORS[arch], *_TOOLS) if shutil.which(tool, path=place) is None]
    if missing:
        raise CannotBuildError(f"{', '.join(missing)} is missing: 'make test-virtual-pi-deps' installs it.")
    if os.geteuid() != 0:
        raise CannotBuildError("The virtual Pi's files belong to root: run it as root, or with sudo.")


def _native_arch() -> Arch:
    return "arm64" if os.uname().machine == "aarch64" else "amd64"


def _build(root: Root) -> None:
    sources = root.folder / "sources.list"
    mirror = _mirror()
    sources.write_text(
        f"deb {mirror} {SUITE} main\ndeb {mirror} {SUITE}-updates main\ndeb {mirror} {SUITE}-backports main\n"
    )
    if root.arch == _native_arch():
        _install_packages(root, sources)
    else:
        _unpack_packages(root, sources)
        _take_over_what_scripts_made(root, ready_root(_native_arch()))
    _run("depmod", "-b", str(root.tree), root.modules.name)
    _install_python_packages(root)
    _make_disk(root)


def _install_packages(root: Root, sources: Path) -> None:
    fetch = f"--customize-hook=chroot \"$1\" sh -c '{_FETCH_KERNEL.format(arch=root.arch)}'"
    _mmdebstrap(root, sources, "--variant=minbase", f"--include={','.join(_packages())}", fetch)
    package = next((root.tree / "boot").glob("linux-image-*.deb"))
    _run("dpkg-deb", "-x", str(package), str(root.tree))
    package.unlink()


def _unpack_packages(root: Root, sources: Path) -> None:
    """Unpack the other processor's packages: their scripts would have to be emulated, which takes a quarter hour."""
    packages = ("apt", f"linux-image-{root.arch}", *_packages())
    # A pattern stands alone: mmdebstrap splits no list that has one.
    _mmdebstrap(root, sources, "--variant=extract", "--include=?essential", f"--include={','.join(packages)}")


def _mmdebstrap(root: Root, sources: Path, *options: str) -> None:
    _run(
        # In a mount namespace of its own: whatever it mounts goes with it, however it ends.
        *("unshare", "--mount", "--propagation", "private"),
        *("mmdebstrap", f"--architectures={root.arch}", "--format=directory"),
        '--aptopt=Acquire::Check-Valid-Until "false"',
        *(f"--dpkgopt=path-exclude={place}" for place in _LEFT_OUT),
        '--setup-hook=mkdir -p "$1/etc/apt/preferences.d"',
        f"--setup-hook=copy-in {RECIPE / 'libcamera.pref'} /etc/apt/preferences.d",
        *options,
        *(SUITE, str(root.tree), str(sources)),
    )


def _take_over_what_scripts_made(root: Root, native: Root) -> None:
    """Copy what no package has in it: people, alternatives, enabled services are the same on every processor."""
    here, there = _TRIPLETS[native.arch], _TRIPLETS[root.arch]
    for source in sorted(native.tree.rglob("*")):
        place = source.relative_to(native.tree)
        target = root.tree / place
        if here in str(place) or str(place).startswith(_OWN) or os.path.lexists(target):
            continue
        if source.is_symlink():
            target.symlink_to(str(source.readlink()).replace(here, there))
        elif source.is_dir():
            target.mkdir()
        elif source.is_file():
            shutil.copy2(source, target)
        _give_alike(source, target)


def _give_alike(source: Path, target: Path) -> None:
    """Have `target` belong to whom `source` belongs, and be as open."""
    status = source.lstat()
    if os.path.lexists(target):
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not target.is_symlink():
        target.chmod(status.st_mode)


def _packages() -> Iterator[str]:
    for line in (RECIPE / "packages.txt").read_text(encoding="utf-8").splitlines():
        package = line.partition("#")[0].strip()
        if package:
            yield package


def _mirror() -> str:
    """Return the Debian mirror: the one that is named, else the one that this machine installs from."""
    named = os.environ.get("DEBIAN_MIRROR")
    if named:
        return named
    listing = _output("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages")
    for line in listing.splitlines():
        origin, _, place = line.partition(" ")
        if origin == "Debian" and "security" not in place:
            return place
    raise CannotBuildError("No Debian mirror is known here: name one in DEBIAN_MIRROR.")


def _install_python_packages(root: Root) -> None:
    """Put the locked packages where a unit has them: a venv beside Debian's own Python, for the other processor too."""
    home = root.tree / SITE.parents[2]
    (home / "bin").mkdir(parents=True)
    (home / "bin/python3").symlink_to("/usr/bin/python3")
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {PYTHON}\n", encoding="utf-8"
    )
    locked = ("-r", str(RECIPE / "requirements.lock"))
    _run(
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config", "--require-hashes", "--no-deps"),
        *("--python-platform", _PLATFORMS[root.arch], "--python-version", PYTHON, "--only-binary", ":all:"),
        *("--target", str(root.tree / SITE), *locked),
    )
    compile_python(root, root.tree / SITE)


def compile_python(root: Root, folder: Path) -> None:
    """Compile the Python files below `folder`, by the root's own Python: at each start it would take half a minute.

    What CPython compiles is the same for every processor, so this one's root does it, and nothing is emulated.
    """
    native = root if root.arch == _native_arch() else ready_root(_native_arch())
    with TemporaryDirectory(dir=native.tree / "tmp") as name:
        inside = Path(name)
        shutil.copytree(folder, inside, copy_function=shutil.copy2, dirs_exist_ok=True, symlinks=True)
        command = ("-m", "compileall", "-q", "-s", f"/tmp/{inside.name}", f"/tmp/{inside.name}")
        # A package may bring a file that is no Python of today: that one is left as it is.
        subprocess.run(
            ["chroot", str(native.tree), f"/usr/bin/python{PYTHON}", *command], check=False, stdout=subprocess.DEVNULL
        )
        for compiled in inside.rglob("*.pyc"):
            place = folder / compiled.relative_to(inside)
            place.parent.mkdir(exist_ok=True)
            shutil.copy2(compiled, place)


def _make_disk(root: Root) -> None:
    unfinished = root.disk.with_suffix(".new")
    options = ("-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", "-m", "0")
    _run("mke2fs", *options, "-L", "root", "-d", str(root.tree), str(unfinished), f"{_IMAGE_MIB}M")
    unfinished.rename(root.disk)


def _forget_others(root: Root) -> None:
    for other in root.folder.parent.glob(f"{root.arch}-*"):
        if other != root.folder:
            shutil.rmtree(other)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise CannotBuildError(
            f"'{command[0]}' failed (exit code {error.returncode}); what it said is above."
        ) from error


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Build the root of the chosen processor, unless it is there; say in one sentence why that cannot be."""
    try:
        ready_root(chosen_arch())
    except CannotBuildError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
