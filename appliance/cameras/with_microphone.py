"""A camera that brings no sound, and a microphone, as one: where the microphone fails, pictures come all the same."""

import threading
import time
from collections.abc import Callable, Sequence

from appliance.camera import AudioTrack, Camera, CameraError, Frame, Packet, VideoTrack
from appliance.cameras.microphone import Microphone
from appliance.cameras.sound import SoundEncoder
from appliance.cameras.source_thread import SourceThread

# After the first failure in a row, the second, and so on: ALSA writes a line of its own each time.
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
_PIECE_SECONDS = 0.1


class CameraWithMicrophone:
    """A Camera whose pictures come from one device and whose sound from another.

    A microphone that is missing or breaks off costs no picture: it is tried again, and opened on a thread of its own,
    so that one that hangs keeps nobody. Meanwhile there is silence in its place, said to be that: a player waits for
    ever for sound that ends before the pictures do. `hear` is told from that thread what is wrong, once, and None as
    soon as there is sound again.
    """

    def __init__(
        self,
        camera: Camera,
        microphone: Microphone,
        hear: Callable[[CameraError | None], None],
        *,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        self._camera = camera
        self._microphone = microphone
        self._hear = hear
        self._retry_seconds = retry_seconds
        self._is_deaf = False
        self._thread = SourceThread("microphone")

    @property
    def video(self) -> VideoTrack:
        """The camera's track."""
        return self._camera.video

    @property
    def audio(self) -> AudioTrack | None:
        """The microphone's track."""
        return self._microphone.track

    def start(self, on_packet: Callable[[Packet], None], on_failure: Callable[[CameraError], None]) -> None:
        """Begin to deliver both, each on its own thread but one packet at a time; raises CameraError for the camera."""
        turn = threading.Lock()

        def deliver(packet: Packet) -> None:
            with turn:
                on_packet(packet)

        self._camera.start(deliver, on_failure)
        self._thread.start(lambda is_stopping: self._keep_hearing(deliver, is_stopping), on_failure)

    def request_key_frame(self) -> None:
        """Ask the camera that its next picture be a key frame."""
        self._camera.request_key_frame()

    def newest_frame(self) -> Frame | None:
        """Return the camera's newest picture for the screen."""
        return self._camera.newest_frame()

    def show_frames(self, wanted: bool) -> None:  # noqa: FBT001 – as in Camera
        """Tell the camera whether anyone looks at the screen."""
        self._camera.show_frames(wanted)

    def stop(self) -> None:
        """Stop both; no callback comes after it returns."""
        self._thread.stop()
        self._camera.stop()

    def _keep_hearing(self, deliver: Callable[[Packet], None], is_stopping: threading.Event) -> None:
        failures = 0

        def heard(packet: Packet) -> None:
            nonlocal failures
            failures = 0
            if self._is_deaf:
                self._is_deaf = False
                self._hear(None)
            deliver(packet)

        encoder = self._microphone.new_encoder()
        while not is_stopping.is_set():
            try:
                self._microphone.deliver(encoder, heard, is_stopping)
            except CameraError as error:
                if not self._is_deaf and not is_stopping.is_set():
                    self._is_deaf = True
                    self._hear(error)
            silent_seconds = self._retry_seconds[min(failures, len(self._retry_seconds) - 1)]
            _be_silent(encoder, deliver, is_stopping, silent_seconds)
            failures += 1


def _be_silent(
    encoder: SoundEncoder, deliver: Callable[[Packet], None], is_stopping: threading.Event, seconds: float
) -> None:
    """Deliver silence in step with the clock, for that long."""
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        for packet in encoder.silence(until_us=round(now * 1_000_000)):
            deliver(packet)
        if is_stopping.wait(min(_PIECE_SECONDS, until - now)):
            return
