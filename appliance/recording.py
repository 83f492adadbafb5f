"""The recording side, as the table of states drives it: works that come and go with camera, policy and dock."""

import math
from collections.abc import Callable
from contextlib import suppress

from appliance.camera import Camera, CameraError, Frame
from appliance.clip_watch import ClipWatch
from appliance.installation import GO_ON_SECONDS, Installation
from appliance.journal import Journal
from appliance.recorder import RecorderStatus, StorageFailedError, StorageSlowError
from appliance.spool import StorageFullError
from appliance.states import Event, News
from appliance.works import Works
from appliance.writing.thread import SENTENCES
from evidence.age import AgeError
from evidence.errors import MirrorcamError
from evidence.manifest import EndedBy
from evidence.policy import Policy

NOTHING = RecorderStatus(
    writing=False, clip_id=None, started=None, ciphertext_bytes=0, frames_written=0, frames_lost=0, failure=None
)
# A clip that lasted less before its camera failed gives the camera no new minute: one that blinks on and on would be
# recorded in tiny clips for ever, and no finger could be held long enough to end it.
_STEADY_SECONDS = 10.0
# What stands for a policy while there is none that can be used: the table needs one, and nothing is recorded by it.
_NO_POLICY = Policy(policy_id="none", recipients=(), retention_days=1, retention_min_days=1, retention_max_days=1)
_EVENT_OF_FAILURE = {
    SENTENCES["storage-full"]: Event.STORAGE_FULL,
    SENTENCES["storage-slow"]: Event.STORAGE_SLOW,
    SENTENCES["storage-failed"]: Event.STORAGE_FAILED,
    SENTENCES["camera-failed"]: Event.CAMERA_FAILED,
}


class Recording:
    """Starts and stops the works, begins and ends clips, and says as news what came of it.

    Works live until the unit is docked or switched off, because only then can the policy change; a camera that fails is
    started again within them. No new works begin while old ones still have something to write.

    A clip that broke off, by its camera's failure or a crash, goes on in a new one if the camera gives a picture within
    a minute, and no clip has begun and the unit was not docked meanwhile. One that went on so, and broke off again
    within seconds, has what is left of that minute.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        open_camera: Callable[[Policy], Camera],
        journal: Journal,
        tell: Callable[[News], None],
        make_room: Callable[[], None],
        broken_off: str | None = None,
    ) -> None:
        """`tell` takes news from any thread; `make_room` removes from the storage what recordings come before.

        `broken_off` is the clip that a process before this one was writing. Without a policy that can be used,
        `start_camera` says what is wrong with it.
        """
        self._installation = installation
        self._open_camera = open_camera
        self._journal = journal
        self._tell = tell
        self._make_room = make_room
        self._newest_clip = self._broken_off = broken_off
        now = installation.clock.monotonic()
        self._begun_at = now
        self._goes_on_until = now + GO_ON_SECONDS if broken_off else -math.inf
        self._policy = _NO_POLICY
        with suppress(MirrorcamError, OSError):
            self._policy = installation.folder.policy().policy
        self._works: Works | None = None
        self._unfinished: Works | None = None
        self._failure_seen: str | None = None
        self._watch = ClipWatch(installation.folder.data, journal, installation.clock.monotonic)

    @property
    def policy(self) -> Policy:
        """The policy in force; without one that can be used, one that stands for it."""
        return self._policy

    @property
    def awaits_first_bytes(self) -> bool:
        """Whether a clip has begun of which nothing is durable yet."""
        return self._watch.awaits_first_bytes

    def status(self) -> RecorderStatus:
        """Return what is being written."""
        return self._works.status() if self._works else NOTHING

    def newest_frame(self) -> Frame | None:
        """Return the newest picture, None without a camera."""
        return self._works.newest_frame() if self._works else None

    def show_frames(self, *, wanted: bool) -> None:
        """Have pictures scaled for the screen, or not."""
        if self._works:
            self._works.show_frames(wanted=wanted)

    def start_camera(self) -> News | None:
        """Start the camera, under the policy that is in force now; its first picture brings CAMERA_READY or RESUMED."""
        try:
            if self._works is None:
                self._works = self._new_works()
            self._works.start()
        except CameraError as error:
            return News(Event.CAMERA_FAILED, str(error))
        except (MirrorcamError, AgeError, OSError) as error:
            return News(Event.NOT_READY, str(error))
        return None

    def pause_camera(self) -> None:
        """Stop a camera that has failed; what was recorded goes on being written."""
        if self._works:
            self._works.pause()

    def stop_camera(self) -> None:
        """Stop the camera, overwrite the ring, and close what is open."""
        self._broken_off = None
        works, self._works = self._works, None
        if works is None:
            return
        if not works.stop():
            self._unfinished = works
        self._watch.look(NOTHING, all_closed=works.is_all_closed())

    def begin_clip(self, wearer: str) -> News:
        """Begin a clip, and say whether it has begun."""
        try:
            if self._works is None:
                raise CameraError("There is no camera yet: wait until it is back.")
            clip_id = self._begin(self._works, wearer)
        except StorageFullError as error:
            return News(Event.STORAGE_FULL, str(error))
        except MirrorcamError as error:
            return News(Event.CLIP_REFUSED, str(error))
        self._failure_seen = None
        self._watch.begun(clip_id)
        if self._broken_off is not None and self._is_to_go_on():
            self._journal.resumed(clip_id, after=self._broken_off)
        else:
            self._goes_on_until = -math.inf  # the wearer's own, with a minute of its own
        self._newest_clip, self._broken_off = clip_id, None
        self._begun_at = self._installation.clock.monotonic()
        return News(Event.CLIP_BEGUN)

    def _begin(self, works: Works, wearer: str) -> str:
        try:
            return works.begin(wearer)
        except StorageFullError:
            self._make_room()
            return works.begin(wearer)

    def end_clip(self, ended_by: EndedBy) -> None:
        """End the running clip; harmless where it has ended by itself. One that its camera has failed is to go on."""
        if self._works:
            self._works.end(ended_by)
        if ended_by == "camera-failed":
            now = self._installation.clock.monotonic()
            if self._goes_on_until == -math.inf or now - self._begun_at >= _STEADY_SECONDS:
                self._goes_on_until = now + GO_ON_SECONDS
            self._broken_off = self._newest_clip

    def observe(self) -> News | None:
        """Look after clips and camera; return what has come of it since the last look, one thing at a time."""
        if self._works is None:
            return self._look_at_unfinished()
        all_closed = self._works.is_all_closed()
        status = self._works.status()
        self._watch.look(status, all_closed=all_closed)
        if status.failure != self._failure_seen:
            self._failure_seen = status.failure
            if status.failure is not None:
                return News(_EVENT_OF_FAILURE[status.failure], status.failure)
        try:
            self._works.check()
        except CameraError as error:
            return News(Event.CAMERA_FAILED, str(error))
        return None

    def check_storage(self) -> News | None:
        """Say when the storage is gone, which nobody would learn in standby before a touch; cheap enough for a turn."""
        try:
            self._installation.spool.free_bytes()
        except OSError:
            return News(Event.STORAGE_FAILED, str(StorageFailedError()))
        return None

    def _look_at_unfinished(self) -> News | None:
        works = self._unfinished
        if works is None or not (works.is_all_closed() and works.stop(timeout=0)):
            return None
        self._unfinished = None
        self._watch.look(NOTHING, all_closed=True)
        return News(Event.CLIPS_CLOSED)

    def _new_works(self) -> Works:
        if self._unfinished and not self._unfinished.stop(timeout=0):
            raise StorageSlowError
        self._unfinished = None
        signed = self._installation.folder.policy()
        self._policy = signed.policy
        return Works(
            self._open_camera(signed.policy),
            self._installation,
            signed,
            on_ready=lambda: self._tell(News(Event.RESUMED if self._is_to_go_on() else Event.CAMERA_READY)),
            on_failure=lambda error: self._tell(News(Event.CAMERA_FAILED, str(error))),
        )

    def _is_to_go_on(self) -> bool:
        return self._broken_off is not None and self._installation.clock.monotonic() <= self._goes_on_until
