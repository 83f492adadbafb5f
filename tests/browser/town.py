"""A town for browsers: a dock with real recorded clips behind real TLS, and a reviewer who can open them."""

import dataclasses
import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import msgspec
from argon2 import PasswordHasher

from appliance.camera import VideoTrack
from appliance.spool import SpooledClip
from dock_station.catalogue import entries
from dock_station.clock import utc_now
from dock_station.opening.keeper import start_opener
from dock_station.opening.keyslots import Keyslots
from dock_station.opening.opener import Opener
from dock_station.pages import create_app
from dock_station.people import People
from dock_station.rights import Role
from dock_station.serving.listeners import listen_for_people, listening
from evidence.age import HybridIdentity, open_bytes
from evidence.docking import GREETING_PATH, Greeting
from tests.dock import Camera, RunningDock, SealedClip, Visitor, running, set_up
from tests.pki import Pki, policy_toml, write_policy
from tests.recording import PATIENCE, VIDEO, Unit, in_order, pictures, sound

LOGIN, PASSWORD, PASSPHRASE = "a-example", "a password of some words", "a passphrase of some words"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True)
class Film:
    """What a unit's recorder made: a sealed film, and its manifest."""

    sealed: bytes
    recorded: SpooledClip
    seconds: float

    def opened(self, identity: HybridIdentity) -> bytes:
        return open_bytes(self.sealed, [identity])


@dataclass
class Town:
    """A dock whose bays are open, with its opener; pages are opened by each test for itself."""

    running: RunningDock
    opener: Opener
    identity: HybridIdentity
    folder: Path
    cameras: dict[str, Camera] = field(default_factory=dict)

    @cached_property
    def people(self) -> People:
        return People(self.running.dock, QUICK)

    def film(
        self,
        seconds: float,
        *,
        video: VideoTrack = VIDEO,
        bits_per_second: int = 800_000,
        unit_id: str = "unit-1",
        with_sound: bool = False,
    ) -> Film:
        """Record real footage, sealed to this town's station key."""
        unit = Unit(self.folder / f"recorder-{time.monotonic_ns()}", pki=self.running.pki)
        unit.folder.mkdir()
        unit.signer = self.running.pki.unit(unit_id).signer()
        spool = unit.spool()
        spool.recover()
        recorder = unit.recorder(
            spool,
            video=video,
            audio=sound(1)[0] if with_sound else None,
            record_audio=with_sound,
            recipients=(str(self.identity.recipient),),
            max_waiting_bytes=1 << 32,
        )
        recorder.begin(wearer="wearer-7")
        start = time.monotonic_ns() // 1000
        seen = pictures(seconds, start_us=start, video=video, bits_per_second=bits_per_second)
        for packet in in_order(seen, sound(seconds, start_us=start)[1] if with_sound else []):
            recorder.push(packet)
        recorder.end("wearer")
        assert recorder.wait_closed(4 * PATIENCE)
        assert recorder.shut_down(PATIENCE)
        (clip,) = spool.waiting()
        return Film(clip.sealed_file.read_bytes(), clip, seconds)

    def bring(
        self, film: Film, *, unit_id: str = "unit-1", started_at: datetime | None = None, **changes: object
    ) -> SealedClip:
        """Let a unit bring a film over mutual TLS; its manifest with `changes`."""
        identity = self.running.pki.unit(unit_id)
        camera = self.cameras.setdefault(unit_id, Camera(identity, unit_id))
        recorded = film.recorded.manifest
        started_at = started_at or utc_now().replace(microsecond=0) - timedelta(seconds=film.seconds)
        facts: dict[str, object] = {
            "started_at": started_at,
            "ended_at": started_at + timedelta(seconds=film.seconds),
            "pre_record_seconds": 0.0,
            "frames_written": recorded.frames_written,
            "recipients": recorded.recipients,
            "ciphertext_bytes": len(film.sealed),
            "ciphertext_sha256": hashlib.sha256(film.sealed).hexdigest(),
        }
        clip = dataclasses.replace(camera.clip(1, **{**facts, **changes}), sealed=film.sealed)
        visitor = self.running.visitor(camera.identity)
        assert visitor.bring(clip).status == 200
        visitor.hang_up()
        return clip

    def greet(self, visitor: Visitor, unit_id: str, *, waiting: int) -> None:
        """Let a unit say that it is here, and how many clips wait on it."""
        greeting = Greeting(
            unit_id=unit_id,
            software="mirrorcam 0.1.0",
            sent_at=utc_now(),
            clips_waiting=waiting,
            storage_free_bytes=30_000_000_000,
            storage_total_bytes=32_000_000_000,
            battery_percent=80,
            temperature_celsius=None,
            seen_heads=(),
        )
        assert visitor.ask("POST", GREETING_PATH, msgspec.json.encode(greeting)).status == 200

    def cut(self, film: Film, size: int) -> Film:
        """Return what a power cut leaves of a film: its first `size` bytes."""
        return dataclasses.replace(film, sealed=film.sealed[:size])

    @contextmanager
    def pages(self) -> Iterator[str]:
        """Serve the pages over TLS, and give their address."""
        app = create_app(self.running.dock, self.opener)
        with listening("pages", listen_for_people(self.running.dock, app)) as listener:
            yield f"https://localhost:{listener.port}"

    def deeds(self) -> list[tuple[str, str, str]]:
        """Return actor, action and subject of each entry of the custody log."""
        with self.running.dock.catalogue.reading() as connection:
            return [(entry.actor, entry.action, entry.subject) for entry in entries.all_in_order(connection)]


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """Set a town up: dock, policy with its station key, one reviewer with a keyslot."""
    pki, identity = Pki(), HybridIdentity.generate()
    dock_folder = set_up(folder / "dock", pki)
    write_policy(dock_folder, pki, policy_toml(recipients=(str(identity.recipient),)))
    dock_folder.keyslots.mkdir(mode=0o700)
    Keyslots(dock_folder.keyslots, work_factor=10).add(LOGIN, PASSPHRASE, identity)
    with ExitStack() as stack:
        dock = stack.enter_context(running(dock_folder, pki))
        opener = stack.enter_context(start_opener(dock_folder))
        town = Town(dock, opener, identity, folder)
        town.people.add(LOGIN, Role.SUPERVISOR, PASSWORD, "shell:test", display_name="A. Example")
        yield town
