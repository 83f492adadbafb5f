"""A display of its own for tests: an X server without a monitor, its picture, and a hand that clicks."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.dock import until

WIDTH, HEIGHT = 800, 480
REC_MARK = (slice(25, 77), slice(25, 160))  # where the mark is, in rows and columns
MARK_RED = (217, 17, 33)

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Desk:
    """One X server."""

    number: int

    def environment(self) -> dict[str, str]:
        """Return the environment in which windows open here."""
        left_out = ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY")
        inherited = {name: value for name, value in os.environ.items() if name not in left_out}
        return {**inherited, "DISPLAY": f":{self.number}", "SDL_VIDEODRIVER": "x11", "SDL_AUDIODRIVER": "dummy"}

    def picture(self) -> Picture:
        """Return what is on the screen: rows of red, green and blue."""
        command = f"ffmpeg -loglevel error -f x11grab -draw_mouse 0 -video_size {WIDTH}x{HEIGHT} -i :{self.number}"
        command += " -frames:v 1 -f rawvideo -pix_fmt rgb24 pipe:1"
        raw = subprocess.run(command.split(), capture_output=True, check=True, timeout=30).stdout
        return np.frombuffer(raw, np.uint8).reshape(HEIGHT, WIDTH, 3)

    def hand(self, *orders: object) -> None:
        """Move the mouse or press keys, as `xdotool` names it."""
        subprocess.run(["xdotool", *map(str, orders)], env=self.environment(), check=True, timeout=30)

    def take_windows_away(self) -> None:
        """Leave the screen as dark as one that was pulled out; what is drawn into a window is seen no more."""
        self.hand("search", "--onlyvisible", "--class", ".", "windowunmap", "--sync", "%@")

    def titles(self) -> str:
        """Return the titles of all windows."""
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--class", ".", "getwindowname", "%@"],
            env=self.environment(), capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        return found.stdout


@contextmanager
def desk() -> Iterator[Desk]:
    """Start an X server, on a number that is free."""
    reading, writing = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"{WIDTH}x{HEIGHT}x24",
        "-nolisten",
        "tcp",
        "-noreset",
    ]
    server: subprocess.Popen[Any] = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            yield Desk(int(told.readline()))
    finally:
        server.terminate()
        server.wait(30)


def wait_until_seen(screen: Desk, shows: Callable[[Picture], bool]) -> Picture:
    """Return the first picture of the screen that shows it."""
    seen: list[Picture] = []

    def is_seen() -> bool:
        seen[:] = [screen.picture()]
        return shows(seen[0])

    until(is_seen)
    return seen[0]


def is_dark(picture: Picture) -> bool:
    return not picture.any()


def has_rec_mark(picture: Picture) -> bool:
    """Tell whether most of the place of the mark is its red; what is left of the picture there is blue."""
    distance = np.abs(picture[REC_MARK].astype(int) - MARK_RED).max(axis=2)
    return bool((distance < 25).mean() > 0.5)
