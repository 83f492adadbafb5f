"""The unit to be, switched on: it asks for its certificate in one thread and shows how that stands in the other.

No camera is opened, and no picture is taken, before there is a policy that says what may become of it.
"""

import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from appliance.enrolment.asking import Asking
from appliance.front import messages
from appliance.front.messages import Message
from appliance.front.screen import Screen, open_display
from appliance.front.touch import NO_KEYS, WINDOW_KEYS, Input, TouchPanel
from appliance.front.view import View
from appliance.installation import software
from appliance.journal import Journal
from appliance.settings import EnrolmentSettings, UnitFolder
from evidence.supervisor import Supervisor

TURN_SECONDS = 0.1
NEW_DISPLAY_SECONDS = 5.0  # how often a device looks whether its display has come
LAST_SECONDS = 2.0  # how long a question under way is waited for at the end


def enrol(folder: UnitFolder, *, is_headless: bool, cable: Path | None, journal: Journal) -> bool:
    """Ask to be enrolled until that is done; False where the unit was switched off before.

    Raises NotEnrolledError, SettingsError or CertificateFileError for a card that is none.
    """
    card = folder.enrolment_settings()
    folder.authority()
    journal.new_unit(card.dock_url)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    notice = Notice(messages.NEW_UNIT)
    asking = Asking(folder, card, software=software(), cable=cable, journal=journal, tell=notice.put)
    enrolled = _in_a_thread(asking, stop)
    _show(notice, enrolled, stop, card, journal, is_headless=is_headless)
    if enrolled.done() and enrolled.result() is not None and not stop.is_set():
        return True
    journal.stopped()
    return False


class Notice:
    """What is to be seen now; from any thread."""

    def __init__(self, message: Message) -> None:
        self.message = message

    def put(self, message: Message) -> None:
        """Show another message from now on."""
        self.message = message


def _in_a_thread(asking: Asking, stop: threading.Event) -> "Future[str | None]":
    """Run it beside the screen; a thread that a network holds up keeps nobody from switching the unit off."""
    enrolled: Future[str | None] = Future()

    def work() -> None:
        try:
            enrolled.set_result(asking.run(stop))
        except BaseException as error:
            enrolled.set_exception(error)

    threading.Thread(target=work, name="enrolment", daemon=True).start()
    return enrolled


def _show(
    notice: Notice,
    enrolled: "Future[str | None]",
    stop: threading.Event,
    card: EnrolmentSettings,
    journal: Journal,
    *,
    is_headless: bool,
) -> None:
    supervisor, screen = Supervisor.from_environment(), _open_screen(card, is_headless=is_headless)
    panel = TouchPanel(WINDOW_KEYS if screen.display.is_window else NO_KEYS)
    if screen.display.why_headless:
        journal.headless(f"No window is shown: {screen.display.why_headless}.")
    opened_at, ends = time.monotonic(), None
    supervisor.ready()
    while not enrolled.done() and (ends is None or time.monotonic() < ends):
        if any(done is Input.QUIT for done in panel.poll()):
            stop.set()
        if stop.is_set() and ends is None:
            ends = time.monotonic() + LAST_SECONDS
        if _waits_for_a_display(screen) and time.monotonic() - opened_at > NEW_DISPLAY_SECONDS:
            screen.close()
            screen, opened_at = _open_screen(card, is_headless=is_headless), time.monotonic()
        screen.show(View(message=notice.message), None)
        supervisor.alive()
        time.sleep(TURN_SECONDS)
    screen.close()


def _waits_for_a_display(screen: Screen) -> bool:
    return screen.display.is_panel and bool(screen.display.why_headless)


def _open_screen(card: EnrolmentSettings, *, is_headless: bool) -> Screen:
    screen = Screen(open_display((card.screen_width, card.screen_height), headless=is_headless))
    screen.title(messages.IN_A_WINDOW_NEW)
    return screen
