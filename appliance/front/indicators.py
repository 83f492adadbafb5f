"""What tells the wearer without a look at the screen that a recording starts, stops, goes on, or has broken off."""

import os
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on standard output, which is the log's

import numpy as np
import pygame


class Signal(Enum):
    """What is to be told."""

    STARTED = "started"
    STOPPED = "stopped"
    REMINDER = "reminder"
    WARNING = "warning"


class Indicator(Protocol):
    """Something the wearer hears, sees or feels; giving a signal returns at once and never fails."""

    def give(self, signal: Signal) -> None:
        """Tell `signal`."""

    def close(self) -> None:
        """Give the hardware back."""


_RATE = 44_100
_LOUDNESS = 0.5
_FADE_SECONDS = 0.008  # without it each tone would begin and end with a crack

# Each signal as (frequency in hertz, seconds); 0 hertz is a pause. Rising means start, falling means stop, and a
# warning is unlike both. All lie between 500 and 2100 Hz, where a small speaker is loud and most ears still good.
_MELODIES: dict[Signal, tuple[tuple[int, float], ...]] = {
    Signal.STARTED: ((1047, 0.12), (1568, 0.20)),
    Signal.STOPPED: ((1568, 0.12), (1047, 0.25)),
    Signal.REMINDER: ((1319, 0.08),),
    Signal.WARNING: ((2093, 0.16), (0, 0.07), (2093, 0.16), (0, 0.07), (523, 0.40)),
}


class Tones:
    """Plays the signals on the default sound device."""

    def __init__(self) -> None:
        self._sounds: dict[Signal, pygame.mixer.Sound] = {}
        pygame.mixer.init(frequency=_RATE, size=-16, channels=1, buffer=512, allowedchanges=0)
        for signal, melody in _MELODIES.items():
            self._sounds[signal] = pygame.mixer.Sound(buffer=synthesize(melody))

    def give(self, signal: Signal) -> None:
        """Play the signal's tones, in the background."""
        self._sounds[signal].play()

    def close(self) -> None:
        """Close the sound device; what is still playing is heard to its end, at most one second."""
        for _ in range(100):
            if not pygame.mixer.get_busy():
                break
            pygame.time.wait(10)
        pygame.mixer.quit()


def find_indicators(sound_devices: Sequence[Path] | None = None) -> tuple[Indicator, ...]:
    """Return what this machine can tell the wearer by; empty where it has no sound device that works."""
    found = sound_devices if sound_devices is not None else _places_of_sound()
    # Not `Path.exists`: a locked-in service may not even ask for another user's places, and that is a no as well.
    if "SDL_AUDIODRIVER" not in os.environ and not any(os.path.exists(place) for place in found):  # noqa: PTH110
        return ()  # asking SDL would only make the sound library write complaints of its own to the terminal
    try:
        return (Tones(),)
    except pygame.error:
        return ()


def tell(indicators: Iterable[Indicator], signal: Signal) -> None:
    """Give one signal on every indicator."""
    for indicator in indicators:
        indicator.give(signal)


def synthesize(melody: Iterable[tuple[int, float]]) -> bytes:
    """Return a melody of (hertz, seconds) as mono 16-bit samples."""
    return b"".join(_tone(hertz, seconds) for hertz, seconds in melody)


def _tone(hertz: int, seconds: float) -> bytes:
    moments = np.arange(round(seconds * _RATE)) / _RATE
    from_an_end = np.minimum(moments, moments[::-1])
    loudness = _LOUDNESS * np.minimum(1.0, from_an_end / _FADE_SECONDS)
    return (32767 * loudness * np.sin(2 * np.pi * hertz * moments)).astype("<i2").tobytes()


def _places_of_sound() -> list[Path]:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    return [*Path("/dev/snd").glob("controlC*"), runtime / "pulse/native", runtime / "pipewire-0"]
