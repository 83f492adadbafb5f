"""One clip on its way to storage: muxed, sealed, written, and made durable twice a second."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.camera import AudioTrack, Kind, Packet, VideoTrack
from appliance.writing.clip_files import GrowingFile
from appliance.writing.mute_spans import MuteSpans
from appliance.writing.muxer import SMALLEST_PADDING, Muxer
from evidence.age import CHUNK_SIZE, Recipient, SealingWriter
from evidence.manifest import Span

# Fragments end each 0.27 s at 30 frames a second: the first end after 0.4 s makes a sync about every 0.5 s,
# just when a fragment is whole, so that none waits for the next sync.
SYNC_SECONDS = 0.4
# Below this rate, what stays behind in an unfilled chunk (64 KiB) would be over 0.17 s of the clip: it is filled up.
PAD_BELOW_BYTES = 3 * CHUNK_SIZE


@dataclass(frozen=True)
class Progress:
    """How far a clip has come: bytes that survive a power cut from now on, and frames, at the moment of the sync."""

    durable_bytes: int = 0
    frames_written: int = 0
    frames_lost: int = 0
    synced_at: float = float("-inf")


class ClipWriter:
    """Writes one clip; used by one thread, which may wait for the disk.

    What `progress` states as durable is durable: after a power cut it plays, but for its last packet and, at rates that
    need no padding, for what fills no chunk yet (0.17 s at most). Any call may raise OSError, after which only
    `abandon` may follow, or CameraError, after which `finish` may.
    """

    def __init__(
        self,
        growing: GrowingFile,
        recipients: Sequence[Recipient],
        video: VideoTrack,
        audio: AudioTrack | None,
        monotonic: Callable[[], float],
    ) -> None:
        self.growing = growing
        self.progress = Progress()
        self._monotonic = monotonic
        self._seal = SealingWriter(growing.write, recipients)
        self._muxer = Muxer(self._take_muxed, video, audio)
        self._muxed = 0
        self._muxed_at_sync = 0
        self._written = 0
        self._lost = 0
        self._sequence: int | None = None
        self._first_us = 0
        self._mute_spans = MuteSpans()

    @property
    def mute_spans(self) -> tuple[Span, ...]:
        """The stretches in which silence stands in for sound."""
        return self._mute_spans.since(self._first_us)

    def take(self, packet: Packet) -> None:
        """Write a packet, and sync if it is time and a fragment is whole."""
        whole = self._muxer.add(packet)
        if packet.kind is Kind.VIDEO:
            if self._sequence is None:
                self._first_us = packet.time_us
            else:
                self._lost += max(0, packet.sequence - self._sequence - 1)
            self._sequence = packet.sequence
            self._written += 1
        else:
            self._mute_spans.note(packet)
        if whole and self._monotonic() - self.progress.synced_at >= SYNC_SECONDS:
            self.sync()

    def lose(self, frames: int) -> None:
        """Count frames that came from the camera and could not be taken."""
        self._lost += frames

    def sync(self) -> None:
        """Make durable what has come so far, the fragment that is not whole yet excepted."""
        if self._muxed == self._muxed_at_sync:
            return
        if self._muxed - self._muxed_at_sync < PAD_BELOW_BYTES:
            # A chunk goes out with the first byte after it: so fill it, and one byte more.
            self._muxer.pad(max(SMALLEST_PADDING, CHUNK_SIZE - self._muxed % CHUNK_SIZE + 1))
        self.growing.sync()
        self._muxed_at_sync = self._muxed
        self._note()

    def finish(self) -> None:
        """Write the index and the final chunk; the spool closes the file after this."""
        self._muxer.close()
        self._seal.close()
        self._note()

    def abandon(self) -> None:
        """Let go without writing another byte."""
        self._muxer.abandon()

    def _take_muxed(self, data: bytes) -> None:
        self._seal.write(data)
        self._muxed += len(data)

    def _note(self) -> None:
        self.progress = Progress(self.growing.durable, self._written, self._lost, self._monotonic())
