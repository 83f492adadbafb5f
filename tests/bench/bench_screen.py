"""The screen: CPU for a frame from the camera's fitted picture to just before the flip, at 800x480."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import numpy as np
import pygame
from av.video.frame import VideoFrame

from appliance.camera import Frame
from appliance.cameras.fitting import ScreenFitter
from appliance.front.messages import Message, Tone
from appliance.front.screen import Screen, open_display
from appliance.front.view import View
from tests.bench.footage import in_turns
from tests.bench.rows import Row

WIDTH, HEIGHT = 800, 480
ROUNDS = 7
FRAMES = 300
RECORDING = View(
    has_picture=True,
    recorded_seconds=42,
    date_and_time="24 Nov 2026  15:04:12",
    storage_minutes=312,
    battery_percent=82,
)
HOLDING = replace(RECORDING, hold=0.6)
TOLD = replace(RECORDING, message=Message("Storage is low", "Put this unit on the dock soon.", Tone.WARNING))


def measure() -> list[Row]:
    """Measure every way in turns; what stands over the picture changes once a second, as it does on a unit."""
    screen = Screen(open_display((WIDTH, HEIGHT), headless=True))
    frames = _frames()
    fitter = ScreenFitter(width=WIDTH, height=HEIGHT)
    film = VideoFrame.from_ndarray(np.random.default_rng(1).integers(0, 256, (720 * 3 // 2, 1280), np.uint8), "yuv420p")
    ways: dict[str, Callable[[], float]] = {
        "recording": lambda: _draw(screen, frames, RECORDING),
        "not mirrored": lambda: _draw(screen, frames, replace(RECORDING, mirrored=False)),
        "holding": lambda: _draw(screen, frames, HOLDING),
        "told": lambda: _draw(screen, frames, TOLD),
        "blit": lambda: _convert_and_blit(frames),
        "fit": lambda: _each(lambda: fitter.fit(film)),
        "wait": lambda: _show_again(screen, frames[0]),
    }
    cost = {name: median(seconds) * 1000 for name, seconds in in_turns(ways, ROUNDS).items()}
    screen.close()
    drawn = {
        "a frame while recording, mirrored": "recording",
        "a frame while recording, not mirrored": "not mirrored",
        "a frame while the wearer holds": "holding",
        "a frame with a message": "told",
    }
    return [
        *(Row(name, cost[way], "CPU ms", "<= 0.5", "", None, cost[way] <= 0.5) for name, way in drawn.items()),
        Row("mirroring the bare picture by pygame's own frombuffer, flip and blit", cost["blit"], "CPU ms"),
        Row("nothing new to show", cost["wait"], "CPU ms"),
        Row("fitting a picture of 1280x720 to the screen, on the camera's thread", cost["fit"], "CPU ms"),
    ]


def _frames() -> list[Frame]:
    """Return pictures of noise that no cache holds all of."""
    chance = np.random.default_rng(1)
    return [
        Frame(chance.integers(0, 1 << 24, (HEIGHT, WIDTH), np.uint32), number * 33_333, number) for number in range(16)
    ]


def _draw(screen: Screen, frames: list[Frame], view: View) -> float:
    screen.draw(view, frames[0])
    second = [0]

    def draw() -> None:
        second[0] += 1
        seconds = 42 + second[0] // 30
        now = replace(view, recorded_seconds=seconds, date_and_time=f"24 Nov 2026  15:04:{seconds % 60:02}")
        screen.draw(now, frames[second[0] % len(frames)])

    return _each(draw)


def _convert_and_blit(frames: list[Frame]) -> float:
    surface = pygame.Surface((WIDTH, HEIGHT), 0, 32)
    count = [0]

    def blit() -> None:
        count[0] += 1
        pixels = frames[count[0] % len(frames)].pixels
        picture = pygame.image.frombuffer(pixels.tobytes(), (WIDTH, HEIGHT), "BGRA")
        surface.blit(pygame.transform.flip(picture, flip_x=True, flip_y=False), (0, 0))

    return _each(blit)


def _show_again(screen: Screen, frame: Frame) -> float:
    screen.show(RECORDING, frame)
    return _each(lambda: screen.show(RECORDING, frame))


def _each(way: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    before = time.thread_time()
    for _ in range(FRAMES):
        way()
    return (time.thread_time() - before) / FRAMES
