"""Which release runs on this unit, and which bundles fit it; a computer that plays a unit runs none."""

from pathlib import Path

from evidence.release import RELEASE_FILE, Installed

_ROOT = Path("/")


def running(root: Path = _ROOT) -> Installed | None:
    """Return what this root says of itself, None where it was made by no image; raises ReleaseFileError."""
    file = root / RELEASE_FILE
    return Installed.read(file) if file.exists() else None
