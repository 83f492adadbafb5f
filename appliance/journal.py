"""What the unit says of itself while it runs: one line for each event, under names that programs may rely on.

docs/unit-log.md lists them. No line has a person in it, nor a key, nor a passphrase: clip ids, counts and sentences.
"""

import sys
from typing import Any, Self, TextIO

import structlog
from structlog.typing import EventDict

from appliance.faults.keeping import FaultKeeper
from appliance.faults.log import FaultLog
from appliance.recovered import Recovered, Remains
from appliance.states import State
from evidence.docking import UpdateOutcome
from evidence.manifest import Manifest
from evidence.receipt import Receipt


def event_log(output: TextIO | None) -> Any:
    """Return a log of JSON lines, or of lines for people where the output is a terminal; for any thread."""
    output = output or sys.stdout
    renderer = structlog.dev.ConsoleRenderer() if output.isatty() else structlog.processors.JSONRenderer()
    return structlog.wrap_logger(
        structlog.PrintLogger(output),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _moment_first,
            renderer,
        ],
    )


class Journal:
    """The unit's own lines; from any thread. As a context it has kept all faults in the fault log when it is left."""

    def __init__(self, output: TextIO | None = None, *, faults: FaultLog | None = None) -> None:
        self._log = event_log(output)
        self._keeper = FaultKeeper(faults, self.fault_not_kept) if faults else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._keeper:
            self._keeper.close()

    # The process

    def started(self, *, unit_id: str, policy_id: str, waiting: int) -> None:
        """Tell that the process is up, under which policy, and how many clips wait for a dock."""
        self._log.info("started", unit_id=unit_id, policy_id=policy_id, clips_waiting=waiting)

    def new_unit(self, dock_url: str) -> None:
        """Tell that the process is up, and that this unit is still to be enrolled, at which door."""
        self._log.info("new_unit", dock=dock_url)

    def enrolment_code(self, digits: str) -> None:
        """Tell the code that the screen shows. It is no secret: it is good for this unit's own request alone."""
        self._log.info("enrolment_code", code=digits)

    def enrolment_failed(self, sentence: str) -> None:
        """Tell why the unit is not enrolled yet; it tries again by itself."""
        self._log.warning("enrolment_failed", sentence=sentence)

    def enrolled(self, unit_id: str) -> None:
        """Tell that the unit is enrolled, and what it is called now."""
        self._log.info("enrolled", unit_id=unit_id)

    def headless(self, sentence: str) -> None:
        """Tell why nobody sees the screen."""
        self._log.warning("headless", sentence=sentence)

    def recovered(self, recovered: Recovered) -> None:
        """Tell what the last shutdown left undone."""
        self._log.warning("recovered", clip_id=recovered.clip_id, remains=recovered.remains.value, what=recovered.what)

    def closed(self, recovered: Recovered) -> None:
        """Tell that a clip which was left to the closer is closed, or what else became of it.

        A storage that does not give it back is a fault of the unit.
        """
        self._log.info("closed", clip_id=recovered.clip_id, remains=recovered.remains.value, what=recovered.what)
        if recovered.remains is Remains.DAMAGED:
            self.fault("storage_failed", recovered.what)

    def not_closed(self, sentence: str) -> None:
        """Tell why a clip cannot be closed yet."""
        self._log.warning("not_closed", sentence=sentence)

    def told(self, headline: str) -> None:
        """Tell that the wearer was shown what had happened before the start, or that there is no sound."""
        self._log.info("told", headline=headline)

    def touch_found(self) -> None:
        """Tell that the touch panel is back."""
        self._log.info("touch_found")

    def display_found(self) -> None:
        """Tell that the display is back."""
        self._log.info("display_found")

    def microphone_found(self) -> None:
        """Tell that there is sound again."""
        self._log.info("microphone_found")

    def memory_not_locked(self, sentence: str) -> None:
        """Tell that the ring may be swapped out to storage; on a device it cannot be, on a computer it may."""
        self._log.warning("memory_not_locked", sentence=sentence)

    def misread(self, sentence: str) -> None:
        """Tell that a rehearsal's line was not understood."""
        self._log.warning("misread", sentence=sentence)

    def stopped(self) -> None:
        """Tell that the process ends, and that nothing is open."""
        self._log.info("stopped")

    # Recording

    def entered(self, state: State) -> None:
        """Tell that the unit is in standby (dark, nothing is written), live or post-recording.

        In `live` there is a picture and nothing is written; in `post_recording` the wearer has ended the clip, and the
        policy's last seconds are still being written.
        """
        self._log.info(state.name.lower())

    def recording_started(self, clip_id: str, *, pre_record_seconds: float) -> None:
        """Tell that a clip is being written, and how many seconds from before the touch it has."""
        self._log.info("recording_started", clip_id=clip_id, pre_record_seconds=round(pre_record_seconds, 3))

    def resumed(self, clip_id: str, *, after: str) -> None:
        """Tell that a clip was begun because the one before, `after`, broke off: by its camera's failure or a crash."""
        self._log.warning("resumed", clip_id=clip_id, after=after)

    def first_durable(self, clip_id: str, *, seconds: float) -> None:
        """Tell how long after the touch the clip's first sealed bytes were durable."""
        self._log.info("first_durable", clip_id=clip_id, ms=round(seconds * 1000, 1))

    def recording_ended(self, manifest: Manifest) -> None:
        """Tell that a clip is closed and signed, and what its manifest states."""
        self._log.info(
            "recording_ended",
            clip_id=manifest.clip_id,
            sequence=manifest.sequence,
            ended_by=manifest.ended_by,
            complete=manifest.complete,
            pre_record_seconds=manifest.pre_record_seconds,
            frames_written=manifest.frames_written,
            frames_lost=manifest.frames_lost,
            bytes=manifest.ciphertext_bytes,
            sha256=manifest.ciphertext_sha256,
        )

    def storage_low(self, minutes: int) -> None:
        """Tell that the last minutes of storage have begun."""
        self._log.warning("storage_low", minutes=minutes)

    def fault(self, kind: str, sentence: str) -> None:
        """Tell that something does not work; `kind` is stable, the sentence is for people."""
        self._log.error("fault", kind=kind, sentence=sentence)
        if self._keeper:
            self._keeper.keep(kind)

    def fault_not_kept(self, sentence: str) -> None:
        """Tell that the fault log could not be written."""
        self._log.warning("fault_not_kept", sentence=sentence)

    # Docking

    def docked(self, *, waiting: int) -> None:
        """Tell that the unit is on the dock and calls it."""
        self._log.info("docked", clips_waiting=waiting)

    def dock_foreign(self, sentence: str) -> None:
        """Tell that something answers at the cable's other end which is no dock of ours, or no dock at all."""
        self._log.warning("dock_foreign", sentence=sentence)

    def greeted(self, dock_id: str, *, clips: int, size: int) -> None:
        """Tell that the dock has answered, and what is to be handed over (`size` in bytes)."""
        self._log.info("greeted", dock_id=dock_id, clips=clips, bytes=size)

    def uploaded(self, clip_id: str, *, size: int) -> None:
        """Tell that all of a clip's sealed file is at the dock."""
        self._log.info("uploaded", clip_id=clip_id, bytes=size)

    def receipt(self, clip_id: str, receipt: Receipt) -> None:
        """Tell that the dock's receipt for a clip was found good."""
        self._log.info(
            "receipt",
            clip_id=clip_id,
            dock_id=receipt.dock_id,
            bytes=receipt.ciphertext_bytes,
            sha256=receipt.ciphertext_sha256,
            custody_entries=receipt.custody.entries,
        )

    def deleted(self, clip_id: str) -> None:
        """Tell that a clip's files are gone from this unit."""
        self._log.info("deleted", clip_id=clip_id)

    def refused(self, clip_id: str, sentence: str) -> None:
        """Tell that the dock did not accept a clip, which stays."""
        self._log.error("refused", clip_id=clip_id, sentence=sentence)

    def offloaded(self, *, delivered: int, refused: int) -> None:
        """Tell that a handing over is finished."""
        self._log.info("offloaded", delivered=delivered, refused=refused)

    def undocked(self) -> None:
        """Tell that the unit was taken off the dock."""
        self._log.info("undocked")

    # Updates

    def update_passed_over(self, release: str, reason: str) -> None:
        """Tell why an update that the dock offers is not fetched."""
        self._log.info("update_passed_over", release=release, sentence=reason)

    def update_fetching(self, release: str, *, size: int) -> None:
        """Tell that an update is being fetched, of `size` bytes; what is there of it already is not fetched again."""
        self._log.info("update_fetching", release=release, bytes=size)

    def update_fetched(self, release: str) -> None:
        """Tell that an update is there as a whole, as the dock announced it."""
        self._log.info("update_fetched", release=release)

    def update_permitted(self) -> None:
        """Tell that the unit is idle on its dock, and may be updated and restarted."""
        self._log.info("update_permitted")

    def update_told(self, outcome: UpdateOutcome) -> None:
        """Tell that the dock knows what became of an update."""
        self._log.info("update_told", release=outcome.release, outcome=outcome.outcome.value, sentence=outcome.reason)


def _moment_first(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: event.pop(name) for name in ("at", "level", "event")} | dict(event)
