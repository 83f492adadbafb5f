"""Notices a device's touch panel and display that are plugged in late, or vanish, by what udev says of them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyudev

from appliance.front.messages import LOST
from appliance.states import Event, News

# A device's change is told at once; this is only how soon the watch ends when it is to.
_LOOK_SECONDS = 0.5
_DRM = Path("/sys/class/drm")


class Panel(NamedTuple):
    """What is there of a device's panel."""

    touch: bool
    display: bool


class PanelWatch:
    """Tells as news what is missing at the start, and what goes or comes from then on.

    `changes` waits for a change of any input device or display, at most so many seconds; `look` says what is there. A
    change that tells of neither is no news.
    """

    def __init__(
        self, *, tell: Callable[[News], None], look: Callable[[], Panel], changes: Callable[[float], object]
    ) -> None:
        self._tell = tell
        self._look = look
        self._changes = changes
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="panel watch", daemon=True)

    def start(self) -> None:
        """Tell what is missing, and watch from now on."""
        self._seen = Panel(touch=True, display=True)
        self._compare()
        self._thread.start()

    def stop(self) -> None:
        """End the watch; nothing is told after it returns."""
        self._is_stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_stopping.is_set():
            if self._changes(_LOOK_SECONDS):
                self._compare()

    def _compare(self) -> None:
        before, self._seen = self._seen, self._look()
        if self._seen.touch != before.touch:
            self._say(Event.TOUCH_FOUND if self._seen.touch else Event.TOUCH_LOST)
        if self._seen.display != before.display:
            self._say(Event.DISPLAY_FOUND if self._seen.display else Event.DISPLAY_LOST)

    def _say(self, event: Event) -> None:
        self._tell(News(event, LOST.get(event, "")))


@contextmanager
def watching_panel(tell: Callable[[News], None]) -> Iterator[None]:
    """Watch this device's panel for as long as the block runs."""
    context = pyudev.Context()
    monitor = pyudev.Monitor.from_netlink(context)
    for subsystem in ("input", "drm"):
        monitor.filter_by(subsystem)
    monitor.start()  # before the first look: what changes meanwhile is not missed
    watch = PanelWatch(
        tell=tell,
        look=lambda: Panel(touch=has_touch_panel(context), display=has_display()),
        changes=monitor.poll,
    )
    watch.start()
    try:
        yield
    finally:
        watch.stop()


def has_touch_panel(context: pyudev.Context) -> bool:
    """Tell whether there is a touch panel that can be read, and not only the parent device of one."""
    found = context.list_devices(subsystem="input", ID_INPUT_TOUCHSCREEN="1")
    return any(device.device_node for device in found)


def has_display(drm: Path = _DRM) -> bool:
    """Tell whether a display is connected; one whose driver does not know is none, as SDL has it too."""
    return any(_reads_connected(status) for status in drm.glob("card*-*/status"))


def _reads_connected(status: Path) -> bool:
    try:
        return status.read_text(encoding="ascii").strip() == "connected"
    except OSError:
        return False  # it has just gone
