"""The locked Python packages and this checkout, as a unit has them: in /opt/mirrorcam, beside Debian's own Python."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from provisioning.image.bootstrap import Arch
from provisioning.stock_programs import run

PROJECT = Path(__file__).parents[2]
PYTHON = "3.13"  # trixie's
HOME = Path("opt/mirrorcam")
SITE = HOME / f"lib/python{PYTHON}/site-packages"

_PLATFORMS: dict[Arch, str] = {"amd64": "x86_64-manylinux_2_36", "arm64": "aarch64-manylinux_2_36"}


def install_locked(tree: Path, arch: Arch, lock: Path) -> None:
    """Make the venv, and put the wheels of a lock file with hashes into it; raises ProgramFailedError."""
    home = tree / HOME
    (home / "bin").mkdir(parents=True)
    (home / "bin/python3").symlink_to("/usr/bin/python3")
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {PYTHON}\n", encoding="utf-8"
    )
    run(
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config", "--require-hashes", "--no-deps"),
        *("--python-platform", _PLATFORMS[arch], "--python-version", PYTHON, "--only-binary", ":all:"),
        *("--target", str(tree / SITE), "-r", str(lock)),
        work=f"Fetching the Python packages of {lock.name} with uv",
    )
    without_commands(tree / SITE)


def without_commands(site: Path) -> None:
    """Take the packages' own commands out: each names the Python of this computer, and no unit calls any of them."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("bin/")), encoding="utf-8")


def install_checkout(tree: Path) -> None:
    """Install this checkout's wheel into the tree's venv, with its commands; raises ProgramFailedError."""
    site = tree / SITE
    site.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name:
        source = Path(name) / "source"  # a copy: a folder that was built in before would bring what is gone since
        source.mkdir()
        for part in ("appliance", "dock_station", "evidence", "provisioning", "systemd"):
            shutil.copytree(PROJECT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md"):
            shutil.copy(PROJECT / file, source)
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", name)
        run(
            *(sys.executable, "-m", "pip", "wheel", *options, str(source)), work="Making this checkout's wheel with pip"
        )
        ZipFile(next(Path(name).glob("*.whl"))).extractall(site)
    commands = ConfigParser(delimiters=("=",))
    commands.optionxform = str  # type: ignore[assignment, method-assign]  # names of commands keep their case
    commands.read(next(site.glob("mirrorcam-*.dist-info")) / "entry_points.txt")
    folder = tree / HOME / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for command, place in commands["console_scripts"].items():
        module, _, function = place.partition(":")
        script = folder / command
        script.write_text(f"#!/opt/mirrorcam/bin/python3\nfrom {module} import {function}\n\n{function}()\n")
        script.chmod(0o755)


def compile_python(native: Path, folder: Path) -> None:
    """Compile the Python files below `folder` by the Python of `native`: at each start it would take half a minute.

    `native` is a tree that this computer's processor can run; what CPython compiles is the same for every processor.
    What is compiled is not compared with its source's time, which is another one after each installation (PEP 552).
    """
    with TemporaryDirectory(dir=native / "tmp") as name:
        inside = Path(name)
        shutil.copytree(folder, inside, copy_function=shutil.copy2, dirs_exist_ok=True, symlinks=True)
        place = f"/tmp/{inside.name}"  # noqa: S108 – of the tree, and made by this very call
        options = ("-q", "--invalidation-mode", "unchecked-hash", "-s", place, place)
        # A package may bring a file that is no Python of today: that one is left as it is.
        subprocess.run(
            ["chroot", str(native), f"/usr/bin/python{PYTHON}", "-m", "compileall", *options],
            check=False,
            stdout=subprocess.DEVNULL,
        )
        for compiled in inside.rglob("*.pyc"):
            target = folder / compiled.relative_to(inside)
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(compiled, target)
