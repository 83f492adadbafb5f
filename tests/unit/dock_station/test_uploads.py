"""Uploads over time: they outlive the dock's process, expire when nothing comes, and never meet under one name."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dock_station.bays.uploads import KEPT_FOR, PIECE, UploadCutError, Uploads
from dock_station.clock import utc_now
from evidence.docking import RefusalCode
from tests.dock import PATIENCE, RunningDock, running, running_dock, set_up, until
from tests.pki import Pki


@dataclass
class Time:
    """A dock's clock that a test moves on."""

    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return utc_now() + self.ahead


@contextmanager
def at(tmp_path: Path, time: Time) -> Iterator[RunningDock]:
    with running_dock(tmp_path, clock=time.now) as dock:
        yield dock


def test_an_upload_outlives_the_docks_process(tmp_path: Path) -> None:
    pki = Pki()
    folder = set_up(tmp_path / "dock", pki)
    with running(folder, pki) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        location = unit.begin(clip)
        unit.append(location, 0, clip.sealed[:1000])
    with running(folder, pki) as dock:
        unit = dock.visitor(camera.identity)
        assert unit.head(location).offset == 1000
        unit.append(location, 1000, clip.sealed[1000:])
        receipt = dock.receipt(unit.seal(clip))
    with running(folder, pki) as dock:
        assert dock.receipt(dock.visitor(camera.identity).seal(clip)) == receipt
        assert dock.is_stored(clip)


def test_an_upload_to_which_nothing_came_for_a_week_is_gone_and_its_bytes_with_the_next_one(tmp_path: Path) -> None:
    time = Time()
    with at(tmp_path, time) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        location = unit.begin(clip)
        unit.append(location, 0, clip.sealed[:1000])
        time.ahead = KEPT_FOR + timedelta(minutes=1)
        assert "create it anew" in unit.append(location, 1000, clip.sealed[1000:]).refuses(410, RefusalCode.GONE)
        assert unit.head(location).status == 410
        other = camera.clip()
        unit.begin(other)
        assert [upload.clip_id for upload in dock.uploads()] == [other.clip_id]
        assert dock.vault_files() == []


def test_each_piece_keeps_an_upload_for_another_week(tmp_path: Path) -> None:
    time = Time()
    with at(tmp_path, time) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        location = unit.begin(clip)
        for offset in (0, 1000, 2000):
            time.ahead += KEPT_FOR - timedelta(hours=1)
            assert unit.append(location, offset, clip.sealed[offset : offset + 1000]).status == 204


def test_an_expired_upload_of_a_clip_can_be_begun_anew(tmp_path: Path) -> None:
    time = Time()
    with at(tmp_path, time) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        unit.append(unit.begin(clip), 0, clip.sealed[:1000])
        time.ahead = KEPT_FOR + timedelta(minutes=1)
        dock.receipt(unit.bring(clip))
        assert dock.is_stored(clip)


def test_an_upload_whose_bytes_the_disk_lost_is_gone_and_can_be_begun_anew(tmp_path: Path) -> None:
    with running_dock(tmp_path) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        location = unit.begin(clip)
        unit.append(location, 0, clip.sealed[:1000])
        for part in dock.dock.folder.vault.glob("incoming/*"):
            part.unlink()
        sentence = unit.append(location, 1000, clip.sealed[1000:]).refuses(410, RefusalCode.GONE)
        assert "lost a part" in sentence
        dock.receipt(unit.bring(clip))


def test_a_clip_that_is_begun_many_times_at_once_has_one_upload(tmp_path: Path) -> None:
    with running_dock(tmp_path) as dock:
        camera, _ = dock.unit()
        clip = camera.clip()
        visitors = [dock.visitor(camera.identity) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda visitor: visitor.create(clip.clip_id, len(clip.sealed)), visitors))
        assert {answer.status for answer in answers} <= {201, 423}
        assert len(dock.uploads()) == 1
        unit = visitors[0]
        dock.receipt(unit.bring(clip))


def test_a_clip_that_is_sealed_many_times_at_once_is_kept_once(tmp_path: Path) -> None:
    with running_dock(tmp_path) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        unit.upload(clip)
        visitors = [dock.visitor(camera.identity) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda visitor: visitor.seal(clip), visitors))
        assert {answer.status for answer in answers} <= {200, 409}
        assert 200 in {answer.status for answer in answers}
        assert dock.log() == [("clip-accepted", f"clip:{clip.clip_id}")]
        assert dock.is_stored(clip)
        dock.receipt(unit.seal(clip))


class SlowBody:
    """A client that sent a piece and then nothing, until it is told to stop."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._stopped = threading.Event()

    def readinto(self, buffer: memoryview) -> int:
        if self._start:
            size = len(self._start)
            buffer[:size], self._start = self._start, b""
            return size
        if not self._stopped.wait(PATIENCE):
            raise TimeoutError
        raise ConnectionAbortedError

    def stop(self) -> None:
        self._stopped.set()


def test_whoever_asks_for_the_state_waits_until_the_connection_before_has_kept_what_came(tmp_path: Path) -> None:
    with running_dock(tmp_path) as dock:
        uploads = Uploads(catalogue=dock.dock.catalogue, vault=dock.dock.vault, clock=dock.dock.clock)
        upload = uploads.create("unit-1", "019344a0-1111-7abc-8def-0123456789ab", length=PIECE, metadata="")
        body = SlowBody(b"x" * 1000)

        def receive() -> None:
            with pytest.raises(UploadCutError):
                uploads.append("unit-1", upload.upload_id, offset=0, length=PIECE, body=body, checksum=None)

        thread = threading.Thread(target=receive)
        thread.start()
        until(lambda: any(name.endswith(".part") for name in dock.vault_files()))
        assert uploads.status("unit-1", upload.upload_id).offset_bytes == 1000
        thread.join()
