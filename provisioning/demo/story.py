"""The eight steps of docs/design.md §1, told by really doing them: each returns what it found, or says what broke."""

import hashlib
import io
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
from cryptography import x509

from evidence import manifest as manifests
from evidence.errors import MirrorcamError
from evidence.manifest import Manifest
from evidence.signature import verify
from provisioning.demo.processes import Program, run
from provisioning.demo.reviewer import Reviewer
from provisioning.demo.stage import REVIEWER, Stage
from provisioning.demo.town import open_dock, provision, unit_arguments

STANDBY_SECONDS = 4.0
RECORD_SECONDS = 3.0
WAIT_AFTER_WRONG_SECONDS = 1.5  # the opener lets nobody try again at once
# What a sealed file must not hold: the boxes of MP4 (ISO 14496-12) and an H.264 start code with an SPS or an IDR
# picture behind it (ISO 14496-10 Annex B). Four random bytes meet by chance, so longer patterns are looked for.
IN_THE_CLEAR = (b"ftypiso", b"moovmvhd", b"moof\x00\x00", b"\x00\x00\x00\x01\x67", b"\x00\x00\x00\x01\x65")


class StepBrokenError(MirrorcamError):
    """Something that a step promises does not hold."""


@dataclass(frozen=True)
class Told:
    """One step as it went: its facts, or the sentence that says why it did not hold."""

    number: int
    title: str
    holds: bool
    seconds: float
    facts: tuple[str, ...]


@dataclass
class Story:
    """The demo's programs and what one step leaves for the next."""

    stage: Stage
    camera: str
    ends: ExitStack = field(default_factory=ExitStack)

    _unit: Program | None = None
    _manifest: Manifest | None = None
    _clip_id: str = ""

    def tell(self) -> Iterator[Told]:
        """Do one step after the other; after one that does not hold, no more. All programs have ended at the end."""
        steps: tuple[tuple[str, Callable[[], tuple[str, ...]]], ...] = (
            ("Provision", self._provision),
            ("Standby", self._standby),
            ("Touch", self._touch),
            ("Record", self._record),
            ("Stop", self._stop),
            ("Dock", self._dock),
            ("Keep or delete", self._keep),
            ("View", self._view),
        )
        with self.ends:
            for number, (title, step) in enumerate(steps, start=1):
                began = time.monotonic()
                try:
                    facts, holds = step(), True
                except (MirrorcamError, OSError) as error:
                    facts, holds = (str(error),), False
                yield Told(number, title, holds, time.monotonic() - began, facts)
                if not holds:
                    return

    @property
    def _running_unit(self) -> Program:
        if self._unit is None:
            raise StepBrokenError("The unit has not been started.")
        return self._unit

    @property
    def _stated(self) -> Manifest:
        if self._manifest is None:
            raise StepBrokenError("No clip has been closed.")
        return self._manifest

    def _provision(self) -> tuple[str, ...]:
        provision(self.stage)
        keys = [path for path in self.stage.path.rglob("*.key") if path.is_file()]
        _require(all(path.stat().st_mode & 0o077 == 0 for path in keys), "A private key can be read by others.")
        slots = sorted(path.name for path in self.stage.dock.keyslots.iterdir())
        dock = open_dock(self.stage)
        self.ends.callback(dock.end)
        return (
            f"{len(keys)} private keys, each made where it is used, mode 0600",
            f"the station key exists only under the reviewer's passphrase: {', '.join(slots)}",
            f"the dock listens at {self.stage.pages_url} (people) and {self.stage.bays_url} (units)",
        )

    def _standby(self) -> tuple[str, ...]:
        self._unit = Program(
            "mirrorcam-unit",
            *unit_arguments(self.stage, self.camera),
            "--touches-from-stdin",
            log=self.stage.path / "unit.log",
            hears=subprocess.PIPE,
        )
        self.ends.callback(self._unit.end)
        self._unit.wait_for("standby")
        before = _contents(self.stage.unit.data)
        time.sleep(STANDBY_SECONDS)
        _require(_contents(self.stage.unit.data) == before, "Something was written in standby.")
        return (
            f"{STANDBY_SECONDS:.0f} s in standby: the camera runs, the screen is dark",
            f"written to storage meanwhile: 0 bytes ({len(before)} files, as before)",
        )

    def _touch(self) -> tuple[str, ...]:
        self._running_unit.say("touch")
        started = self._running_unit.wait_for("recording_started")
        self._clip_id = str(started["clip_id"])
        durable = self._running_unit.wait_for("first_durable", clip_id=self._clip_id)
        pre_record = float(started["pre_record_seconds"])
        _require(pre_record > 0, "Nothing from before the touch is in the clip.")
        return (
            f"clip {self._clip_id}",
            f"{pre_record:.1f} s from before the touch are in it",
            f"its first sealed bytes were durable {durable['ms']} ms after the touch",
        )

    def _record(self) -> tuple[str, ...]:
        growing = self.stage.unit.data / f"{self._clip_id}.mp4.age.part"
        first = growing.stat().st_size
        time.sleep(RECORD_SECONDS)
        content = growing.read_bytes()
        _require(len(content) > first, "The clip does not grow.")
        _require(content.startswith(b"age-encryption.org/v1\n"), "The clip is not in the age format.")
        _require(not _in_the_clear(content), "There is video in the clear on the storage.")
        return (
            f"{growing.name} grew from {first:,} to {len(content):,} bytes in {RECORD_SECONDS:.0f} s",
            "only ciphertext is there: no MP4 box, no H.264 start code",
        )

    def _stop(self) -> tuple[str, ...]:
        self._running_unit.say("hold 2.2")
        ended = self._running_unit.wait_for("recording_ended", clip_id=self._clip_id)
        content = (self.stage.unit.data / f"{self._clip_id}.json").read_bytes()
        signature = (self.stage.unit.data / f"{self._clip_id}.json.sig").read_bytes()
        certificate = x509.load_pem_x509_certificate(self.stage.unit.certificate_file.read_bytes())
        verify(content, signature, certificate, "manifest")
        self._manifest = manifests.decode(content)
        _require(self._stated.ended_by == "wearer" and self._stated.complete, "The clip did not end by the hold.")
        return (
            f"a two-second hold ended it: {self._stated.frames_written} frames, {_lost(self._stated.frames_lost)}",
            f"{'with' if self._stated.has_audio else 'without'} sound, as the policy has it",
            f"{ended['bytes']:,} bytes sealed, SHA-256 {self._stated.ciphertext_sha256}",
            f"{self._clip_id}.json signed by the unit: the signature is good",
        )

    def _dock(self) -> tuple[str, ...]:
        self._running_unit.say("dock")
        uploaded = self._running_unit.wait_for("uploaded", clip_id=self._clip_id)
        receipt = self._running_unit.wait_for("receipt", clip_id=self._clip_id)
        self._running_unit.wait_for("deleted", clip_id=self._clip_id)
        self._running_unit.wait_for("offloaded")
        stored = self.stage.dock.vault / "clips" / f"{self._clip_id}.mp4.age"
        digest = hashlib.sha256(stored.read_bytes()).hexdigest()
        left = [path.name for path in self.stage.unit.data.iterdir() if path.name.startswith(self._clip_id)]
        _require(digest == self._stated.ciphertext_sha256, "The dock's copy is not the unit's clip.")
        _require(receipt["sha256"] == digest, "The receipt speaks of another clip.")
        _require(not left, f"The unit still has {', '.join(left)}.")
        return (
            f"{uploaded['bytes']:,} bytes over TLS 1.3, each side with its certificate",
            f"receipt signed by {receipt['dock_id']} for SHA-256 {digest[:16]}…, the digest of the dock's copy",
            "only then deleted: the unit has no file of it any more",
        )

    def _keep(self) -> tuple[str, ...]:
        review = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
        with Reviewer(self.stage) as reviewer:
            reviewer.sign_in(REVIEWER, self.stage.secrets.password)
            reviewer.hold(self._clip_id, case="DEMO-1", reason="invented, for the demo", review=review)
        dock = str(self.stage.dock.path)
        ran = run("mirrorcam-dock", "retention", "--once", "--folder", dock)
        (self.stage.path / "retention.log").write_text(ran, encoding="utf-8")
        stored = self.stage.dock.vault / "clips" / f"{self._clip_id}.mp4.age"
        _require(stored.exists(), "Retention deleted a clip that is held and not due.")
        log = run("mirrorcam-dock", "custody", "verify", "--folder", dock).strip().splitlines()
        return (
            f"held for case DEMO-1, to be looked at again on {review}",
            "retention ran: the clip is kept",
            f"custody log: {log[-1] if log else 'verified'}",
        )

    def _view(self) -> tuple[str, ...]:
        with Reviewer(self.stage) as reviewer:
            reviewer.sign_in(REVIEWER, self.stage.secrets.password)
            _require(self._clip_id in reviewer.page("/clips"), "The dock's page does not show the clip.")
            _require(reviewer.media_status(self._clip_id) == 403, "The clip plays before anyone typed a passphrase.")
            refused = not reviewer.unlock(self._clip_id, "not-the-passphrase")
            _require(refused, "A wrong passphrase opens the clip.")
            time.sleep(WAIT_AFTER_WRONG_SECONDS)
            _require(reviewer.unlock(self._clip_id, self.stage.secrets.passphrase), "The passphrase does not open it.")
            content = reviewer.download(self._clip_id)
        _require(content[4:8] == b"ftyp", "What plays is not MP4.")
        frames, seconds = _decoded(content)
        _require(frames == self._stated.frames_written, f"{frames} of {self._stated.frames_written} frames play.")
        return (
            "closed before the passphrase, and closed to a wrong one",
            f"opened in memory as it plays: {len(content):,} bytes of MP4, {frames} frames, {seconds:.1f} s",
            f"every frame that the unit wrote is there: {self.stage.pages_url}/clips/{self._clip_id}",
        )


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 – this is what it asks
    if not holds:
        raise StepBrokenError(otherwise)


def _lost(frames: int | None) -> str:
    return f"{frames} lost, for this computer is busy: the manifest says so" if frames else "none lost"


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of each file in a folder."""
    found = {path: path.stat() for path in folder.iterdir()} if folder.is_dir() else {}
    return {path.name: (status.st_size, status.st_mtime_ns) for path, status in found.items()}


def _in_the_clear(content: bytes) -> bool:
    return any(pattern in content for pattern in IN_THE_CLEAR)


def _decoded(content: bytes) -> tuple[int, float]:
    """Decode a film's pictures; return how many there are, and how long they last."""
    with av.open(io.BytesIO(content), mode="r") as film:
        times = [frame.time or 0.0 for frame in film.decode(video=0)]
    return len(times), max(times) - min(times) if times else 0.0
