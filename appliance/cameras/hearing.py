"""From what a microphone gives, or fails to give, to sound without a hole: silence stands in, and a retry follows."""

import queue
import threading
import time
from collections.abc import Callable, Sequence

from av.audio.frame import AudioFrame

from appliance.camera import AudioTrack, CameraError, Packet
from appliance.cameras.microphone import Microphone
from appliance.cameras.sound import NAMED_SILENCE_US, SoundCodec, SoundEncoder
from appliance.cameras.source_thread import SourceThread

# After the first failure in a row, the second, and so on: ALSA writes a line of its own each time.
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
# So much sound without a break ends a row of failures: a loose contact is not told every second.
_STEADY_SECONDS = 30.0
_PIECE_SECONDS = 0.1
_SILENT_SECONDS = NAMED_SILENCE_US / 1_000_000
_OPENING_SECONDS = 8.0  # what a device may take until its first sound

_MOST_HANGING = 3  # readers that a driver has swallowed, beside the newest: no more are given to it before one is back

_Heard = tuple[AudioFrame, int] | CameraError


class Hearing:
    """Sound of one microphone, on a thread of its own, as long as it is wanted.

    A microphone that is missing, breaks off or says nothing for a second is silence, and is tried again. It is opened
    and read on another thread, so that one that hangs keeps nobody; there are four such threads at most. `tell` is told
    from the thread what is wrong, once, and None with the first sound, and with the first after something was wrong.
    """

    def __init__(
        self,
        microphone: Microphone,
        tell: Callable[[CameraError | None], None],
        *,
        codec: SoundCodec = "aac",
        retry_seconds: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        self._microphone = microphone
        self._tell = tell
        self._codec = codec
        self._retry_seconds = retry_seconds
        self._track = self._new_encoder().track
        self._thread = SourceThread("sound")
        self._reader = SourceThread("microphone")
        self._heard: queue.SimpleQueue[_Heard] = queue.SimpleQueue()
        self._is_deaf: bool | None = None  # None: nothing was told yet
        self._failures = 0
        self._retry_at = self._patient_until = self._steady_at = 0.0

    @property
    def track(self) -> AudioTrack:
        """What its packets hold."""
        return self._track

    def start(self, on_packet: Callable[[Packet], None]) -> None:
        """Begin to deliver, in the order of time."""
        self._thread.start(lambda is_stopping: self._run(on_packet, is_stopping), self._tell)

    def stop(self) -> None:
        """End it; no callback comes after it returns."""
        self._thread.stop()
        self._reader.stop()

    def _run(self, on_packet: Callable[[Packet], None], is_stopping: threading.Event) -> None:
        encoder = self._new_encoder()
        encoder.silence(until_us=_microseconds(time.monotonic()))  # from here on nothing may be missing
        self._open(time.monotonic())
        while not is_stopping.is_set():
            for packet in self._next_packets(encoder):
                if is_stopping.is_set():
                    return
                on_packet(packet)

    def _next_packets(self, encoder: SoundEncoder) -> list[Packet]:
        """Wait a moment for what the microphone says, and return what follows from that, or from its saying nothing."""
        heard = self._next_heard()
        now = time.monotonic()
        if isinstance(heard, tuple):
            self._found(now)
            sound, time_us = heard
            return encoder.encode(sound, time_us=time_us)
        if heard is not None:
            self._lost(heard, now)
        elif now > self._patient_until:
            silent = f"The microphone {self._microphone.device} gives no sound: connect it again."
            self._lost(CameraError(silent), now)
        if now >= self._retry_at:
            self._open(now)
        return encoder.silence(until_us=_microseconds(now)) if self._is_deaf else []

    def _next_heard(self) -> _Heard | None:
        try:
            return self._heard.get(timeout=_PIECE_SECONDS)
        except queue.Empty:
            return None

    def _open(self, now: float) -> None:
        self._retry_at, self._patient_until = float("inf"), now + _OPENING_SECONDS
        if self._reader.hanging >= _MOST_HANGING:
            return
        heard = self._heard = queue.SimpleQueue[_Heard]()  # what the one before may still say is not wanted
        self._reader.start(
            lambda is_stopping: self._microphone.listen(lambda sound, at_us: heard.put((sound, at_us)), is_stopping),
            heard.put,
        )

    def _found(self, now: float) -> None:
        self._retry_at, self._patient_until = float("inf"), now + _SILENT_SECONDS
        if self._is_deaf is not False:
            self._is_deaf, self._steady_at = False, now + _STEADY_SECONDS
            self._tell(None)
        elif now > self._steady_at:
            self._failures = 0

    def _lost(self, error: CameraError, now: float) -> None:
        if self._retry_at == float("inf"):
            self._retry_at = now + self._retry_seconds[min(self._failures, len(self._retry_seconds) - 1)]
            self._failures += 1
        if not self._is_deaf:
            self._is_deaf = True
            self._tell(error)

    def _new_encoder(self) -> SoundEncoder:
        return SoundEncoder(self._codec, channels=self._microphone.channels)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
