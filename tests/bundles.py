"""Images with a real root in them, for tests of bundles: a squashfs that says which release it is."""

import os
import subprocess
import tempfile
from pathlib import Path

from evidence.release import RELEASE_FILE
from tests.cards import BOOT, FIRST, ROOT, make_image, publish, run

RELEASE = "0.1.0+20261120T000000Z"
NEWER = "0.2.0+20261120T000000Z"
DEBIAN = "mirrorcam-debian"


def make_root(path: Path, *, release: str = RELEASE, compatible: str = DEBIAN, says: str | None = None) -> Path:
    """Make a root file system of random bytes and the file that names its release (or `says` something else)."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        file = tree / RELEASE_FILE
        file.parent.mkdir()
        file.write_text(f"release={release}\ncompatible={compatible}\n" if says is None else says)
        (tree / "content").write_bytes(os.urandom(1 << 20))
        run("mksquashfs", str(tree), str(path), "-quiet", "-no-progress", "-noappend")
    return path


def put_root(image: Path, content: bytes) -> None:
    """Put a root into both slots of an image, and its new digest beside it."""
    with image.open("r+b") as file:
        for slot in range(2):
            file.seek(FIRST + 3 * BOOT + slot * ROOT)
            file.write(content)
    publish(image)


def update_image(path: Path, *, release: str = RELEASE, compatible: str = DEBIAN, says: str | None = None) -> Path:
    """Make an image as `make image` does, small, of which a bundle can be made."""
    make_image(path)
    root = make_root(path.with_suffix(".root"), release=release, compatible=compatible, says=says)
    put_root(path, root.read_bytes())
    root.unlink()
    return path


def rauc_manifest(bundle: Path) -> str:
    """Return the manifest that a bundle's signature covers, by the stock program."""
    content = bundle.read_bytes()
    signature = content[-8 - int.from_bytes(content[-8:], "big") : -8]
    return subprocess.run(
        ["openssl", "cms", "-verify", "-noverify", "-inform", "DER"], input=signature, capture_output=True, check=True
    ).stdout.decode()
