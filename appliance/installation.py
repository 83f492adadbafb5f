"""What a unit is when it is switched on: its enrolment, its clock, its spool, read once for every command."""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from appliance.clock import Clock
from appliance.recovered import BrokenOff, Recovered
from appliance.settings import NotEnrolledError, UnitFolder, UnitSettings
from appliance.spool import Spool
from appliance.updates.running import running
from appliance.writing.thread import UnitFacts
from evidence.certificates import Authority
from evidence.errors import EnvironmentalError
from evidence.release import ReleaseFileError
from evidence.signature import Signer
from evidence.strict import SchemaError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A service or a camera that died is back within seconds; after longer than this the wearer has noticed that it is off.
GO_ON_SECONDS = 60.0


def software() -> str:
    """Return what the unit calls its software: its image's release, or without a good one the version."""
    with suppress(ReleaseFileError):
        if (installed := running()) is not None:
            return installed.release.software
    return f"mirrorcam {version('mirrorcam')}"


class UnitRunsError(EnvironmentalError):
    """Another process is at work in the unit's folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Another mirrorcam-unit is at work in {path}: end it first, or dock with it.")


@dataclass(frozen=True)
class Installation:
    """One unit's folder, read: nothing in it changes while the unit runs but the policy and the spool's clips."""

    folder: UnitFolder
    settings: UnitSettings
    authority: Authority
    signer: Signer
    clock: Clock
    spool: Spool
    facts: UnitFacts

    @classmethod
    def open(cls, path: Path) -> "Installation":
        """Read the unit in the folder `path`.

        Raises NotEnrolledError, SchemaError, CertificateFileError, SigningKeyError, SpoolDamagedError or OSError.
        """
        folder = UnitFolder(path)
        settings = folder.settings()
        for file in (folder.key_file, folder.certificate_file, folder.authority_file):
            if not file.exists():
                raise NotEnrolledError(file)
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        signer = folder.signer()
        return cls(
            folder=folder,
            settings=settings,
            authority=folder.authority(),
            signer=signer,
            clock=Clock(
                now=lambda: datetime.now(UTC),
                monotonic=time.monotonic,
                boot_id=boot_id,
                memory=folder.data / "clock.json",
            ),
            spool=Spool(folder.data, signer, reserve_minutes=settings.storage_reserve_minutes),
            facts=UnitFacts(settings.unit_id, software(), boot_id),
        )

    def clip_to_go_on(self, recovered: Sequence[Recovered]) -> str | None:
        """Return the clip of which its wearer must believe that it still records, None where there is none.

        It is one that broke off in this boot, a short time ago, by a crash; or by a camera's failure, for which the
        process before made way for this one. Where the system's clock was set forward while it ran, it is taken to have
        broken off just now: recording for nothing is heard, and not recording is not.
        """
        cut = [each.clip_id for each in recovered if self._is_to_go_on(each.broken_off)]
        return cut[-1] if cut else self._clip_that_its_camera_failed()

    def recover(self) -> tuple[Recovered, ...]:
        """Find what a power cut left undone, as the spool does; for who works here `exclusively`. Raises OSError."""
        # A policy that has arrived is in force all the same; one that cannot be read is told where it is to be used,
        # and the next docking can bring another.
        with suppress(OSError, SchemaError):
            self.folder.settle_policy()
        return self.spool.recover()

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Be the only process that records here or hands over; raises UnitRunsError. A crash lets go as well."""
        descriptor = os.open(self.folder.data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def is_at_work(self) -> bool:
        """Tell whether a process records here or hands over."""
        try:
            with self.exclusively():
                return False
        except UnitRunsError:
            return True

    def _is_to_go_on(self, broken_off: BrokenOff | None) -> bool:
        if broken_off is None or broken_off.boot_id != self.facts.boot_id:
            return False
        return self.clock.monotonic() - broken_off.monotonic <= GO_ON_SECONDS

    def _clip_that_its_camera_failed(self) -> str | None:
        newest = self.spool.newest_ended()
        if newest is None or newest.ended_by != "camera-failed" or newest.ended_at is None:
            return None
        length = max(0.0, (newest.ended_at - newest.started_at).total_seconds())
        ended = BrokenOff(newest.boot_id, newest.started_monotonic_seconds + length)
        return newest.clip_id if self._is_to_go_on(ended) else None

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnitRunsError(self.folder.path) from error
