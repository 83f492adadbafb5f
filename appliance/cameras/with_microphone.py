"""A camera that brings no sound, and a microphone, as one: where the microphone fails, pictures come all the same."""

import threading
from collections.abc import Callable

from appliance.camera import AudioTrack, Camera, CameraError, Frame, Packet, VideoTrack
from appliance.cameras.hearing import Hearing


class CameraWithMicrophone:
    """A Camera whose pictures come from one device and whose sound from another.

    What becomes of the microphone costs no picture; Hearing tells of it, and puts silence in its place, for a player
    waits for ever for sound that ends before the pictures do.
    """

    def __init__(self, camera: Camera, hearing: Hearing) -> None:
        self._camera = camera
        self._hearing = hearing

    @property
    def video(self) -> VideoTrack:
        """The camera's track."""
        return self._camera.video

    @property
    def audio(self) -> AudioTrack | None:
        """The sound's track."""
        return self._hearing.track

    def start(self, on_packet: Callable[[Packet], None], on_failure: Callable[[CameraError], None]) -> None:
        """Begin to deliver both, each on its own thread but one packet at a time; raises CameraError for the camera."""
        turn = threading.Lock()

        def deliver(packet: Packet) -> None:
            with turn:
                on_packet(packet)

        self._camera.start(deliver, on_failure)
        self._hearing.start(deliver)

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
        self._hearing.stop()
        self._camera.stop()
