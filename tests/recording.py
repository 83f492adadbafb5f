"""What a test needs to record without a camera: real packets, a unit's spool and recorder, and the key that opens."""

import io
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal

import av
import msgspec
import numpy as np
from av.audio.frame import AudioFrame

from appliance.camera import AudioTrack, Kind, Packet, VideoTrack
from appliance.cameras.encoder import PictureEncoder
from appliance.cameras.sound import SAMPLE_RATE, SoundEncoder
from appliance.clock import Clock
from appliance.recorder import Recorder
from appliance.ring import Ring
from appliance.spool import Spool, SpooledClip
from appliance.writing.disk import Disk
from appliance.writing.thread import UnitFacts
from evidence.age import X25519Identity, open_bytes
from evidence.policy import Policy, SignedPolicy
from evidence.signature import Signed, Signer
from tests.footage import bikes
from tests.pki import Pki

BOOT_ID = "5f0c7a52-4b1e-4d0c-9c55-1d1f6b8f0a01"
EPOCH = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VIDEO = VideoTrack(width=320, height=240, frames_per_second=30)
FRAME_US = 33_333
PATIENCE = 30  # seconds that a test waits for what takes milliseconds


def pictures(
    seconds: float, *, start_us: int = 0, first: int = 0, video: VideoTrack = VIDEO, bits_per_second: int = 800_000
) -> list[Packet]:
    """Return packets of real footage, played over and over; a key frame comes each second."""
    encoded = _encoded(video, bits_per_second)
    count = round(seconds * video.frames_per_second)
    step = 1_000_000 // video.frames_per_second
    return [
        Packet(Kind.VIDEO, bytearray(data), is_key, start_us + index * step, step, first + index)
        for index, (data, is_key) in enumerate(itertools.islice(itertools.cycle(encoded), count))
    ]


@cache
def _encoded(video: VideoTrack, bits_per_second: int) -> list[tuple[bytes, bool]]:
    rate = video.frames_per_second
    encoder = PictureEncoder(
        width=video.width, height=video.height, frames_per_second=rate, bits_per_second=bits_per_second
    )
    packets: list[Packet] = []
    with av.open(str(bikes())) as film:
        for index, frame in enumerate(itertools.islice(film.decode(video=0), rate * 8)):
            picture = frame.reformat(video.width, video.height, format="yuv420p")
            time_us = index * 1_000_000 // rate
            packets += encoder.encode(picture, time_us=time_us, sequence=index, as_key_frame=index % rate == 0)
    return [(bytes(packet.data), packet.is_key) for packet in packets]


def sound(
    seconds: float,
    codec: Literal["aac", "opus"] = "aac",
    *,
    start_us: int = 0,
    heard: tuple[float, float] = (0.0, float("inf")),
) -> tuple[AudioTrack, list[Packet]]:
    """Return a 440 Hz tone, 48 kHz, mono; silence outside the stretch that is `heard`."""
    encoder = SoundEncoder(codec, channels=1)
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.where((times >= heard[0]) & (times < heard[1]), 0.5 * np.sin(2 * np.pi * 440 * times), 0)
    samples = AudioFrame.from_ndarray(wave.astype(np.float32)[None, :], "fltp", "mono")
    samples.sample_rate = SAMPLE_RATE
    return encoder.track, encoder.encode(samples, time_us=start_us)


def in_order(*tracks: Sequence[Packet]) -> list[Packet]:
    """Return the packets of all tracks in the order of their time, as a camera gives them."""
    return sorted(itertools.chain(*tracks), key=lambda packet: packet.time_us)


@dataclass
class Hand:
    """A clock that a test moves by hand."""

    seconds: float = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)


@dataclass
class Unit:
    """One unit's data folder, the key that signs, and the key (not on the unit) that opens its clips."""

    folder: Path
    identity: X25519Identity = field(default_factory=X25519Identity.generate)
    pki: Pki = field(default_factory=Pki)
    signer: Signer | None = None

    def __post_init__(self) -> None:
        self.signer = self.signer or self.pki.unit("unit-1").signer()

    def clock(self, hand: Hand | None = None) -> Clock:
        now = hand.now if hand else lambda: datetime.now(UTC)
        monotonic = hand.monotonic if hand else time.monotonic
        return Clock(now=now, monotonic=monotonic, boot_id=BOOT_ID, memory=self.folder / "clock.json")

    def spool(self, disk: Disk | None = None, *, floor_bytes: int = 1 << 20) -> Spool:
        assert self.signer
        return Spool(self.folder / "data", self.signer, reserve_minutes=30, disk=disk, floor_bytes=floor_bytes)

    def policy(self, **settings: object) -> SignedPolicy:
        values = {
            "policy_id": "test",
            "recipients": (str(self.identity.recipient),),
            "retention_days": 30,
            "retention_min_days": 1,
            "retention_max_days": 90,
            **settings,
        }
        policy = msgspec.convert(values, Policy)
        return SignedPolicy(policy, "0" * 64, Signed(content=b"", signature=b"", certificate=b""))

    def recorder(
        self,
        spool: Spool,
        *,
        hand: Hand | None = None,
        video: VideoTrack = VIDEO,
        audio: AudioTrack | None = None,
        pre_record_seconds: int = 30,
        max_waiting_bytes: int = 1 << 30,
        **settings: object,
    ) -> Recorder:
        return Recorder(
            ring=Ring(max_seconds=pre_record_seconds, max_bytes=64 << 20),
            spool=spool,
            video=video,
            audio=audio,
            policy=self.policy(pre_record_seconds=pre_record_seconds, **settings),
            facts=UnitFacts("unit-1", "test", BOOT_ID),
            clock=self.clock(hand),
            max_waiting_bytes=max_waiting_bytes,
        )

    def open(self, clip: SpooledClip) -> bytes:
        """Return a whole clip's MP4."""
        return open_bytes(clip.sealed_file.read_bytes(), [self.identity])


def close_left(spool: Spool) -> None:
    """Close all that a power cut or a failing storage left, as the closer does."""
    while spool.close_next():
        pass


def decoded(mp4: bytes, kind: Literal["video", "audio"] = "video") -> list[float]:
    """Decode one track with PyAV, and return when each frame is shown (seconds)."""
    with av.open(io.BytesIO(mp4), mode="r") as container:
        frames = container.decode(video=0) if kind == "video" else container.decode(audio=0)
        return [frame.time for frame in frames if frame.time is not None]
