"""What the wearer's finger, the mouse or the keyboard did, out of pygame's events."""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum

import pygame


class Input(Enum):
    """One thing done by hand."""

    DOWN = "down"
    UP = "up"
    DOCK_KEY = "dock key"  # docks a unit that is off the dock, and takes off one that is on it
    DOCK = "dock"
    UNDOCK = "undock"
    QUIT = "quit"


# What the keyboard does in a window. A device has none: one that somebody plugs into it must not dock it or end it.
WINDOW_KEYS: Mapping[int, Input] = {pygame.K_d: Input.DOCK_KEY, pygame.K_ESCAPE: Input.QUIT, pygame.K_q: Input.QUIT}
NO_KEYS: Mapping[int, Input] = {}
_LEFT_BUTTON = 1
_MADE_FROM_THE_MOUSE = -1  # SDL_MOUSE_TOUCHID, SDL_touch.h: a finger that SDL invented for a click


class TouchPanel:
    """Reads fingers, mouse and keys, and tells one touch once.

    SDL invents mouse events for fingers and may invent fingers for the mouse: both are left out. A second finger
    begins a new touch, so that a finger whose lifting was never told cannot keep the panel from being touched.
    """

    def __init__(
        self, keys: Mapping[int, Input], read: Callable[[], list[pygame.event.Event]] = pygame.event.get
    ) -> None:
        """Take `keys` for what they stand for, and no others."""
        self._keys = keys
        self._read = read
        self._finger: tuple[int, int] | None = None
        self._is_down = False

    def poll(self) -> Iterator[Input]:
        """Yield what was done since the last call, in order."""
        for event in self._read():
            done = self._input_of(event)
            if done is not None:
                yield done

    def _input_of(self, event: pygame.event.Event) -> Input | None:
        match event.type:
            case pygame.FINGERDOWN | pygame.FINGERUP:
                return self._finger_moved(event)
            case pygame.MOUSEBUTTONDOWN | pygame.MOUSEBUTTONUP:
                return self._mouse_clicked(event)
            case pygame.WINDOWFOCUSLOST:
                return self._lift()
            case pygame.KEYDOWN:
                return self._keys.get(event.key)
        return Input.QUIT if event.type == pygame.QUIT else None

    def _mouse_clicked(self, event: pygame.event.Event) -> Input | None:
        if event.button != _LEFT_BUTTON or event.touch:
            return None
        return self._press() if event.type == pygame.MOUSEBUTTONDOWN else self._lift()

    def _finger_moved(self, event: pygame.event.Event) -> Input | None:
        if event.touch_id == _MADE_FROM_THE_MOUSE:
            return None
        finger = (event.touch_id, event.finger_id)
        if event.type == pygame.FINGERDOWN:
            self._finger = finger
            return self._press()
        return self._lift() if finger == self._finger else None

    def _press(self) -> Input:
        self._is_down = True
        return Input.DOWN

    def _lift(self) -> Input | None:
        was_down, self._is_down = self._is_down, False
        return Input.UP if was_down else None
