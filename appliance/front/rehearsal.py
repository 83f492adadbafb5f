"""A second finger, for rehearsals: lines on standard input that touch, hold, dock, quit and pull plugs as people do.

`touch`         a tap of 80 ms
`hold 2`        a touch of that many seconds
`dock`/`undock` put on the dock, take off again
`unplug THING`  what the unit is told when `touch` (its touch panel) or `display` goes; `plug THING` when it is back
`quit`          end the program; the end of the input does the same, so that no unit outlives its rehearsal
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from appliance.front.messages import LOST
from appliance.front.touch import Input
from appliance.states import Event, News

_TAP_SECONDS = 0.08
_HOLD = re.compile(r"hold +(\d{1,2}(?:\.\d{1,3})?)")


class Rehearsal:
    """Reads the lines on a thread of its own, so that a hold lasts as long as a real one."""

    def __init__(
        self, lines: Iterable[str], *, press: Callable[[Input | News], None], misread: Callable[[str], None]
    ) -> None:
        self._lines = lines
        self._press = press
        self._misread = misread

    def start(self) -> None:
        """Begin to read; the thread ends with the input and never keeps the program alive."""
        threading.Thread(target=self._read, name="rehearsal", daemon=True).start()

    def _read(self) -> None:
        for line in self._lines:
            self._act(line.strip())
        self._press(Input.QUIT)

    def _act(self, line: str) -> None:
        hold = _HOLD.fullmatch(line)
        if hold:
            self._touch(float(hold[1]))
        elif line == "touch":
            self._touch(_TAP_SECONDS)
        elif line in _ORDERS:
            self._press(_ORDERS[line])
        elif line:
            self._misread(f"'{line}' is none of: {_WORDS}.")

    def _touch(self, seconds: float) -> None:
        self._press(Input.DOWN)
        time.sleep(seconds)
        self._press(Input.UP)


_ORDERS: Mapping[str, Input | News] = {
    "dock": Input.DOCK,
    "undock": Input.UNDOCK,
    "quit": Input.QUIT,
    "unplug touch": News(Event.TOUCH_LOST, LOST[Event.TOUCH_LOST]),
    "plug touch": News(Event.TOUCH_FOUND),
    "unplug display": News(Event.DISPLAY_LOST, LOST[Event.DISPLAY_LOST]),
    "plug display": News(Event.DISPLAY_FOUND),
}
_WORDS = ", ".join(("touch", "hold SECONDS", *_ORDERS))
