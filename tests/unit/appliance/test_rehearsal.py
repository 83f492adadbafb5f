"""Lines that stand for a finger."""

import threading
import time
from collections.abc import Callable

from appliance.front.rehearsal import Rehearsal
from appliance.front.touch import Input
from appliance.states import Event, News
from tests.dock import PATIENCE

Pressed = list[tuple[Input | News, float]]


def rehearse(*lines: str) -> tuple[Pressed, list[str]]:
    """Return what was pressed and when, and what was misread."""
    pressed: Pressed = []
    misread: list[str] = []
    ended = threading.Event()

    def press(done: Input | News) -> None:
        pressed.append((done, time.monotonic()))
        if done is Input.QUIT:
            ended.set()

    complain: Callable[[str], None] = misread.append
    Rehearsal(lines, press=press, misread=complain).start()
    assert ended.wait(PATIENCE)
    return pressed, misread


def test_a_touch_is_a_short_tap_and_the_end_of_the_input_quits() -> None:
    pressed, misread = rehearse("touch\n")
    assert [done for done, _ in pressed] == [Input.DOWN, Input.UP, Input.QUIT]
    assert pressed[1][1] - pressed[0][1] >= 0.08
    assert misread == []


def test_a_hold_lasts_as_long_as_it_says() -> None:
    pressed, _ = rehearse("hold 0.3\n")
    assert pressed[1][1] - pressed[0][1] >= 0.3


def test_orders_are_carried_out_in_their_order_and_empty_lines_are_nothing() -> None:
    pressed, misread = rehearse("dock\n", "\n", "  undock  \n", "quit\n")
    assert [done for done, _ in pressed][:3] == [Input.DOCK, Input.UNDOCK, Input.QUIT]
    assert misread == []


def test_plugs_are_pulled_and_put_back_in() -> None:
    pressed, _ = rehearse("unplug touch\n", "plug touch\n", "unplug display\n", "plug display\n")
    events = [done.event for done, _ in pressed if isinstance(done, News)]
    assert events == [Event.TOUCH_LOST, Event.TOUCH_FOUND, Event.DISPLAY_LOST, Event.DISPLAY_FOUND]


def test_what_is_no_order_is_told_and_passed_over() -> None:
    pressed, misread = rehearse("hold\n", "hold -1\n", "hold 1e3\n", "Touch\n", "dock\n")
    assert [done for done, _ in pressed] == [Input.DOCK, Input.QUIT]
    assert misread[0].startswith("'hold' is none of: touch, hold SECONDS, dock, undock, quit, unplug touch, ")
    assert len(misread) == 4
