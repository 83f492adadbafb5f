"""A dock that holds clips without any unit: sealed files, manifests and rows put where intake would put them."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dock_station.catalogue import chains, clips, units
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.schema import migrate
from dock_station.clock import ClockReading, ClockWatch
from dock_station.dock import Dock
from evidence import manifest as manifests
from evidence.chain import Link
from evidence.identifiers import new_clip_id
from evidence.manifest import ClockQuality, Manifest
from tests.pki import SOME_RECIPIENT, Identity, Pki, dock_folder

DAY = timedelta(days=1)


@dataclass
class DockTime:
    """The dock's two clocks, moved by hand: `pass_` time honestly, or `jump` the wall clock alone."""

    wall: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    since_boot_seconds: float = 5000.0

    def now(self) -> datetime:
        return self.wall

    def read(self) -> ClockReading:
        return ClockReading(self.wall, self.since_boot_seconds)

    def pass_(self, span: timedelta) -> None:
        self.wall += span
        self.since_boot_seconds += span.total_seconds()

    def jump(self, span: timedelta) -> None:
        self.wall += span

    def start_again(self) -> None:
        """Start the machine, which has no clock of its own that goes on: it is still the time at which it stopped."""
        self.since_boot_seconds = 60.0


@dataclass
class StoredDock:
    """A dock with a migrated catalogue, at a time that a test moves."""

    path: Path
    policy: str | None = None
    pki: Pki = field(default_factory=Pki)
    time: DockTime = field(default_factory=DockTime)

    def __post_init__(self) -> None:
        self.folder = dock_folder(self.path, self.pki, policy=self.policy)
        dock = Dock.open_unchecked(self.folder, self.time.now)
        migrate(dock.catalogue)
        dock.close()
        self.dock = Dock.open(self.folder, self.time.now, lambda: self.time.since_boot_seconds)
        self.unit: Identity = self.pki.unit("unit-1")
        self._last: Link | None = None

    def watch(self) -> ClockWatch:
        return ClockWatch(self.time.read)

    def store(self, *, age: timedelta = timedelta(0), retained_days: int = 30, size: int = 4096) -> Clip:
        """Put a clip into the vault and the catalogue as intake would have done `age` ago."""
        received = self.time.now() - age
        sealed = secrets.token_bytes(size)
        manifest = self._manifest(received, sealed)
        content = manifests.encode(manifest)
        upload_id = secrets.token_hex(16)
        with self.dock.vault.appending(upload_id, 0) as part:
            part.write(memoryview(sealed))
            part.sync()
        key = self.dock.vault.store(
            upload_id, manifest.clip_id, manifest=content, signature=self.unit.signer().sign(content)
        )
        self._last = Link(manifest.sequence, hashlib.sha256(content).hexdigest())
        clip = _clip(manifest, self._last, self.unit, key, received, received + timedelta(days=retained_days))
        with self.dock.catalogue.writing() as connection:
            units.seen(connection, "unit-1", received)
            clips.keep_certificate(
                connection,
                sha256=self.unit.sha256,
                holder="urn:mirrorcam:unit:unit-1",
                pem=self.unit.certificate_pem.decode(),
            )
            clips.add(connection, clip)
            chains.advance(connection, "unit-1", self._last, received)
        return clip

    def accept(self, *, age: timedelta = timedelta(0)) -> Clip:
        """Put a clip into the vault as `store` does, and into the custody log."""
        clip = self.store(age=age)
        with self.dock.catalogue.writing() as connection:
            self.dock.custody.append(
                connection, actor="unit:unit-1", action="clip-accepted", subject=f"clip:{clip.clip_id}"
            )
        return clip

    def find(self, clip: Clip) -> Clip:
        with self.dock.catalogue.reading() as connection:
            found = clips.find(connection, clip.clip_id)
        assert found
        return found

    def files_of(self, clip: Clip) -> list[Path]:
        return sorted(self.folder.vault.glob(f"{clip.vault_key}*"))

    def _manifest(self, received: datetime, sealed: bytes) -> Manifest:
        return Manifest(
            clip_id=new_clip_id(received),
            unit_id="unit-1",
            wearer="wearer-7",
            sequence=self._last.sequence + 1 if self._last else 1,
            previous_manifest_sha256=self._last.manifest_sha256 if self._last else None,
            started_at=received,
            ended_at=received + timedelta(seconds=10),
            clock=ClockQuality(last_sync=received - DAY, estimated_error_seconds=0.5),
            started_monotonic_seconds=100.5,
            boot_id="5f0c7a52-4b1e-4d0c-9c55-1d1f6b8f0a01",
            pre_record_seconds=30,
            frames_written=1200,
            frames_lost=0,
            has_audio=False,
            mute_spans=(),
            markers=(),
            complete=True,
            ended_by="wearer",
            policy_id="test",
            policy_sha256="0" * 64,
            recipients=(SOME_RECIPIENT,),
            ciphertext_bytes=len(sealed),
            ciphertext_sha256=hashlib.sha256(sealed).hexdigest(),
            software="mirrorcam test",
        )


def _clip(manifest: Manifest, link: Link, unit: Identity, key: str, received: datetime, due_at: datetime) -> Clip:
    return Clip(
        clip_id=manifest.clip_id,
        unit_id=manifest.unit_id,
        sequence=manifest.sequence,
        wearer=manifest.wearer,
        started_at=manifest.started_at,
        ended_at=manifest.ended_at,
        duration_seconds=40.0,
        pre_record_seconds=manifest.pre_record_seconds,
        clock_error_seconds=manifest.clock.estimated_error_seconds,
        complete=manifest.complete,
        ended_by=manifest.ended_by,
        has_audio=manifest.has_audio,
        frames_lost=manifest.frames_lost,
        ciphertext_bytes=manifest.ciphertext_bytes,
        ciphertext_sha256=manifest.ciphertext_sha256,
        manifest_sha256=link.manifest_sha256,
        certificate_sha256=unit.sha256,
        policy_id=manifest.policy_id,
        vault_key=key,
        received_at=received,
        retained_from=received,
        due_at=due_at,
        deleted_at=None,
    )
