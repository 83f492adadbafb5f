"""The recorder: between touch and stop it leads the camera's packets to storage, at all other times into the ring."""

import math
import threading
from dataclasses import dataclass, replace

from appliance.camera import AudioTrack, Kind, Packet, VideoTrack
from appliance.clock import Clock
from appliance.ring import Ring, overwrite
from appliance.spool import Spool
from appliance.writing.thread import SENTENCES, Stop, Touch, UnitFacts, WriterThread
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.identifiers import new_clip_id
from evidence.manifest import EndedBy
from evidence.policy import SignedPolicy

# Room in memory for a disk that stands still: a minute at 8 Mbit/s, beside what the ring held at the touch.
MAX_WAITING_BYTES = 64 * 1024 * 1024
# When nothing has become durable for so long, nothing is being written, whatever was meant to be.
STALLED_SECONDS = 2.0


class AlreadyRecordingError(MirrorcamError):
    """A clip is running."""

    def __init__(self) -> None:
        super().__init__("A clip is being recorded already: end it before the next one begins.")


class StorageSlowError(EnvironmentalError):
    """The last clip still waits in memory for a disk that does not take it."""

    def __init__(self) -> None:
        super().__init__("The storage has not taken the last clip yet: wait a moment, then touch again.")


class StorageFailedError(EnvironmentalError):
    """The storage does not even say how much room it has."""

    def __init__(self) -> None:
        super().__init__("The storage has failed, so nothing can be recorded: change this unit.")


@dataclass(frozen=True)
class RecorderStatus:
    """The recorder at one moment.

    `writing` is true only while bytes really become durable, which goes on for a moment after `end`. `clip_id` and
    `started` (monotonic seconds, at the touch) are of the clip that is being written or was asked for. `failure` is a
    sentence for the wearer on the clip that ran last, and stays until the next begins.
    """

    writing: bool
    clip_id: str | None
    started: float | None
    ciphertext_bytes: int
    frames_written: int
    frames_lost: int
    failure: str | None


class Recorder:
    """Takes every packet from the camera; owns the ring, and the thread that writes.

    - In standby packets go into the ring, sound only where the policy says so. Nothing goes to storage.
    - `begin` refuses where the storage has no room for what the ring holds, which is written at once.
    - `begin` hands the ring's packets to the writer, and every later packet after them: none is lost or doubled between
      the two. A clip begins with a key frame; no file is made before there is one.
    - Nothing captured earlier than the policy's pre-record time before the touch gets into a clip, however long it was
      on its way; with 0 a clip begins at the touch or after it. Sound from before it only where the policy says so.
    - The camera's thread never waits for the disk. What the disk has not taken waits in memory, up to
      `max_waiting_bytes` beside what the ring gave; beyond that the clip ends as `storage-slow`.
    - `end` returns at once; the writer closes the clip behind its last packet. The next `begin` need not wait for that.
    - A clip that is ended as `longest-clip` goes on to its next key frame, and the clip of the next `begin` begins with
      that one: no frame is lost between the two.
    - After a crash at any line, the spool's `recover` closes what is durable.
    """

    def __init__(
        self,
        *,
        ring: Ring,
        spool: Spool,
        video: VideoTrack,
        audio: AudioTrack | None,
        policy: SignedPolicy,
        facts: UnitFacts,
        clock: Clock,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """Begin in standby; raises AgeError for a policy whose recipients cannot be used."""
        self._ring = ring
        self._spool = spool
        self._records_sound = audio is not None and policy.policy.record_audio
        self._keeps_sound = self._records_sound and policy.policy.pre_record_audio
        self._pre_record_seconds = policy.policy.pre_record_seconds
        self._earliest_us = dict.fromkeys(Kind, 0)
        self._clock = clock
        self._max_waiting_bytes = self._allowed_waiting_bytes = max_waiting_bytes
        # The gate guards where packets go. It is held for microseconds, never while the disk is used.
        self._gate = threading.Lock()
        self._current: Touch | None = None
        self._next: Touch | None = None
        self._is_passing_over = False
        self._failure: str | None = None
        self._writer = WriterThread(
            spool=spool,
            video=video,
            audio=audio if self._records_sound else None,
            policy=policy,
            facts=facts,
            clock=clock,
            on_cut=self._cut,
            on_idle=self._age_ring,
        )

    def push(self, packet: Packet) -> None:
        """Take over a packet from the camera's thread; never waits for the disk."""
        with self._gate:
            if self._is_passing_over and packet.is_key and packet.kind is Kind.VIDEO:
                self._pass_over()
            if self._current is None:
                self._keep(packet)
            elif packet.time_us < self._earliest_us[packet.kind] or (
                packet.kind is Kind.AUDIO and not self._records_sound
            ):
                overwrite(packet.data)
            elif self._writer.bytes_waiting + len(packet.data) > self._allowed_waiting_bytes:
                self._overflow(packet)
            else:
                self._writer.put(packet)

    def begin(self, *, wearer: str) -> str:
        """Begin a clip with what the ring holds, and return its id.

        Raises StorageFullError, StorageFailedError, StorageSlowError or AlreadyRecordingError. What fails later stands
        in `status`.
        """
        with self._gate:
            earlier_bytes = self._ring.bytes_held
        try:
            self._spool.require_room(earlier_bytes)
        except OSError as error:
            raise StorageFailedError from error
        moment = self._clock.utc()
        touch = Touch(new_clip_id(moment), wearer, moment, self._clock.monotonic(), self._clock.quality())
        with self._gate:
            if self._current and (self._next or not self._is_passing_over):
                raise AlreadyRecordingError
            if self._writer.bytes_waiting > self._max_waiting_bytes // 2:
                raise StorageSlowError
            self._failure = None
            if self._current:
                self._next = touch
            else:
                self._current = touch
                self._set_earliest(touch)
                self._ring.expire(round(touch.monotonic * 1_000_000))
                self._allowed_waiting_bytes = self._max_waiting_bytes + self._ring.bytes_held
                self._writer.begin(replace(touch, earlier=self._ring.drain()))
        return touch.clip_id

    def end(self, ended_by: EndedBy) -> None:
        """End the running clip, if there is one, and return at once."""
        with self._gate:
            if self._current is None:
                return
            if ended_by == "longest-clip":
                self._is_passing_over = True
            else:
                self._stop(ended_by)

    def wait_closed(self, timeout: float) -> bool:
        """Wait until every ended clip is closed, or has failed to; False when `timeout` (seconds) is over first."""
        return self._writer.wait_closed(timeout)

    def status(self) -> RecorderStatus:
        """Return how things stand; cheap enough for each frame of the screen."""
        current, writing = self._current, self._writer.writing
        if writing is None:
            clip_id, started = (current.clip_id, current.monotonic) if current else (None, None)
            return RecorderStatus(
                writing=False,
                clip_id=clip_id,
                started=started,
                ciphertext_bytes=0,
                frames_written=0,
                frames_lost=0,
                failure=self._failure,
            )
        progress = writing.progress
        return RecorderStatus(
            writing=self._clock.monotonic() - progress.synced_at < STALLED_SECONDS,
            clip_id=writing.clip_id,
            started=writing.started,
            ciphertext_bytes=progress.durable_bytes,
            frames_written=progress.frames_written,
            frames_lost=progress.frames_lost,
            failure=self._failure,
        )

    def shut_down(self, timeout: float) -> bool:
        """End what runs, overwrite the ring, stop the writer; False when that was not done in `timeout` (seconds).

        The camera is stopped before this; a packet that comes after it is overwritten.
        """
        self.end("shutdown")
        with self._gate:
            self._ring.wipe()
            self._ring = Ring(max_seconds=0, max_bytes=0)
        return self._writer.quit(timeout)

    # Under the gate

    def _keep(self, packet: Packet) -> None:
        if packet.kind is Kind.AUDIO and not self._keeps_sound:
            overwrite(packet.data)
        else:
            self._ring.push(packet)

    def _set_earliest(self, touch: Touch) -> None:
        pictures = touch.monotonic - self._pre_record_seconds
        sound = pictures if self._keeps_sound else touch.monotonic
        self._earliest_us = {
            Kind.VIDEO: math.ceil(pictures * 1_000_000),
            Kind.AUDIO: math.ceil(sound * 1_000_000),
        }

    def _stop(self, ended_by: EndedBy, frames_lost: int = 0) -> None:
        self._writer.end(Stop(ended_by, self._clock.utc(), frames_lost))
        self._current = self._next = None
        self._is_passing_over = False

    def _pass_over(self) -> None:
        following = self._next
        self._stop("longest-clip")
        if following:
            self._current = following
            self._writer.begin(following)

    def _overflow(self, packet: Packet) -> None:
        overwrite(packet.data)
        self._stop("storage-slow", frames_lost=1 if packet.kind is Kind.VIDEO else 0)
        self._failure = SENTENCES["storage-slow"]

    # Called by the writer's thread

    def _cut(self, clip_id: str, sentence: str) -> None:
        with self._gate:
            if self._current and self._current.clip_id != clip_id:
                return  # it was over already; the clip that runs is none the worse for it
            self._current = self._next = None
            self._is_passing_over = False
            self._failure = sentence

    def _age_ring(self) -> None:
        with self._gate:
            self._ring.expire(round(self._clock.monotonic() * 1_000_000))
