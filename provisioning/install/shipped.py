"""Where the files of `systemd/` are: in the checkout, or where a wheel has put them."""

import sys
from pathlib import Path

from evidence.errors import EnvironmentalError

_PLACES = (Path(__file__).parents[2] / "systemd", Path(sys.prefix) / "share/mirrorcam/systemd")


class NotShippedError(EnvironmentalError):
    """This mirrorcam was copied here without the files that an installation needs."""

    def __init__(self) -> None:
        super().__init__(
            "This mirrorcam came without its folder 'systemd': install its wheel by pip, or call it in its checkout."
        )


def shipped(name: str) -> bytes:
    """Return a file of `systemd/`, named by its path there; raises NotShippedError."""
    for place in _PLACES:
        if (place / name).is_file():
            return (place / name).read_bytes()
    raise NotShippedError
