"""The unit in the virtual machine: enrolled on the host, run by hand, touched by lines; the host opens its clips."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from evidence.age import X25519Identity, open_bytes
from tests.pki import Pki, policy_toml
from tests.virtual_pi.machine import Machine
from tests.virtual_pi.stamps import Stamp, is_flashing, read_stamp
from tests.virtual_pi.talking import until
from tests.worn import enrol

PLACE = "/var/lib/mirrorcam"
_LOUD = 0.2  # the beeps have 0.6; before one the codec's own noise has less
PATIENCE = 120.0  # an emulated processor that others use too

Line = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A decoded picture of a clip: when it is shown, its stamp, and whether the flash is on it."""

    seconds: float
    stamp: Stamp | None
    is_flashing: bool


@dataclass(frozen=True)
class Clip:
    """An opened clip, and what the unit states of it."""

    stated: Line
    mp4: bytes

    def beeps(self) -> list[float]:
        """Return when each beep begins: where it is loud after half a second of silence."""
        beginnings, newest = [], -1.0
        for seconds in self._loud_moments():
            if seconds - newest > 0.5:
                beginnings.append(seconds)
            newest = seconds
        return beginnings

    def _loud_moments(self) -> Iterator[float]:
        with av.open(io.BytesIO(self.mp4), mode="r") as container:
            for frame in container.decode(audio=0):
                loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > _LOUD)
                yield from ((frame.time or 0.0) + float(sample) / frame.sample_rate for sample in loud)

    def pictures(self) -> list[Picture]:
        with av.open(io.BytesIO(self.mp4), mode="r") as container:
            return [_picture(frame) for frame in container.decode(video=0)]


@dataclass(frozen=True)
class Enrolled:
    """A unit's folder as the host made it, and the key that opens its clips."""

    identity: X25519Identity = field(default_factory=X25519Identity.generate)

    def enrol(self, folder: Path, *, policy: str = "", settings: str = "") -> None:
        """Set a unit up in `folder`."""
        signed = policy_toml(recipients=(str(self.identity.recipient),)) + policy
        enrol(folder, Pki(), "https://localhost", policy=signed, settings=settings)

    def clip(self, unit: "UnitInside", ended: Line) -> Clip:
        """Open the clip that the log's line is about."""
        sealed = unit.machine.read(f"{PLACE}/{unit.folder}/data/{ended['clip_id']}.mp4.age")
        return Clip(ended, open_bytes(sealed, [self.identity]))


@dataclass(frozen=True)
class UnitInside:
    """A running `mirrorcam-unit run`."""

    machine: Machine
    folder: str

    def say(self, line: str) -> float:
        """Do what a wearer would do; return the machine's monotonic clock just before."""
        clock = "python3 -c 'import time; print(time.monotonic())'"
        return float(self.machine.run(f"{clock} && echo '{line}' > /run/touches"))

    @property
    def lines(self) -> list[Line]:
        content = self.machine.read("/run/unit.log").decode()
        return [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, event: str, *, count: int = 1) -> Line:
        """Return the line of this event, once it has come `count` times."""

        def found() -> Line | None:
            lines = [line for line in self.lines if line["event"] == event]
            return lines[count - 1] if len(lines) >= count else None

        try:
            return dict(until(found, seconds=PATIENCE, what=f"the unit's {event}", pause=0.3))
        except TimeoutError as error:
            errors = self.machine.read("/run/unit.err").decode(errors="replace")
            raise AssertionError(f"{error} {self.lines} {errors[-3000:]}") from error


@contextmanager
def running_unit(machine: Machine, *options: str, folder: str = "unit") -> Iterator[UnitInside]:
    """Run the unit of the data disk as long as the block runs; its own tones are not played."""
    command = " ".join(
        [
            "env SDL_AUDIODRIVER=dummy PYTHONPATH=/opt/mirrorcam/rig /opt/mirrorcam/bin/mirrorcam-unit run",
            f"--folder {PLACE}/{folder}",
            *options,
        ]
    )
    machine.run(
        f"rm -f /run/touches /run/unit.* /run/mirrorcam-rig/*; mkfifo /run/touches\n"
        # The shell holds the pipe open for writing, or the unit would read its end after the first line.
        f"(exec 3<>/run/touches; echo $BASHPID > /run/unit.pid; exec {command} --headless --touches-from-stdin"
        " <&3 >/run/unit.log 2>/run/unit.err) &"
    )
    unit = UnitInside(machine, folder)
    try:
        yield unit
    finally:
        machine.try_run(
            "pid=$(cat /run/unit.pid); kill $pid; for i in $(seq 100); do [ -d /proc/$pid ] || exit 0; sleep 0.1; done;"
            " kill -9 $pid"
        )


def _picture(frame: av.VideoFrame) -> Picture:
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : frame.width]
    return Picture(frame.time or 0.0, read_stamp(luma), is_flashing(luma))
