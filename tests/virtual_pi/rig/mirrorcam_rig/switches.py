"""The rig's switches and its log: small files that a test writes and reads from outside."""

import os
import threading
from pathlib import Path

FOLDER = Path("/run/mirrorcam-rig")
NANOSECONDS = 1_000_000_000


class Switches:
    """What the virtual sensor is to do wrong, looked up anew for each picture; all moments are monotonic seconds.

    - `dark` is there: no pictures come, as with a cable that is out.
    - `lose` holds "MOMENT COUNT": the first COUNT pictures from that moment on are lost.
    - `flash` holds lines "BEGIN END": pictures taken between them show the flash.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def is_dark(self) -> bool:
        return (self._folder / "dark").exists()

    def is_lost(self, moment_ns: int, *, period_ns: int) -> bool:
        return any(0 <= moment_ns - begin * NANOSECONDS < count * period_ns for begin, count in self._pairs("lose"))

    def is_flashing(self, moment_ns: int) -> bool:
        return any(begin <= moment_ns / NANOSECONDS < end for begin, end in self._pairs("flash"))

    def _pairs(self, name: str) -> list[tuple[float, float]]:
        try:
            lines = (self._folder / name).read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return []
        return [(float(first), float(second)) for first, second in (line.split() for line in lines)]


class Log:
    """One line for all that became of a picture: `start`, `picture`, `dark`, `lost` or `late`, number, moment in µs."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._file = folder / "sensor.log"
        self._lock = threading.Lock()

    def write(self, what: str, number: int, moment_ns: int) -> None:
        # Opened anew each time: no descriptor is left that a test would count as leaked.
        with self._lock:
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.write(handle, f"{what} {number} {moment_ns // 1000}\n".encode())
            os.close(handle)
