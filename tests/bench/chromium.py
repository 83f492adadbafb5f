"""What a real Chromium reads of a clip of full size on the dock's own page: when it opens it, and when it jumps."""

import hashlib
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

from dock_station.clock import utc_now
from tests.browser.conftest import CHROMIUM, QUIET, Visit
from tests.browser.town import Town
from tests.dock import Camera, until

PIECE = 64 << 20  # bytes to one request of the upload
JUMP_TO = 0.7  # of the clip
OPENED = "document.querySelector('video').readyState >= 1"
JUMP = """(part) => new Promise((resolve) => {
  const player = document.querySelector("video");
  player.addEventListener("seeked", resolve, {once: true});
  player.currentTime = part * player.duration;
})"""


@dataclass(frozen=True)
class Reading:
    """Bytes and requests of the clip: until Chromium has opened it and is quiet, and until it has jumped."""

    begin_bytes: int
    begin_requests: int
    jump_bytes: int


def read_by_chromium(town: Town, sealed_file: Path, duration: timedelta) -> Reading:
    """Let a unit bring the clip, and a reviewer open it and jump in it, without playing it."""
    clip_id = _bring(town, sealed_file, duration)
    with town.pages() as address, _visit(address) as visit:
        visit.sign_in()
        visit.open_clip(clip_id)
        until(lambda: bool(visit.page.evaluate(OPENED)))
        visit.page.wait_for_load_state("networkidle")
        begin_bytes, begin_requests = visit.media_bytes(), len(visit.media)
        visit.page.evaluate(JUMP, JUMP_TO)
        return Reading(begin_bytes, begin_requests, visit.media_bytes() - begin_bytes)


def _bring(town: Town, sealed_file: Path, duration: timedelta) -> str:
    camera = Camera(town.running.pki.unit("unit-1"), "unit-1")
    visitor = town.running.visitor(camera.identity)
    started_at = utc_now().replace(microsecond=0) - duration
    with sealed_file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as sealed:
        clip = camera.clip(
            1,
            started_at=started_at,
            ended_at=started_at + duration,
            pre_record_seconds=0.0,
            recipients=(str(town.identity.recipient),),
            ciphertext_bytes=len(sealed),
            ciphertext_sha256=hashlib.sha256(sealed).hexdigest(),
        )
        location = visitor.create(clip.clip_id, len(sealed)).headers["location"]
        for start in range(0, len(sealed), PIECE):
            if visitor.append(location, start, sealed[start : start + PIECE]).status != 204:
                raise RuntimeError("the dock did not take the clip of the bench")
    if visitor.seal(clip).status != 200:
        raise RuntimeError("the dock did not take the manifest of the bench")
    return clip.clip_id


@contextmanager
def _visit(address: str) -> Iterator[Visit]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield Visit(browser.new_context(ignore_https_errors=True).new_page(), address)
        browser.close()
