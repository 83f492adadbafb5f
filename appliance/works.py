"""Camera, ring and recorder of one policy, working together: started, watched, stopped as one."""

import time
from collections.abc import Callable

from appliance.camera import Camera, CameraError, Frame, Kind, Packet
from appliance.installation import Installation
from appliance.recorder import Recorder, RecorderStatus
from appliance.ring import Ring
from evidence.manifest import EndedBy
from evidence.policy import SignedPolicy

# Cameras look after their own silence; this is for one whose driver hangs with it.
_SILENT_SECONDS = 8.0
_CLOSE_SECONDS = 10.0
# Room in the ring for a camera that gives more than it was asked for: a scene in motion, an encoder that is behind.
_RING_HEADROOM = 1.5
_RING_SMALLEST_BYTES = 4 * 1024 * 1024


class Works:
    """What records. `on_ready` is called with the camera's first picture after each start, `on_failure` once after one.

    Both come from the camera's threads. After a failure the works may be started again: the recorder stays, and with it
    what it has still to write.
    """

    def __init__(
        self,
        camera: Camera,
        installation: Installation,
        policy: SignedPolicy,
        *,
        on_ready: Callable[[], None],
        on_failure: Callable[[CameraError], None],
    ) -> None:
        """Put the parts together; raises AgeError for a policy whose recipients cannot be used."""
        self.policy = policy.policy
        self._camera = camera
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._seen_at = 0.0
        self._is_running = False
        self._is_ready = False
        seconds = policy.policy.pre_record_seconds
        bits_per_second = installation.settings.video_bits_per_second
        self._recorder = Recorder(
            ring=Ring(
                max_seconds=seconds,
                max_bytes=max(_RING_SMALLEST_BYTES, round(seconds * bits_per_second / 8 * _RING_HEADROOM)),
            ),
            spool=installation.spool,
            video=camera.video,
            audio=camera.audio,
            policy=policy,
            facts=installation.facts,
            clock=installation.clock,
        )

    def start(self) -> None:
        """Start the camera; raises CameraError. `on_ready` says when it really gives something."""
        self._camera.stop()  # half of it may still run: a microphone goes on when its camera has failed
        self._seen_at = time.monotonic()
        self._is_ready = False
        self._is_running = True
        try:
            self._camera.start(self._take, self._fail)
        except CameraError:
            self._is_running = False
            raise

    def begin(self, wearer: str) -> str:
        """Begin a clip and return its id; raises CameraError without a camera, else as the recorder does."""
        if not self._is_running:
            raise CameraError("The camera gives no picture, so nothing can be recorded: wait until it is back.")
        clip_id = self._recorder.begin(wearer=wearer)
        self._camera.request_key_frame()  # the ring may be empty: then the clip begins with the next key frame
        return clip_id

    def end(self, ended_by: EndedBy) -> None:
        """End the running clip, if there is one."""
        self._recorder.end(ended_by)
        if ended_by == "longest-clip":
            self._camera.request_key_frame()

    def is_all_closed(self) -> bool:
        """Whether every clip that has begun is closed, or has failed to be."""
        return self._recorder.wait_closed(0)

    def status(self) -> RecorderStatus:
        """Return how the recording stands."""
        return self._recorder.status()

    def newest_frame(self) -> Frame | None:
        """Return the newest picture."""
        return self._camera.newest_frame()

    def show_frames(self, *, wanted: bool) -> None:
        """Have pictures scaled for the screen, or not."""
        self._camera.show_frames(wanted)

    def check(self) -> None:
        """Raise CameraError when the camera has hung: it is started, says nothing, and does not fail."""
        if self._is_running and time.monotonic() - self._seen_at > _SILENT_SECONDS:
            self.pause()
            raise CameraError("The camera gives no more pictures: check its cable.")

    def pause(self) -> None:
        """Stop the camera alone."""
        self._is_running = False
        self._camera.stop()

    def stop(self, timeout: float = _CLOSE_SECONDS) -> bool:
        """Stop all, overwrite the ring; False when the storage did not take the rest within `timeout` seconds.

        May be called again, to wait on.
        """
        if self._is_running:
            self.pause()
        return self._recorder.shut_down(timeout)

    def _take(self, packet: Packet) -> None:
        is_picture = packet.kind is Kind.VIDEO  # sound is no sign of a camera's life
        self._recorder.push(packet)
        if is_picture:
            self._seen_at = time.monotonic()
            if not self._is_ready:
                self._is_ready = True
                self._on_ready()

    def _fail(self, error: CameraError) -> None:
        self._is_running = False
        self._on_failure(error)
