"""Handing over to the dock in the background, while the screen says how far it has come."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from appliance.front import messages
from appliance.front.messages import Message
from appliance.journal import Journal
from appliance.left_clips import Unclosed
from appliance.spool import Spool
from appliance.states import Event, News
from evidence.errors import MirrorcamError
from evidence.receipt import Receipt

# The offload looks at `is_stopping` between two pieces; a dock that hangs must not keep the unit from recording.
_STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Greeted:
    """The dock has answered: its id, to whom it has issued this unit (None: nobody), and what is to be handed over."""

    dock_id: str
    wearer: str | None
    clips: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Sent:
    """So many bytes of a clip's sealed file are at the dock by now; they only grow, but for a piece sent again."""

    clip_id: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Uploaded:
    """All of a clip's sealed file is at the dock."""

    clip_id: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Received:
    """The dock's receipt for a clip came, and was found good."""

    clip_id: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Deleted:
    """The clip's files are gone from this unit."""

    clip_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The dock did not accept a clip, which stays; `sentence` says why."""

    clip_id: str
    sentence: str


Step = Greeted | Sent | Uploaded | Received | Deleted | Refused


class Offload(Protocol):
    """What hands over: greets the dock, and brings it every waiting clip, the oldest first."""

    def run(self, report: Callable[[Step], None], is_stopping: threading.Event) -> None:
        """Hand over what waits, and `report` each step from this thread.

        Returns when nothing is left but what the dock refused, or soon after `is_stopping` is set. Raises
        MirrorcamError where the dock cannot be reached or is not ours; then no clip is lost, doubled or half deleted.
        """


class Updating(Protocol):
    """What is done when all is handed over, as long as the unit is on its dock: it looks after updates."""

    def run(self, is_stopping: threading.Event, say: Callable[[Message | None], None]) -> None:
        """Look after updates from this thread until `is_stopping` is set, and `say` what the wearer is to read.

        None is said where there is nothing to read of updates any more.
        """

    def withdraw(self) -> None:
        """Let nothing restart the unit any more; from any thread, and at once."""


class Course:
    """How far a handing over has come, added up from its steps."""

    def __init__(self) -> None:
        self.greeted: Greeted | None = None
        self.clips = 0
        self.bytes = 0
        self.delivered = 0
        self.refused = 0
        self.kept = 0
        self._sent: dict[str, int] = {}

    @property
    def sent(self) -> int:
        """Bytes that are at the dock by now, out of `bytes`."""
        return min(self.bytes, sum(self._sent.values()))

    def take(self, step: Step) -> None:
        """Add a step."""
        match step:
            case Greeted():
                self.greeted, self.clips, self.bytes = step, step.clips, step.bytes
            case Sent() | Uploaded():
                self._sent[step.clip_id] = step.bytes
            case Deleted():
                self.delivered += 1
            case Refused():
                self.refused += 1

    def message(self) -> Message:
        """Return what the wearer reads on the way."""
        number = min(self.clips, self.delivered + self.refused + 1)
        return messages.handing_over(number, self.clips, self.sent / self.bytes if self.bytes else 0.0)

    def result(self) -> Message:
        """Return what the wearer reads at the end."""
        if self.refused:
            return messages.dock_refused(self.refused)
        return messages.not_read(self.kept) if self.kept else messages.handed_over(self.delivered)


class Delivery:
    """Runs the offload on a thread of its own, and keeps what the screen says of it.

    `tell` gets OFFLOADED or OFFLOAD_FAILED when a run is over, unless it was stopped. Where a clip is still to be
    closed the run has failed, to be tried again; and the unit is called empty only where nothing of a clip is left.
    """

    def __init__(
        self,
        offload: Offload,
        spool: Spool,
        *,
        journal: Journal,
        learn_wearer: Callable[[str | None], None],
        tell: Callable[[News], None],
        updating: Updating | None = None,
    ) -> None:
        self._offload = offload
        self._updating = updating
        self._spool = spool
        self._journal = journal
        self._learn_wearer = learn_wearer
        self._tell = tell
        self._message = messages.calling_dock(0)
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._steps = 0

    @property
    def steps(self) -> int:
        """How many steps all runs together have come to: whoever sees it grow knows that the dock is at work."""
        return self._steps

    @property
    def message(self) -> Message:
        """What the wearer reads on the dock."""
        return self._message

    def start(self) -> None:
        """Begin to hand over what waits; an earlier run that was stopped ends before this one begins."""
        try:
            waiting = len(self._spool.waiting())
        except OSError:
            waiting = 0  # the run will meet the same, and say so
        self._journal.docked(waiting=waiting)
        self._message = messages.calling_dock(waiting)
        self._is_stopping = threading.Event()
        arguments = (self._is_stopping, self._thread)
        self._thread = threading.Thread(target=self._run, args=arguments, name="delivery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Break off; what the dock has acknowledged need not be sent again. Harmless when nothing runs."""
        self._is_stopping.set()
        if self._updating is not None:
            self._updating.withdraw()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _run(self, is_stopping: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        course = Course()

        def take(step: Step) -> None:
            self._steps += 1
            course.take(step)
            self._note(step)
            self._say(course.message(), is_stopping)

        try:
            self._offload.run(take, is_stopping)
            if course.greeted:
                self._learn_wearer(course.greeted.wearer)
        except (MirrorcamError, OSError) as error:
            self._fail(_sentence_of(error), is_stopping)
        else:
            self._journal.offloaded(delivered=course.delivered, refused=course.refused)
            unclosed = self._unclosed()
            course.kept = unclosed.kept
            if unclosed.closing:
                self._say(messages.NOT_ALL_CLOSED, is_stopping)
                self._end(News(Event.OFFLOAD_FAILED, messages.NOT_ALL_CLOSED.sentence), is_stopping)
                return  # an update restarts the unit, and a clip may just be being closed
            self._say(course.result(), is_stopping)
            self._end(News(Event.OFFLOADED), is_stopping)
            self._look_after_updates(course, is_stopping)

    def _unclosed(self) -> Unclosed:
        try:
            return self._spool.unclosed()
        except OSError:
            return Unclosed(closing=1, kept=0)  # nobody can say that the unit is empty

    def _look_after_updates(self, course: Course, is_stopping: threading.Event) -> None:
        if self._updating is None:
            return

        def say(message: Message | None) -> None:
            self._steps += 1
            self._say(messages.with_refused(message, course.refused) if message else course.result(), is_stopping)

        self._updating.run(is_stopping, say)

    def _fail(self, sentence: str, is_stopping: threading.Event) -> None:
        self._journal.fault("offload_failed", sentence)
        self._say(messages.dock_failed(sentence), is_stopping)
        self._end(News(Event.OFFLOAD_FAILED, sentence), is_stopping)

    def _say(self, message: Message, is_stopping: threading.Event) -> None:
        if not is_stopping.is_set():
            self._message = message

    def _end(self, news: News, is_stopping: threading.Event) -> None:
        if not is_stopping.is_set():
            self._tell(news)

    def _note(self, step: Step) -> None:
        match step:
            case Greeted():
                self._journal.greeted(step.dock_id, clips=step.clips, size=step.bytes)
                with suppress(OSError):  # as from a full storage: it is learned again when the clips are gone
                    self._learn_wearer(step.wearer)
            case Uploaded():
                self._journal.uploaded(step.clip_id, size=step.bytes)
            case Received():
                self._journal.receipt(step.clip_id, step.receipt)
            case Deleted():
                self._journal.deleted(step.clip_id)
            case Refused():
                self._journal.refused(step.clip_id, step.sentence)


def _sentence_of(error: MirrorcamError | OSError) -> str:
    if isinstance(error, MirrorcamError):
        return str(error)
    return f"This unit cannot read or write its own files ({error.strerror or error}): have IT look at its storage."
