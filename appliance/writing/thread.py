"""The writer thread: takes a clip's packets in their order, and is the only one that waits for the disk."""

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.camera import AudioTrack, CameraError, Kind, Packet, VideoTrack
from appliance.clock import Clock
from appliance.ring import overwrite
from appliance.spool import FLOOR_BYTES, Ending, Spool, StorageFullError
from appliance.writing.clip_writer import ClipWriter, Progress
from appliance.writing.disk import FULL
from appliance.writing.muxer import has_parameter_sets
from evidence.age import parse_recipients
from evidence.errors import MirrorcamError
from evidence.manifest import ClockQuality, EndedBy, Manifest
from evidence.policy import SignedPolicy
from evidence.strict import in_utc

# The writer looks up this often even when nothing comes.
IDLE_SECONDS = 0.5

# The room is looked at with each sync, and after so many bytes between two: what the ring held comes all at once. It is
# a quarter of what is kept free for closing.
LOOK_BYTES = FLOOR_BYTES // 4

# What the wearer is told when a clip ends by itself.
SENTENCES: dict[EndedBy, str] = {
    "storage-full": "The storage is full, recording has stopped: put this unit on the dock.",
    "storage-slow": "The storage is too slow, recording has stopped: touch to record again, and have IT look at it.",
    "storage-failed": "The storage has failed, recording has stopped: change this unit.",
    "camera-failed": "No usable picture comes from the camera, so nothing more is recorded: change this unit.",
}


@dataclass(frozen=True)
class UnitFacts:
    """What every manifest says of the unit itself."""

    unit_id: str
    software: str
    boot_id: str


@dataclass(frozen=True)
class Touch:
    """A clip that was asked for: by whom, when (UTC and monotonic seconds), and the packets from before."""

    clip_id: str
    wearer: str
    moment: datetime
    monotonic: float
    clock: ClockQuality
    earlier: Sequence[Packet] = ()


@dataclass(frozen=True)
class Stop:
    """A clip's end, in its place behind the clip's packets; `frames_lost` are those that were never handed on."""

    ended_by: EndedBy
    moment: datetime
    frames_lost: int = 0


@dataclass(frozen=True)
class Writing:
    """The clip whose file is open, and how far it has come."""

    clip_id: str
    started: float
    progress: Progress


class WriterThread:
    """Writes clip after clip from a queue that nobody waits for.

    - A clip's file is made with its first key frame; one that never gets a key frame leaves nothing behind.
    - Where the disk refuses, `on_cut` is told the clip and a sentence for the wearer, what is durable is closed as cut,
      and the clip's further packets are overwritten unwritten.
    - `writing` is the open clip and how far it has come, None when no file is open.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        video: VideoTrack,
        audio: AudioTrack | None,
        policy: SignedPolicy,
        facts: UnitFacts,
        clock: Clock,
        on_cut: Callable[[str, str], None],
        on_idle: Callable[[], None],
    ) -> None:
        """Start the thread; raises AgeError for a policy whose recipients cannot be used."""
        self.writing: Writing | None = None
        self._spool = spool
        self._video = video
        self._audio = audio
        self._policy = policy
        self._recipients = parse_recipients(policy.policy.recipients)
        self._facts = facts
        self._clock = clock
        self._on_cut = on_cut
        self._on_idle = on_idle

        # Each of the two counts is changed by one thread only.
        self._queue: queue.SimpleQueue[Packet | Touch | Stop | None] = queue.SimpleQueue()
        self._bytes_put = 0
        self._bytes_taken = 0
        self._unclosed: set[str] = set()
        self._closed = threading.Condition()

        self._touch: Touch | None = None
        self._clip: ClipWriter | None = None
        self._looked_at = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    # For the others' threads, one at a time

    @property
    def bytes_waiting(self) -> int:
        """Bytes of packets that the disk has not taken yet."""
        return self._bytes_put - self._bytes_taken

    def put(self, packet: Packet) -> None:
        """Hand on a packet of the clip that began last."""
        self._bytes_put += len(packet.data)
        self._queue.put(packet)

    def begin(self, touch: Touch) -> None:
        """Begin a clip."""
        with self._closed:
            self._unclosed.add(touch.clip_id)
        self._bytes_put += sum(len(packet.data) for packet in touch.earlier)
        self._queue.put(touch)

    def end(self, stop: Stop) -> None:
        """End the clip that began last, behind all that was put."""
        self._queue.put(stop)

    def wait_closed(self, timeout: float) -> bool:
        """Wait until all that began is closed, or has failed; False when `timeout` (seconds) is over first."""
        with self._closed:
            return self._closed.wait_for(lambda: not self._unclosed, timeout)

    def quit(self, timeout: float) -> bool:
        """Finish what was put, and stop; False when that was not done in `timeout` (seconds)."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # The thread's own

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._idle()
                continue
            if isinstance(item, Packet):
                self._take(item)
            elif isinstance(item, Touch):
                self._begin(item)
            elif isinstance(item, Stop):
                self._end(item)
            else:
                return

    def _begin(self, touch: Touch) -> None:
        self._touch = touch
        for packet in touch.earlier:
            self._take(packet)
        self._sync()

    def _take(self, packet: Packet) -> None:
        self._bytes_taken += len(packet.data)
        if self._clip is None and not self._begins_clip(packet):
            overwrite(packet.data)
            return
        try:
            self._clip = self._clip or self._open(packet)
            self._clip.take(packet)
            self._look_after(self._clip)
        except CameraError:
            self._break_off("camera-failed")
        except (OSError, MirrorcamError) as error:
            self._cut(error)
        finally:
            overwrite(packet.data)

    def _begins_clip(self, packet: Packet) -> bool:
        is_key_frame = self._touch is not None and packet.kind is Kind.VIDEO and packet.is_key
        return is_key_frame and has_parameter_sets(packet.data)

    def _open(self, first: Packet) -> ClipWriter:
        assert self._touch is not None  # noqa: S101 – `_begins_clip` has seen it
        growing = self._spool.open_clip(self._manifest(self._touch, first))
        return ClipWriter(growing, self._recipients, self._video, self._audio, self._clock.monotonic)

    def _idle(self) -> None:
        self._on_idle()
        self._sync()

    def _sync(self) -> None:
        if self._clip is None:
            return
        try:
            self._clip.sync()
            self._look_after(self._clip)
        except OSError as error:
            self._cut(error)

    def _look_after(self, clip: ClipWriter) -> None:
        """Show how far the clip has come, and end it while there is still room to close it; raises OSError."""
        size = clip.growing.size
        if self.writing and clip.progress is self.writing.progress and size - self._looked_at < LOOK_BYTES:
            return
        assert self._touch is not None  # noqa: S101 – a clip has its touch
        self.writing = Writing(self._touch.clip_id, self._touch.monotonic, clip.progress)
        self._looked_at = size
        if not self._spool.free_bytes():
            self._break_off("storage-full")

    def _break_off(self, ended_by: EndedBy) -> None:
        """End a clip that could go on, if only it were worth it or there were room."""
        assert self._touch is not None  # noqa: S101 – only a clip can be broken off
        self._on_cut(self._touch.clip_id, SENTENCES[ended_by])
        self._end(Stop(ended_by, self._clock.utc()))

    def _end(self, stop: Stop) -> None:
        touch, clip = self._touch, self._clip
        if touch is None:
            return
        if clip is None:
            self._on_cut(touch.clip_id, SENTENCES["camera-failed"])
        else:
            clip.lose(stop.frames_lost)
            try:
                clip.finish()
                self._spool.close_clip(clip.growing, _ending(clip, stop))
            except (OSError, MirrorcamError) as error:
                self._cut(error)
                return
        self._let_go(touch)

    def _cut(self, error: OSError | MirrorcamError) -> None:
        """Close what is durable of a clip that cannot go on; where the disk refuses even that, `recover` will."""
        touch, clip = self._touch, self._clip
        if touch is None:
            return
        ended_by = _ended_by(error)
        self._on_cut(touch.clip_id, SENTENCES[ended_by])
        if clip is not None:
            clip.abandon()
            with contextlib.suppress(OSError):
                self._spool.close_cut_clip(clip.growing, _ending(clip, Stop(ended_by, self._clock.utc())))
        self._let_go(touch)

    def _let_go(self, touch: Touch) -> None:
        self._touch = self._clip = self.writing = None
        with self._closed:
            self._unclosed.discard(touch.clip_id)
            self._closed.notify_all()

    def _manifest(self, touch: Touch, first: Packet) -> Manifest:
        """State what is known with the first picture; where it came after the touch, the clip starts with it."""
        before = touch.monotonic - first.time_us / 1_000_000
        late = max(0.0, -before)
        policy = self._policy.policy
        return Manifest(
            clip_id=touch.clip_id,
            unit_id=self._facts.unit_id,
            wearer=touch.wearer,
            sequence=1,
            previous_manifest_sha256=None,
            started_at=in_utc(touch.moment + timedelta(seconds=late)),
            ended_at=None,
            clock=touch.clock,
            started_monotonic_seconds=touch.monotonic + late,
            boot_id=self._facts.boot_id,
            pre_record_seconds=max(0.0, round(before, 6)),  # a packet's time is in whole microseconds
            frames_written=None,
            frames_lost=None,
            has_audio=self._audio is not None,
            mute_spans=(),
            markers=(),
            complete=False,
            ended_by="power-lost",
            policy_id=policy.policy_id,
            policy_sha256=self._policy.sha256,
            recipients=policy.recipients,
            ciphertext_bytes=0,
            ciphertext_sha256="0" * 64,
            software=self._facts.software,
        )


def _ending(clip: ClipWriter, stop: Stop) -> Ending:
    progress = clip.progress
    return Ending(stop.ended_by, in_utc(stop.moment), progress.frames_written, progress.frames_lost, clip.mute_spans)


def _ended_by(error: OSError | MirrorcamError) -> EndedBy:
    if isinstance(error, StorageFullError) or (isinstance(error, OSError) and error.errno in FULL):
        return "storage-full"
    return "storage-failed"
