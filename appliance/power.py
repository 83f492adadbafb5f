"""The unit from being switched on to being switched off: its parts put together, and their order at both ends."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.board.battery import Battery
from appliance.camera import CameraError
from appliance.cameras.sources import Sources
from appliance.closer import Closer
from appliance.docking.client import DockClient
from appliance.docking.delivery import Delivery, Offload
from appliance.docking.dock_watch import DockWatch
from appliance.docking.tls import context_for
from appliance.failed_part import end_process_with_any_thread
from appliance.front import messages
from appliance.front.face import Face
from appliance.front.gauges import Gauges
from appliance.front.indicators import find_indicators
from appliance.front.panel_watch import watching_panel
from appliance.front.rehearsal import Rehearsal
from appliance.front.screen import Screen, open_display
from appliance.front.touch import NO_KEYS, WINDOW_KEYS, Input, TouchPanel
from appliance.inbox import Inbox
from appliance.installation import Installation
from appliance.journal import Journal
from appliance.recording import Recording
from appliance.recovered import Recovered
from appliance.settings import UnitSettings
from appliance.states import Event, News
from appliance.unit import Unit
from appliance.updates.places import UpdatePlaces
from appliance.updates.running import running
from appliance.updates.signs import Sign, Signs
from appliance.updates.updating import Updating
from appliance.wearer import Wearer
from evidence.memory import MemoryNotLockedError, forbid_core_dumps, lock_memory
from evidence.release import ReleaseFileError
from evidence.supervisor import Supervisor


@dataclass(frozen=True)
class Wishes:
    """What whoever switches it on asks for: `touches` are a rehearsal's lines, `cable` is the forwarder's socket.

    With a cable the unit docks when a dock of its authority answers there; without one it is told by hand.
    """

    sources: Sources
    is_headless: bool = False
    wearer: str | None = None
    touches: Iterable[str] | None = None
    cable: Path | None = None


def switch_on(installation: Installation, offload: Offload, wishes: Wishes, journal: Journal) -> None:
    """Be a unit until it is switched off, by its wearer or by SIGTERM or SIGINT; then nothing is left open.

    Raises CameraError for a film that cannot be played, or UnitRunsError.
    """
    wishes = replace(wishes, sources=wishes.sources.with_microphone_of(installation.settings))
    wishes.sources.check(installation.settings)
    _protect_memory(journal)
    end_process_with_any_thread(journal)
    with installation.exclusively():
        recovered = installation.recover()
        for each in recovered:
            journal.recovered(each)
        if installation.spool.damage:
            journal.fault("storage_failed", installation.spool.damage)
        inbox = Inbox()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: inbox.put(Input.QUIT))
        wearer = Wearer(installation.folder.data / "wearer.json", given=wishes.wearer)
        signs = Signs.from_environment()
        updating = _updating(installation, signs, wishes.cable, journal)
        if updating is not None:
            updating.leave_room()
        delivery = Delivery(
            offload,
            installation.spool,
            journal=journal,
            learn_wearer=wearer.learn,
            tell=inbox.put,
            updating=updating,
        )
        picture = threading.Event()
        tell = _telling(inbox, signs, picture)
        face, unit = _assemble(installation, delivery, wearer, wishes, journal, inbox, recovered, signs, tell, updating)
        after = picture if updating is not None and updating.is_trial() else None
        if wishes.touches is not None:
            Rehearsal(wishes.touches, press=inbox.put, misread=journal.misread).start()
        panel = watching_panel(inbox.put) if face.is_on_panel else nullcontext()
        closer = Closer(installation.spool, report=journal.closed, complain=journal.not_closed)
        with closer, panel, _watching_the_cable(installation, delivery, wishes.cable, journal, tell, after):
            unit.run()


def _telling(inbox: Inbox, signs: Signs, picture: threading.Event) -> Callable[[News], None]:
    """Return what tells the unit news from any thread, and root what a trial is confirmed by."""

    def tell(news: News) -> None:
        if news.event in (Event.CAMERA_READY, Event.RESUMED):
            signs.give(Sign.CAMERA)
            picture.set()
        elif news.event is Event.DOCKED:
            signs.give(Sign.DOCK)
        inbox.put(news)

    return tell


def _updating(installation: Installation, signs: Signs, cable: Path | None, journal: Journal) -> Updating | None:
    """Return what looks after updates, None where no image was started, or a bad one."""
    with suppress(ReleaseFileError):
        if (here := running()) is not None:
            return Updating(
                UpdatePlaces(installation.folder.path),
                running=here,
                spool=installation.spool,
                bits_per_second=installation.settings.video_bits_per_second,
                signs=signs,
                open_dock=lambda: _dock(installation, cable),
                journal=journal,
            )
    return None


def _dock(installation: Installation, cable: Path | None) -> DockClient:
    context = context_for(installation.folder, installation.folder.authority())
    return DockClient(installation.settings.dock_url, context, installation.facts.software, cable)


def _protect_memory(journal: Journal) -> None:
    forbid_core_dumps()
    try:
        lock_memory()
    except MemoryNotLockedError as error:
        journal.memory_not_locked(str(error))


@contextmanager
def _watching_the_cable(
    installation: Installation,
    delivery: Delivery,
    cable: Path | None,
    journal: Journal,
    tell: Callable[[News], None],
    after: threading.Event | None,
) -> Iterator[None]:
    """Dock and undock by what answers at the cable, as long as the block runs; without a cable by hand alone.

    Where `after` is given no dock is looked for before it is set: a trial has to see a picture, and docking would stop
    the camera before it has given one.
    """
    if cable is None:
        yield
        return
    watch = DockWatch(
        lambda: _dock(installation, cable), journal=journal, tell=tell, progress=lambda: delivery.steps, after=after
    )
    watch.start()
    try:
        yield
    finally:
        watch.stop()


def _assemble(
    installation: Installation,
    delivery: Delivery,
    wearer: Wearer,
    wishes: Wishes,
    journal: Journal,
    inbox: Inbox,
    recovered: Sequence[Recovered],
    signs: Signs,
    tell: Callable[[News], None],
    updating: Updating | None,
) -> tuple[Face, Unit]:
    settings = installation.settings

    def hear(error: CameraError | None) -> None:
        tell(News(Event.NO_MICROPHONE, str(error)) if error else News(Event.MICROPHONE_FOUND))

    to_go_on = installation.clip_to_go_on(recovered)
    recording = Recording(
        installation,
        open_camera=lambda policy: wishes.sources.open(settings, policy, hear),
        journal=journal,
        tell=tell,
        make_room=updating.make_room if updating is not None else lambda: None,
        broken_off=to_go_on,
    )
    journal.started(
        unit_id=settings.unit_id,
        policy_id=recording.policy.policy_id,
        waiting=len(installation.spool.waiting()),
    )
    gauges = Gauges(
        installation.spool,
        Battery(),
        bits_per_second=settings.video_bits_per_second,
        monotonic=installation.clock.monotonic,
    )
    face = Face(
        lambda: _open_screen(settings, wishes, journal, signs),
        find_indicators(),
        gauges,
        journal,
        utc=installation.clock.utc,
        docking=lambda: delivery.message,
    )
    for remains in () if to_go_on else dict.fromkeys(each.remains for each in recovered):
        if message := messages.recovered(remains):
            face.announce(message)
    unit = Unit(
        inbox=inbox,
        recording=recording,
        delivery=delivery,
        face=face,
        panel=TouchPanel(WINDOW_KEYS if face.is_in_window else NO_KEYS),
        journal=journal,
        wearer=wearer.current,
        supervisor=Supervisor.from_environment(),
        signs=signs,
    )
    return face, unit


def _open_screen(settings: UnitSettings, wishes: Wishes, journal: Journal, signs: Signs) -> Screen:
    display = open_display((settings.screen_width, settings.screen_height), headless=wishes.is_headless)
    if display.why_headless:
        journal.headless(f"No window is shown: {display.why_headless}.")
    (signs.take_back if display.why_headless else signs.give)(Sign.SCREEN)
    return Screen(display)
