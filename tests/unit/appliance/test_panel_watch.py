"""What is noticed of a device's touch panel and display; of this computer's own, what udev and the kernel say."""

import queue
from pathlib import Path

import pytest
import pyudev

from appliance.front.panel_watch import Panel, PanelWatch, has_display, has_touch_panel, watching_panel
from appliance.states import Event, News
from tests.dock import PATIENCE

BOTH, NO_TOUCH, NO_DISPLAY, NEITHER = Panel(True, True), Panel(False, True), Panel(True, False), Panel(False, False)


class Bench:
    """A panel whose plugs are in a test's hand."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.told: queue.Queue[News] = queue.Queue()
        self._changes: queue.Queue[bool] = queue.Queue()
        self.watch = PanelWatch(tell=self.told.put, look=lambda: self.panel, changes=self._wait)

    def change(self, panel: Panel) -> None:
        self.panel = panel
        self._changes.put(True)

    def _wait(self, seconds: float) -> bool:
        try:
            return self._changes.get(timeout=seconds)
        except queue.Empty:
            return False


@pytest.mark.parametrize(
    ("panel", "missing"),
    [
        (BOTH, []),
        (NO_TOUCH, [Event.TOUCH_LOST]),
        (NO_DISPLAY, [Event.DISPLAY_LOST]),
        (NEITHER, [Event.TOUCH_LOST, Event.DISPLAY_LOST]),
    ],
)
def test_what_is_missing_at_the_start_is_told_before_anything_changes(panel: Panel, missing: list[Event]) -> None:
    bench = Bench(panel)
    bench.watch.start()
    bench.watch.stop()
    assert [bench.told.get_nowait().event for _ in range(bench.told.qsize())] == missing


def test_what_goes_and_what_comes_is_told_once_each() -> None:
    bench = Bench(BOTH)
    bench.watch.start()
    steps = [
        (NO_TOUCH, Event.TOUCH_LOST),
        (NEITHER, Event.DISPLAY_LOST),
        (NO_DISPLAY, Event.TOUCH_FOUND),
        (BOTH, Event.DISPLAY_FOUND),
    ]
    for panel, event in steps:
        bench.change(panel)
        bench.change(panel)  # a mouse, say
        assert bench.told.get(timeout=PATIENCE).event is event
    bench.watch.stop()
    assert bench.told.empty()


def test_a_fault_of_the_panel_says_what_to_do_and_its_end_needs_no_words() -> None:
    bench = Bench(NEITHER)
    bench.watch.start()
    bench.change(BOTH)
    news = [bench.told.get(timeout=PATIENCE) for _ in range(4)]
    bench.watch.stop()
    assert all(each.sentence.endswith("check its cable.") for each in news[:2])
    assert [each.sentence for each in news[2:]] == ["", ""]


def test_a_display_is_there_when_any_connector_says_that_it_is_connected(tmp_path: Path) -> None:
    assert not has_display(tmp_path / "no graphics")
    for connector, status in (("card0-HDMI-A-1", "disconnected"), ("card1-Writeback-1", "unknown")):
        (tmp_path / connector).mkdir()
        (tmp_path / connector / "status").write_text(f"{status}\n")
    (tmp_path / "card0").mkdir()
    assert not has_display(tmp_path)
    (tmp_path / "card1-DSI-1").mkdir()
    (tmp_path / "card1-DSI-1" / "status").write_text("connected\n")
    assert has_display(tmp_path)


def test_of_this_computer_that_is_told_missing_which_udev_and_the_kernel_do_not_have() -> None:
    told: list[News] = []
    with watching_panel(told.append):
        pass
    missing = {Event.TOUCH_LOST: not has_touch_panel(pyudev.Context()), Event.DISPLAY_LOST: not has_display()}
    assert [news.event for news in told] == [event for event, is_missing in missing.items() if is_missing]
