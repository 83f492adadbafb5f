"""The stock programs that IT's commands call for cards and bundles, and what to install where one is missing."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from evidence.errors import EnvironmentalError

# The Debian package that each program comes with.
_PACKAGES = {
    "lsblk": "util-linux",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "zstd": "zstd",
    "openssl": "openssl",
    "rauc": "rauc",
    "mksquashfs": "squashfs-tools",
    "unsquashfs": "squashfs-tools",
}

# A person's PATH has no /sbin on Debian, where e2fsprogs puts its programs.
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class ToolMissingError(EnvironmentalError):
    """A stock program is not installed."""

    def __init__(self, tool: str) -> None:
        super().__init__(f"The program {tool} is missing: install it (on Debian: apt install {_PACKAGES[tool]}).")
        self.tool = tool


class ToolFailedError(EnvironmentalError):
    """A stock program did not do what it was called for."""

    def __init__(self, tool: str, complaint: str) -> None:
        super().__init__(f"The program {tool} failed ({complaint}): see to it, and try again.")
        self.tool = tool
        self.complaint = complaint


def check_tools(*tools: str) -> None:
    """Raise ToolMissingError for the first of these programs that is not installed: before work that takes long."""
    for tool in tools:
        if shutil.which(tool, path=_PATH) is None:
            raise ToolMissingError(tool)


def run(tool: str, *arguments: str, folder: Path | None = None, handed_on: Sequence[int] = ()) -> bytes:
    """Return what a stock program prints, English messages asked for; it gets the descriptors that are handed on.

    Raises ToolMissingError or ToolFailedError.
    """
    try:
        done = subprocess.run(
            [tool, *arguments],
            cwd=folder,
            env=environment(),
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            pass_fds=handed_on,
        )
    except FileNotFoundError as error:
        raise ToolMissingError(tool) from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise ToolFailedError(tool, lines[-1])
    return done.stdout


def environment() -> dict[str, str]:
    """Return the environment that stock programs are called with."""
    return {"PATH": _PATH, "LC_ALL": "C.UTF-8"}
