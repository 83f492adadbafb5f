"""One touch is told once, whoever made it: finger, mouse, key, or a rehearsal's line."""

import os
import queue

os.environ["SDL_VIDEODRIVER"] = "dummy"

import pygame
import pytest

from appliance.front.rehearsal import Rehearsal
from appliance.front.touch import NO_KEYS, WINDOW_KEYS, Input, TouchPanel
from appliance.states import News


def finger(kind: int, finger_id: int = 1, touch_id: int = 7) -> pygame.event.Event:
    return pygame.event.Event(kind, touch_id=touch_id, finger_id=finger_id, x=0.5, y=0.5, dx=0, dy=0)


def mouse(kind: int, *, button: int = 1, touch: bool = False) -> pygame.event.Event:
    return pygame.event.Event(kind, button=button, touch=touch, pos=(1, 1))


def key(code: int) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=code, mod=0, unicode="")


def done_by(*events: pygame.event.Event) -> list[Input]:
    return list(TouchPanel(WINDOW_KEYS, lambda: list(events)).poll())


def test_a_finger_goes_down_and_up() -> None:
    assert done_by(finger(pygame.FINGERDOWN), finger(pygame.FINGERUP)) == [Input.DOWN, Input.UP]


def test_a_click_goes_down_and_up() -> None:
    assert done_by(mouse(pygame.MOUSEBUTTONDOWN), mouse(pygame.MOUSEBUTTONUP)) == [Input.DOWN, Input.UP]


def test_the_mouse_that_sdl_invents_for_a_finger_is_left_out() -> None:
    events = [
        finger(pygame.FINGERDOWN),
        mouse(pygame.MOUSEBUTTONDOWN, touch=True),
        finger(pygame.FINGERUP),
        mouse(pygame.MOUSEBUTTONUP, touch=True),
    ]
    assert done_by(*events) == [Input.DOWN, Input.UP]


def test_the_finger_that_sdl_invents_for_the_mouse_is_left_out() -> None:
    events = [
        mouse(pygame.MOUSEBUTTONDOWN),
        finger(pygame.FINGERDOWN, touch_id=-1),
        finger(pygame.FINGERUP, touch_id=-1),
        mouse(pygame.MOUSEBUTTONUP),
    ]
    assert done_by(*events) == [Input.DOWN, Input.UP]


def test_only_the_left_button_touches() -> None:
    assert done_by(mouse(pygame.MOUSEBUTTONDOWN, button=3), mouse(pygame.MOUSEBUTTONUP, button=3)) == []


def test_a_second_finger_begins_a_new_touch_that_its_own_lifting_ends() -> None:
    events = [
        finger(pygame.FINGERDOWN, 1),
        finger(pygame.FINGERDOWN, 2),
        finger(pygame.FINGERUP, 1),
        finger(pygame.FINGERUP, 2),
    ]
    assert done_by(*events) == [Input.DOWN, Input.DOWN, Input.UP]


def test_a_finger_whose_lifting_was_lost_does_not_block_the_panel() -> None:
    assert done_by(finger(pygame.FINGERDOWN, 1), finger(pygame.FINGERDOWN, 2))[-1] is Input.DOWN


def test_a_window_that_loses_the_focus_lifts_the_finger() -> None:
    lost = pygame.event.Event(pygame.WINDOWFOCUSLOST)
    assert done_by(mouse(pygame.MOUSEBUTTONDOWN), lost, mouse(pygame.MOUSEBUTTONUP)) == [Input.DOWN, Input.UP]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (key(pygame.K_d), Input.DOCK_KEY),
        (key(pygame.K_ESCAPE), Input.QUIT),
        (key(pygame.K_q), Input.QUIT),
        (pygame.event.Event(pygame.QUIT), Input.QUIT),
    ],
)
def test_keys_and_the_closing_of_the_window(event: pygame.event.Event, expected: Input) -> None:
    assert done_by(event) == [expected]


def test_a_keyboard_at_a_device_does_nothing() -> None:
    events = [key(code) for code in WINDOW_KEYS]
    assert list(TouchPanel(NO_KEYS, lambda: events).poll()) == []


def test_other_keys_and_movements_do_nothing() -> None:
    moved = pygame.event.Event(pygame.MOUSEMOTION, pos=(1, 1), rel=(0, 0), buttons=(0, 0, 0), touch=False)
    assert done_by(key(pygame.K_a), moved) == []


def rehearse(*lines: str) -> tuple[list[Input | News], list[str]]:
    inbox: queue.SimpleQueue[Input | News] = queue.SimpleQueue()
    misread: list[str] = []
    Rehearsal(lines, press=inbox.put, misread=misread.append).start()
    done = [inbox.get(timeout=10)]
    while done[-1] is not Input.QUIT:
        done.append(inbox.get(timeout=10))
    return done, misread


def test_a_rehearsal_touches_holds_and_docks() -> None:
    done, misread = rehearse("touch\n", "hold 0.1\n", "dock\n", "\n", "undock\n")
    assert done == [Input.DOWN, Input.UP, Input.DOWN, Input.UP, Input.DOCK, Input.UNDOCK, Input.QUIT]
    assert misread == []


def test_a_rehearsal_names_the_line_it_does_not_know() -> None:
    done, misread = rehearse("tuch\n", "hold on\n")
    assert done == [Input.QUIT]
    assert [sentence.partition(" is none of: touch, ")[0] for sentence in misread] == ["'tuch'", "'hold on'"]
