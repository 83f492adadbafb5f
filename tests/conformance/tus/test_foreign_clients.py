"""Two tus clients that we did not write, tuspy and tus-js-client, bring clips to the dock over mutual TLS."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from evidence.docking import UPLOADS_PATH
from tests.dock import PATIENCE, Camera, RunningDock, SealedClip, Visitor, running_dock

SCRIPT = Path(__file__).parents[1] / "tus_upload.mjs"
SIZE = 3 << 20
PIECE = 700_000


@dataclass
class Unit:
    """A unit whose clip lies in a file, for programs that want files."""

    dock: RunningDock
    camera: Camera
    visitor: Visitor
    clip: SealedClip
    file: Path
    authority: Path
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = self.dock.port

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.port}{UPLOADS_PATH}"

    @property
    def metadata(self) -> dict[str, str]:
        return {"clip_id": self.clip.clip_id, "filename": self.file.name}

    def tuspy(self, **wanted: Any) -> Any:
        """Return tuspy's Uploader of the clip (its types are not those that it has)."""
        certificate, key = self.dock.files(self.camera.identity)
        client = TusClient(self.endpoint, client_cert=(str(certificate), str(key)))
        return client.uploader(str(self.file), metadata=self.metadata, **wanted)

    def tus_js(self, **wanted: Any) -> dict[str, Any]:
        """Let tus-js-client upload the clip, and return what it says of it."""
        program = shutil.which("node")
        assert program
        certificate, key = self.dock.files(self.camera.identity)
        job = {
            "endpoint": self.endpoint,
            "file": str(self.file),
            "metadata": self.metadata,
            "certificate": str(certificate),
            "key": str(key),
            "authority": str(self.authority),
            "retryDelays": None,
            **wanted,
        }
        done = subprocess.run(
            [program, str(SCRIPT)], input=json.dumps(job).encode(), capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def check_kept(self) -> None:
        """Seal the clip, and check that the dock has it byte for byte."""
        self.dock.receipt(self.visitor.seal(self.clip))
        assert self.dock.is_stored(self.clip)

    @contextmanager
    def cable_that_is_cut(self, after: int) -> Iterator[None]:
        """Go to the dock through a cable whose second connection (the first piece) is cut after so many bytes."""
        with socket.create_server(("localhost", 0), family=socket.AF_INET) as door:
            self.port = door.getsockname()[1]
            thread = threading.Thread(target=_carry, args=(door, self.dock.port, after))
            thread.start()
            try:
                yield
            finally:
                self.port = self.dock.port
                with contextlib.suppress(OSError):
                    door.shutdown(socket.SHUT_RDWR)
                thread.join()


def _carry(door: socket.socket, port: int, cut_after: int) -> None:
    threads = []
    with contextlib.suppress(OSError):
        for number in range(1, 100):
            near, _ = door.accept()
            far = socket.create_connection(("localhost", port))
            limit = cut_after if number == 2 else None
            for source, target, most in ((near, far, limit), (far, near, None)):
                threads.append(threading.Thread(target=_pump, args=(source, target, most)))
                threads[-1].start()
    for thread in threads:
        thread.join()


def _pump(source: socket.socket, target: socket.socket, most: int | None) -> None:
    carried = 0
    with contextlib.suppress(OSError):
        while (most is None or carried < most) and (piece := source.recv(16_384)):
            target.sendall(piece)
            carried += len(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    with running_dock(tmp_path) as dock:
        camera, visitor = dock.unit()
        clip = camera.clip(SIZE)
        file = tmp_path / f"{clip.clip_id}.mp4.age"
        file.write_bytes(clip.sealed)
        authority = dock.dock.folder.authority_file
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
        yield Unit(dock, camera, visitor, clip, file, authority)


def test_tuspy_brings_a_clip_in_one_piece(unit: Unit) -> None:
    unit.tuspy().upload()
    unit.check_kept()


def test_tuspy_brings_a_clip_in_pieces_with_checksums(unit: Unit) -> None:
    unit.tuspy(chunk_size=PIECE, upload_checksum=True).upload()
    unit.check_kept()


def test_tuspy_goes_on_where_another_run_of_it_stopped(unit: Unit) -> None:
    first = unit.tuspy(chunk_size=PIECE)
    first.upload(stop_at=PIECE)
    second = unit.tuspy(url=first.url)
    assert second.offset == PIECE
    second.upload()
    unit.check_kept()


def test_tuspy_goes_on_by_itself_when_the_cable_is_cut(unit: Unit) -> None:
    with unit.cable_that_is_cut(after=SIZE // 2):
        uploader = unit.tuspy(retries=3, retry_delay=0)
        uploader.upload()
    assert uploader.offset == len(unit.clip.sealed)
    unit.check_kept()


def test_tuspy_is_told_when_a_clip_is_here_already(unit: Unit) -> None:
    unit.tuspy().upload()
    unit.check_kept()
    with pytest.raises(TusCommunicationError) as refusal:
        unit.tuspy().upload()
    assert refusal.value.status_code == 409
    assert b"ask for its receipt" in refusal.value.response_content


def test_tuspy_is_told_when_its_upload_is_gone(unit: Unit) -> None:
    uploader = unit.tuspy(chunk_size=PIECE)
    uploader.upload_chunk()
    unit.visitor.ask("DELETE", uploader.url.split(str(unit.port), 1)[1])
    with pytest.raises(TusUploadFailed) as refusal:
        uploader.upload_chunk()
    assert refusal.value.status_code == 404


def test_tus_js_client_brings_a_clip_in_one_piece(unit: Unit) -> None:
    answer = unit.tus_js()
    assert (answer["error"], answer["offsets"]) == (None, [0])
    unit.check_kept()


def test_tus_js_client_brings_a_clip_in_pieces(unit: Unit) -> None:
    answer = unit.tus_js(chunkSize=PIECE)
    assert answer["error"] is None
    assert answer["offsets"] == list(range(0, len(unit.clip.sealed), PIECE))
    unit.check_kept()


def test_tus_js_client_goes_on_where_another_run_of_it_stopped(unit: Unit) -> None:
    first = unit.tus_js(chunkSize=PIECE, stopAfter=2 * PIECE)
    assert unit.dock.uploads()[0].offset_bytes >= 2 * PIECE
    second = unit.tus_js(uploadUrl=first["url"])
    assert second["error"] is None
    assert len(second["offsets"]) == 1
    assert second["offsets"][0] >= 2 * PIECE
    unit.check_kept()


def test_tus_js_client_goes_on_by_itself_when_the_cable_is_cut(unit: Unit) -> None:
    with unit.cable_that_is_cut(after=SIZE // 2):
        answer = unit.tus_js(retryDelays=[0, 100, 500])
    assert answer["error"] is None
    assert answer["offsets"][0] == 0
    assert 0 < answer["offsets"][-1] < SIZE
    unit.check_kept()


def test_tus_js_client_is_told_when_a_clip_is_here_already(unit: Unit) -> None:
    unit.tus_js()
    unit.check_kept()
    assert "ask for its receipt" in unit.tus_js()["error"]
