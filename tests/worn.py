"""A unit for tests of docking and of the whole process: enrolled in a folder of its own, with clips in its spool."""

import hashlib
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.docking.delivery import Deleted, Greeted, Received, Refused, Sent, Step, Uploaded
from appliance.docking.offload import Offload
from appliance.installation import Installation
from appliance.settings import UnitFolder
from appliance.spool import Ending
from appliance.writing.clip_files import GrowingFile
from evidence.age import X25519Identity, seal_bytes
from evidence.identifiers import new_clip_id
from evidence.manifest import ClockQuality, EndedBy, Manifest
from tests.dock import SealedClip
from tests.pki import Identity, Pki, policy_toml, write_policy
from tests.recording import close_left

RECIPIENT = X25519Identity.generate().recipient


def enrol(
    path: Path,
    pki: Pki,
    dock_url: str,
    *,
    unit_id: str = "unit-1",
    policy: str | None = None,
    identity: Identity | None = None,
    settings: str = "",
) -> UnitFolder:
    """Set a unit up under `path` as `mirrorcam-provision unit enrol` does."""
    folder = UnitFolder(path)
    folder.data.mkdir(parents=True)
    folder.settings_file.write_text(f'unit_id = "{unit_id}"\ndock_url = "{dock_url}"\n{settings}\n')
    (identity or pki.unit(unit_id)).write(folder.key_file, folder.certificate_file)
    folder.authority_file.write_bytes(pki.pem)
    write_policy(folder, pki, policy or policy_toml(recipients=(str(RECIPIENT),)))
    return folder


@dataclass
class Steps:
    """What an offload reported."""

    taken: list[Step] = field(default_factory=list)

    def __call__(self, step: Step) -> None:
        self.taken.append(step)

    @property
    def names(self) -> list[str]:
        """The kinds of the steps, without those that only tell how far an upload is."""
        return [type(step).__name__ for step in self.taken if not isinstance(step, Sent)]

    @property
    def deleted(self) -> list[str]:
        return [step.clip_id for step in self.taken if isinstance(step, Deleted)]

    @property
    def uploaded(self) -> list[str]:
        return [step.clip_id for step in self.taken if isinstance(step, Uploaded)]

    @property
    def refused(self) -> dict[str, str]:
        return {step.clip_id: step.sentence for step in self.taken if isinstance(step, Refused)}

    @property
    def greeted(self) -> Greeted:
        return next(step for step in self.taken if isinstance(step, Greeted))

    @property
    def received(self) -> list[Received]:
        return [step for step in self.taken if isinstance(step, Received)]

    def sent(self, clip_id: str) -> list[int]:
        return [step.bytes for step in self.taken if isinstance(step, Sent) and step.clip_id == clip_id]


@dataclass(frozen=True)
class Worn:
    """An enrolled unit, opened."""

    installation: Installation

    @classmethod
    def open(cls, folder: UnitFolder) -> "Worn":
        installation = Installation.open(folder.path)
        installation.recover()
        close_left(installation.spool)
        return cls(installation)

    def clip(self, size: int = 200_000, *, ended_by: EndedBy = "wearer", ended_seconds_ago: float = 0.0) -> SealedClip:
        """Record a clip of `size` random bytes and a minute, sealed, and return it as it lies in the spool."""
        spool = self.installation.spool
        growing = self._growing(size, ended_seconds_ago=ended_seconds_ago)
        spool.close_clip(growing, Ending(ended_by, datetime.now(UTC).replace(microsecond=0), 1500, 0))
        waiting = next(clip for clip in spool.waiting() if clip.clip_id == growing.files.clip_id)
        return SealedClip(
            waiting.manifest,
            waiting.manifest_file.read_bytes(),
            waiting.sealed_file.read_bytes(),
            waiting.signature_file.read_bytes(),
        )

    def cut(self, size: int = 200_000) -> str:
        """Leave a clip as a storage that broke it off does, still to be closed, and return its id."""
        growing = self._growing(size)
        growing.sync()
        self.installation.spool.close_cut_clip(growing, Ending("storage-failed", growing.draft.started_at, 1500, 0))
        return growing.files.clip_id

    def _growing(self, size: int, *, ended_seconds_ago: float = 0.0) -> GrowingFile:
        sealed = seal_bytes(os.urandom(size), [RECIPIENT])
        now = datetime.now(UTC).replace(microsecond=0)
        clip_id = new_clip_id(now)
        start = Manifest(
            clip_id=clip_id,
            unit_id=self.installation.settings.unit_id,
            wearer="wearer-7",
            sequence=1,
            previous_manifest_sha256=None,
            started_at=now - timedelta(minutes=1),
            ended_at=None,
            clock=ClockQuality(last_sync=None, estimated_error_seconds=None),
            started_monotonic_seconds=max(0.0, time.monotonic() - 60 - ended_seconds_ago),
            boot_id=self.installation.facts.boot_id,
            pre_record_seconds=3.0,
            frames_written=None,
            frames_lost=None,
            has_audio=False,
            mute_spans=(),
            markers=(),
            complete=False,
            ended_by="power-lost",
            policy_id="test",
            policy_sha256="0" * 64,
            recipients=(str(RECIPIENT),),
            ciphertext_bytes=0,
            ciphertext_sha256=hashlib.sha256().hexdigest(),
            software="mirrorcam test",
        )
        growing = self.installation.spool.open_clip(start)
        growing.write(sealed)
        return growing

    def waiting(self) -> list[str]:
        return [clip.clip_id for clip in self.installation.spool.waiting()]

    def files(self) -> set[str]:
        """Return the names of what is in the spool's folder."""
        return {path.name for path in self.installation.folder.data.iterdir()}

    def offload(self, steps: Steps | None = None) -> Steps:
        """Hand over what waits, and return the steps of it; raises as the offload does."""
        steps = steps or Steps()
        Offload(self.installation).run(steps, threading.Event())
        return steps
