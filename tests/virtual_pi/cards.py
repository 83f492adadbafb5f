"""What today's checkout brings to the machine: its code on a read-only disk that lies over the root."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from provisioning.image.python_packages import SITE, install_checkout
from tests.virtual_pi.root import HERE, Root, compile_python

RIG = Path("opt/mirrorcam/rig")


def write_code_disk(root: Root, target: Path, add: Callable[[Path], None]) -> None:
    """Write the disk: the project as it is installed, and the rig's own; `add` puts more into the tree."""
    with TemporaryDirectory(dir=target.parent) as name:
        tree = Path(name)
        tree.chmod(0o755)
        install_checkout(tree)
        shutil.copytree(HERE / "rig", tree / RIG)
        add(tree)
        for place in (SITE, RIG):
            compile_python(root, tree / place)
        _give_to_root(tree)
        write_disk(tree, target, label="code", mebibytes=64, features="^has_journal")


def write_disk(tree: Path, target: Path, *, label: str, mebibytes: int, features: str = "has_journal") -> None:
    """Write an ext4 image with the files of `tree`."""
    target.unlink(missing_ok=True)
    options = ("-q", "-F", "-t", "ext4", "-O", features, "-E", "lazy_itable_init=0,nodiscard", "-m", "0", "-L", label)
    subprocess.run(
        ["mke2fs", *options, "-d", str(tree), str(target), f"{mebibytes}M"], check=True, stdout=subprocess.DEVNULL
    )


def enable(tree: Path, *units: str, target: str = "multi-user.target") -> None:
    """Have systemd start `units` with `target`, as 'systemctl enable' would."""
    wants = tree / f"etc/systemd/system/{target}.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit in units:
        (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")


def mask(tree: Path, *units: str) -> None:
    """Have systemd never start `units`."""
    folder = tree / "etc/systemd/system"
    folder.mkdir(parents=True, exist_ok=True)
    for unit in units:
        (folder / unit).symlink_to("/dev/null")


def write(tree: Path, place: str, content: str, *, mode: int = 0o644) -> None:
    """Put a file into the tree."""
    file = tree / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    file.chmod(mode)


def _give_to_root(tree: Path) -> None:
    for path in tree.rglob("*"):
        os.chown(path, 0, 0, follow_symlinks=False)
