"""What the unit's process tells root, as files in RAM that are there or not: they go when the process goes."""

import os
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

SIGNS = Path("/run/mirrorcam-unit")  # RuntimeDirectory= of mirrorcam-unit.service


class Sign(StrEnum):
    """One thing that is so while its file is there."""

    CAMERA = "camera"  # since the process began, the camera has given a picture
    SCREEN = "screen"  # somebody can see the screen
    DOCK = "dock"  # since the process began, a dock of the unit's authority has answered
    RECORDING = "recording"  # a clip is being written: nothing may restart the unit
    PERMIT = "update"  # on the dock, idle, and something is to be installed: it may be done, and the unit restarted


class Signs:
    """Gives signs and reads them; without a folder, as on a computer, there are none.

    No method raises: a sign that cannot be given means that no update is installed or confirmed, and nothing else.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Signs":
        """Return those of a process whose folder systemd(1) has made: RUNTIME_DIRECTORY."""
        folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        return cls(Path(folder) if folder else None)

    def give(self, sign: Sign) -> None:
        """Let the sign be there."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / sign).touch()

    def take_back(self, sign: Sign) -> None:
        """Let the sign be gone."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / sign).unlink(missing_ok=True)

    def is_given(self, sign: Sign) -> bool:
        """Tell whether the sign is there."""
        return self._folder is not None and (self._folder / sign).exists()
