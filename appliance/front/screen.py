"""The screen: a device's whole panel or a window, onto which the newest picture and what lies over it are drawn.

It is drawn only when something has changed; in the dark that is once. The picture is copied straight into the
surface's memory, mirrored on the way: measured against conversion and blit in tests/bench/bench_screen.py.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on standard output, which is the log's

import numpy as np
import numpy.typing as npt
import pygame
import pygame.surfarray

from appliance.camera import Frame
from appliance.front.overlay import Overlay
from appliance.front.view import View

# What a Frame's 32-bit pixels are made of: red, green, blue, no alpha.
_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0)
_WINDOWED_DRIVERS = {"x11", "wayland", "windows", "cocoa"}
# A device's whole panel, which can be plugged in late, and vanish.
_PANEL_DRIVER = "kmsdrm"
# Drivers that draw for nobody. Where there is no display SDL falls back on `offscreen` by itself, without an error.
_UNSEEN_DRIVERS = {"dummy", "offscreen", "evdev"}
_DRIVER = "SDL_VIDEODRIVER"


@dataclass(frozen=True, slots=True)
class Display:
    """An open display; `why_headless` says why nobody can see it, and is empty where somebody can.

    `is_panel` says that it is a device's own, or that the device waits for one.
    """

    surface: pygame.Surface
    is_window: bool
    why_headless: str
    is_panel: bool = False


def open_display(size: tuple[int, int], *, headless: bool = False) -> Display:
    """Open a window on a desktop, the whole panel on a device, or a surface that nobody sees where there is neither.

    A device without its display still reads its touch panel.
    """
    if headless:
        return _open_unseen(size, "it was asked for")
    is_panel = _PANEL_DRIVER in os.environ.get(_DRIVER, "").lower().split(",")
    why = _start_video()
    if not why:
        is_panel = pygame.display.get_driver().lower() == _PANEL_DRIVER
        try:
            return _open_seen(size, is_panel=is_panel)
        except pygame.error:
            why = "there is no display"
    return _open_unseen(size, why, is_panel=is_panel)


def _open_seen(size: tuple[int, int], *, is_panel: bool) -> Display:
    if pygame.display.get_driver() in _WINDOWED_DRIVERS:
        return Display(pygame.display.set_mode(size, 0, 32), is_window=True, why_headless="")
    pygame.mouse.set_visible(False)
    # On KMS only the panel's own mode is sure to work; a surface of another size is scaled to it by SDL.
    exact = size == pygame.display.get_desktop_sizes()[0]
    flags = pygame.FULLSCREEN if exact else pygame.FULLSCREEN | pygame.SCALED
    return Display(pygame.display.set_mode(size, flags, 32), is_window=False, why_headless="", is_panel=is_panel)


def _open_unseen(size: tuple[int, int], why: str, *, is_panel: bool = False) -> Display:
    """Open a surface that nobody sees; the driver that was wished for stays so for the next time."""
    wished = os.environ.get(_DRIVER)
    for driver in ("evdev", "dummy") if is_panel else ("dummy",):
        pygame.display.quit()
        os.environ[_DRIVER] = driver
        with suppress(pygame.error):
            pygame.display.init()
            break
    surface = pygame.display.set_mode(size, 0, 32)
    if wished is None:
        del os.environ[_DRIVER]
    else:
        os.environ[_DRIVER] = wished
    return Display(surface, is_window=False, why_headless=why, is_panel=is_panel)


def _start_video() -> str:
    """Start SDL's video; return why there is no display, or an empty string."""
    try:
        pygame.display.init()
    except pygame.error:
        return "there is no display"
    driver = pygame.display.get_driver()
    if driver not in _UNSEEN_DRIVERS:
        return ""
    return f"{_DRIVER} is {driver}" if os.environ.get(_DRIVER) == driver else "there is no display"


class Screen:
    """Shows one View after the other, each with the newest picture."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self._surface = display.surface
        fits = self._surface.get_bitsize() == 32 and self._surface.get_masks()[:3] == _MASKS[:3]
        self._canvas = self._surface if fits else pygame.Surface(self._surface.get_size(), 0, 32, _MASKS)
        self._overlay = Overlay(self._surface.get_size())
        self._shown: tuple[View, int | None] | None = None

    def show(self, view: View, frame: Frame | None) -> bool:
        """Bring `view` to the screen; return False where it is there already and nothing had to be done."""
        picture = frame if view.has_picture else None
        wanted = (view, picture.sequence if picture else None)
        if wanted == self._shown:
            return False
        self._shown = wanted
        self.draw(view, picture)
        if self._canvas is not self._surface:
            self._surface.blit(self._canvas, (0, 0))
        _flip()
        return True

    def draw(self, view: View, frame: Frame | None) -> None:
        """Draw without bringing it to the screen."""
        if frame is None or not _covers(frame.pixels, self._canvas.get_size()):
            self._canvas.fill(0)
        if frame is not None:
            _copy(frame.pixels, self._canvas, mirrored=view.mirrored)
        if not view.is_dark:
            self._overlay.draw(view, self._canvas)

    def title(self, text: str) -> None:
        """Write `text` above the window, where there is one."""
        if self.display.is_window:
            pygame.display.set_caption(text)

    def close(self) -> None:
        """Leave a dark panel behind and give the display back."""
        self._surface.fill(0)
        _flip()
        pygame.display.quit()


def _flip() -> None:
    with suppress(pygame.error):  # a panel that was pulled out: who watches it says so, and what is shown goes nowhere
        pygame.display.flip()


def _covers(pixels: npt.NDArray[Any], size: tuple[int, int]) -> bool:
    return pixels.shape == (size[1], size[0])


def _copy(pixels: npt.NDArray[np.uint32], canvas: pygame.Surface, *, mirrored: bool) -> None:
    """Copy a picture into the middle of the canvas; what is larger than it loses its edges."""
    rows = pygame.surfarray.pixels2d(canvas).T
    height, width = (min(have, room) for have, room in zip(pixels.shape, rows.shape, strict=True))
    source = _middle(pixels, height, width)
    np.copyto(_middle(rows, height, width), source[:, ::-1] if mirrored else source)


def _middle(rows: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    top, left = (rows.shape[0] - height) // 2, (rows.shape[1] - width) // 2
    return rows[top : top + height, left : left + width]
