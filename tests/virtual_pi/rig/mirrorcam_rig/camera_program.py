"""Runs our camera by itself in the virtual machine, and says as JSON lines what it did.

`restarts` starts and stops it five times; `silence` takes its pictures away and gives them back; `key-frames` asks for
one in the middle of a group of pictures.
"""

import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.camera import CameraError, Packet
from appliance.cameras.picamera2 import Picamera2Camera
from appliance.settings import UnitSettings

from .switches import FOLDER

_PATIENCE = 60.0
_RELEASE_SECONDS = 10.0


class Heard:
    """What the camera has said."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.failures: list[tuple[float, str]] = []
        self._news = threading.Condition()

    def packet(self, packet: Packet) -> None:
        with self._news:
            self.packets.append(packet)
            self._news.notify_all()

    def failure(self, error: CameraError) -> None:
        with self._news:
            self.failures.append((time.monotonic(), str(error)))
            self._news.notify_all()

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self._news:
            if not self._news.wait_for(what, _PATIENCE):
                raise TimeoutError(f"{len(self.packets)} packets, {self.failures}")


def restarts(camera: Picamera2Camera) -> None:
    for _ in range(5):
        heard = Heard()
        camera.start(heard.packet, heard.failure)
        heard.wait_for(lambda heard=heard: len(heard.packets) >= 5)  # type: ignore[misc]
        camera.stop()
        count = len(heard.packets)
        wait_for_release()
        say(
            threads=sorted(thread.name for thread in threading.enumerate()),
            tasks=sorted((task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()),
            descriptors=descriptors(),
            failures=heard.failures,
            numbers=[packet.sequence for packet in heard.packets],
            after_stop=len(heard.packets) - count,
        )


def wait_for_release() -> None:
    """Return when the camera's buffers are gone, or when they have not gone for long.

    picamera2's objects know each other, and a busy processor gives a camera back later than its stop waits for it: what
    only waits for the collector, or for that, is no leak.
    """
    deadline = time.monotonic() + _RELEASE_SECONDS
    while time.monotonic() < deadline:
        gc.collect()
        if not any("dmabuf" in name for name in descriptors()):
            return
        time.sleep(0.2)


def descriptors() -> list[str]:
    """Return what the process has open."""
    return sorted(str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


def silence(camera: Picamera2Camera) -> None:
    heard = Heard()
    camera.start(heard.packet, heard.failure)
    heard.wait_for(lambda: len(heard.packets) >= 5)
    (FOLDER / "dark").touch()
    heard.wait_for(lambda: bool(heard.failures))
    failed_at, sentence = heard.failures[0]
    last_us = heard.packets[-1].time_us
    camera.stop()
    (FOLDER / "dark").unlink()
    again = Heard()
    camera.start(again.packet, again.failure)
    again.wait_for(lambda: len(again.packets) >= 5)
    camera.stop()
    say(
        sentence=sentence,
        told=len(heard.failures),
        seconds=failed_at - last_us / 1e6,
        numbers_before=[packet.sequence for packet in heard.packets],
        numbers_after=[packet.sequence for packet in again.packets],
        failures_after=again.failures,
    )


def key_frames(camera: Picamera2Camera) -> None:
    heard = Heard()
    camera.start(heard.packet, heard.failure)
    heard.wait_for(lambda: len(keys(heard)) >= 2 and not heard.packets[-1].is_key)
    asked_after = heard.packets[-1].sequence
    camera.request_key_frame()
    known = len(keys(heard))
    heard.wait_for(lambda: len(keys(heard)) >= known + 2)
    camera.stop()
    say(
        asked_after=asked_after,
        packets=[(packet.sequence, packet.is_key, bytes(packet.data).hex()) for packet in heard.packets],
    )


def keys(heard: Heard) -> list[int]:
    return [packet.sequence for packet in heard.packets if packet.is_key]


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Arguments: what to do, width, height, rate."""
    what, width, height, rate = sys.argv[1:]
    settings = UnitSettings(
        unit_id="unit-1",
        dock_url="https://dock",
        video_width=int(width),
        video_height=int(height),
        frames_per_second=int(rate),
        video_bits_per_second=1_000_000,
    )
    {"restarts": restarts, "silence": silence, "key-frames": key_frames}[what](Picamera2Camera(settings))


if __name__ == "__main__":
    main()
