"""Which camera and which microphone: what the command line's words for them stand for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from appliance.camera import Camera, CameraError
from appliance.cameras.file import FileCamera
from appliance.cameras.film import Film
from appliance.cameras.hearing import Hearing
from appliance.cameras.microphone import Microphone
from appliance.cameras.v4l2 import V4l2Camera
from appliance.cameras.with_microphone import CameraWithMicrophone
from appliance.settings import UnitSettings
from evidence.errors import ExitCode, MirrorcamError
from evidence.policy import Policy

SOUND_CODEC: Literal["aac"] = "aac"  # what every browser plays
_DEVICES = Path("/dev")
_NO_MICROPHONE = (
    "The policy asks for sound, but no microphone is named: have IT name it in unit.toml, as in "
    'microphone = "alsa:default", or add --microphone.'
)


class UnknownSourceError(MirrorcamError):
    """A word on the command line names no camera or microphone."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True)
class Sources:
    """A camera by its kind and place, and perhaps a microphone by libavdevice's system and device."""

    kind: Literal["auto", "picamera2", "file", "v4l2"]
    place: str = ""
    microphone: tuple[str, str] | None = None

    @classmethod
    def named(cls, camera: str, microphone: str | None = None) -> "Sources":
        """Read the words, such as `file:film.mp4` and `alsa:default`; raises UnknownSourceError."""
        heard = _microphone(microphone) if microphone else None
        kind, _, place = camera.partition(":")
        if kind in ("file", "v4l2") and place:
            return cls("file" if kind == "file" else "v4l2", place, heard)
        if camera in ("auto", "picamera2"):
            return cls("auto" if camera == "auto" else "picamera2", "", heard)
        raise UnknownSourceError(
            f"'{camera}' names no camera: use auto, picamera2, file:PATH or v4l2:/dev/videoN, as in v4l2:/dev/video0."
        )

    def with_microphone_of(self, settings: UnitSettings) -> "Sources":
        """Return the same with the board's own microphone, where no other one is named."""
        if self.microphone is not None or not settings.microphone:
            return self
        return replace(self, microphone=_microphone(settings.microphone))

    def check(self, settings: UnitSettings) -> None:
        """Raise CameraError for what will never work: any other camera may still be plugged in, a film may not."""
        if self.kind == "file":
            Film.probe(Path(self.place), most_frames_per_second=settings.frames_per_second)

    def open(self, settings: UnitSettings, policy: Policy, hear: Callable[[CameraError | None], None]) -> Camera:
        """Return the camera, with sound where the policy wants it; raises CameraError.

        Where the policy wants none no microphone is opened at all. Sound that is wanted and does not come costs no
        picture: `hear` is told what is wrong, and None as soon as it comes.
        """
        is_of_a_film = self.kind == "file" and self.microphone is None
        pictures = self._pictures(settings, has_sound=policy.record_audio and is_of_a_film)
        if not policy.record_audio or is_of_a_film:
            return pictures
        if self.microphone is None:
            hear(CameraError(_NO_MICROPHONE))
            return pictures
        system, device = self.microphone
        return CameraWithMicrophone(pictures, Hearing(Microphone(device, system=system), hear, codec=SOUND_CODEC))

    def _pictures(self, settings: UnitSettings, *, has_sound: bool) -> Camera:
        openers: dict[str, Callable[[], Camera]] = {
            "file": lambda: FileCamera(Path(self.place), settings, sound=SOUND_CODEC if has_sound else None),
            "v4l2": lambda: V4l2Camera(self.place, settings),
            "picamera2": lambda: _picamera2(settings),
            "auto": lambda: _whatever_is_there(settings),
        }
        return openers[self.kind]()


def _microphone(words: str) -> tuple[str, str]:
    system, _, device = words.partition(":")
    if system not in ("alsa", "pulse") or not device:
        raise UnknownSourceError(f"'{words}' names no microphone: use alsa:DEVICE or pulse:DEVICE, as in alsa:default.")
    return system, device


def _whatever_is_there(settings: UnitSettings) -> Camera:
    if find_spec("picamera2") is not None:
        return _picamera2(settings)
    webcams = sorted(_DEVICES.glob("video*"), key=lambda path: (len(path.name), path.name))
    if not webcams:
        raise CameraError("No camera was found: connect one, or have a film played with --camera file:PATH.")
    return V4l2Camera(str(webcams[0]), settings)


def _picamera2(settings: UnitSettings) -> Camera:
    try:
        from appliance.cameras.picamera2 import Picamera2Camera  # noqa: PLC0415 – its library is only on a Raspberry Pi
    except ImportError as error:
        raise CameraError(
            "The library picamera2 is not installed: install it from Raspberry Pi OS (python3-picamera2), or name "
            "another camera with --camera."
        ) from error
    return Picamera2Camera(settings)
