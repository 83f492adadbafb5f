"""Real clips on disk for the tests of whoever reads them: recorded by the unit's own parts, with all that verifies."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import av

from appliance.spool import SpooledClip
from evidence.receipt import CustodyHead, Receipt, encode
from evidence.signature import Signed
from tests.pki import Identity
from tests.recording import PATIENCE, Unit, close_left, pictures


@dataclass(frozen=True)
class Case:
    """A folder as a verifier gets it: a unit's clips, the authority's and the unit's certificates, key files."""

    folder: Path
    unit: Unit
    signer: Identity
    clips: tuple[SpooledClip, ...]

    @property
    def authority(self) -> Path:
        return self.folder / "authority.crt"

    @property
    def key(self) -> Path:
        return self.folder / "key.txt"

    def receipt(self, clip: SpooledClip) -> Signed:
        """Return what a dock of this authority would answer."""
        stated = Receipt(
            dock_id="dock-1",
            unit_id=clip.manifest.unit_id,
            clip_id=clip.clip_id,
            manifest_sha256=hashlib.sha256(clip.manifest_file.read_bytes()).hexdigest(),
            ciphertext_bytes=clip.manifest.ciphertext_bytes,
            ciphertext_sha256=clip.manifest.ciphertext_sha256,
            stored_at=clip.manifest.started_at,
            custody=CustodyHead(entries=7, sha256="0f" * 32),
        )
        return self.unit.pki.dock_signer("dock-1").signer().signed(encode(stated))


def make_case(folder: Path, *, clips: int = 2, seconds: float = 2.0, recipients: tuple[str, ...] = ()) -> Case:
    """Record clips one after the other; sealed to an X25519 key, which every version of age opens, or to others."""
    folder.mkdir(parents=True, exist_ok=True)
    unit = Unit(folder)
    signer = unit.pki.unit("unit-1")
    unit.signer = signer.signer()
    spool = unit.spool()
    spool.recover()
    recorder = unit.recorder(spool, recipients=recipients or (str(unit.identity.recipient),))
    for _ in range(clips):
        recorder.begin(wearer="wearer-7")
        for packet in pictures(seconds, start_us=time.monotonic_ns() // 1000):
            recorder.push(packet)
        recorder.end("wearer")
        assert recorder.wait_closed(PATIENCE)
    assert recorder.shut_down(PATIENCE)
    (folder / "authority.crt").write_bytes(unit.pki.pem)
    (folder / "unit.crt").write_bytes(signer.certificate_pem)
    (folder / "revocations.pem").write_bytes(unit.pki.revocations_pem())
    (folder / "key.txt").write_text(f"# a key of this test\n{unit.identity.secret_text()}\n")
    return Case(folder, unit, signer, spool.waiting())


def cut_case(folder: Path) -> Case:
    """Record a clip, take the power away in the middle of it, and let the unit's next start close it."""
    case = make_case(folder / "first", clips=0)
    recorder = case.unit.recorder(case.unit.spool())
    recorder.begin(wearer="wearer-7")
    for packet in pictures(3, start_us=time.monotonic_ns() // 1000):
        recorder.push(packet)
    deadline = time.monotonic() + PATIENCE
    while not recorder.status().ciphertext_bytes and time.monotonic() < deadline:
        time.sleep(0.01)
    # What is on the medium at this moment is all that the next start finds.
    shutil.copytree(case.folder, folder / "after")
    recorder.shut_down(PATIENCE)
    after = Unit(folder / "after", case.unit.identity, case.unit.pki, case.signer.signer())
    spool = after.spool()
    spool.recover()
    close_left(spool)
    return Case(after.folder, after, case.signer, spool.waiting())


def call(*arguments: str | Path, stdin: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `mirrorcam-clip` as a process of its own."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "evidence.cli", *map(str, arguments)]
    # The project need not be installed: the root of the checkout is enough, wherever the command runs.
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    return subprocess.run(
        command, cwd=folder, input=stdin, text=True, capture_output=True, env=environment, check=False
    )


def open_it(sealed: Path, key: Path, output: Path | str, *more: str, stdin: str = "") -> tuple[int, str]:
    """Run `mirrorcam-clip open`, and give its exit code and what it complained of."""
    done = call("open", sealed, "--identity", key, "--output", output, *more, stdin=stdin)
    return done.returncode, done.stderr


def frames_before_the_cut(path: Path) -> int:
    """Count the pictures of a film whose end is missing."""
    frames = 0
    with av.open(str(path)) as film, contextlib.suppress(av.error.InvalidDataError):  # the last picture is half there
        for _ in film.decode(video=0):
            frames += 1
    return frames
