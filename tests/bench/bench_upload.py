"""Uploading over mutual TLS into the vault, with digest and fdatasync, against bare TLS and SHA-256 to a file."""

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from dock_station.serving.tls import bays_context
from evidence.docking import SEAL_PATH
from tests.bench.rows import Row
from tests.bench.sender import Job
from tests.dock import Camera, RunningDock, SealedClip, Visitor, patch_head, running_dock

ROUNDS = 7
SIZE_ALONE = 256 << 20
SIZE_OF_EIGHT = 64 << 20
MANY = 8
PIECE = 1 << 20
PATIENCE = 120


def measure() -> list[Row]:
    """Measure everything on the disk that temporary files are on."""
    with tempfile.TemporaryDirectory() as folder, running_dock(Path(folder)) as dock, BareServer(dock) as bare:
        bench = Bench(Path(folder), dock, bare)
        return [*bench.rows("one client", 1, SIZE_ALONE), *bench.rows("eight clients", MANY, SIZE_OF_EIGHT)]


class Bench:
    """A dock and a bare server in this process, and clients in others that send the same bytes to both."""

    def __init__(self, folder: Path, dock: RunningDock, bare: "BareServer") -> None:
        self._folder = folder
        self._dock = dock
        self._bare = bare
        self._units = [Unit(*dock.unit(f"unit-{number}")) for number in range(MANY)]
        self._ciphers: set[str] = set()

    def rows(self, who: str, clients: int, size: int) -> list[Row]:
        """Send `size` bytes from each of so many clients at the same time, in rounds that take turns."""
        files = [self._file(f"{who}-{number}", size) for number in range(clients)]
        units = self._units[:clients]
        ways: dict[str, Callable[[], Cost]] = {
            "vault": lambda: self._into_the_vault(units, files),
            "file": lambda: self._into_files(units, files, synced=False),
            "synced file": lambda: self._into_files(units, files, synced=True),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                costs[name].append(way())
        sent = clients * size
        speed = {name: median(sent / 1e6 / cost.seconds for cost in found) for name, found in costs.items()}
        cpu = {name: median(cost.cpu_seconds / sent * 1e9 for cost in found) for name, found in costs.items()}
        ratio = {name: speed["vault"] / speed[name] for name in ("file", "synced file")}
        (cipher,) = self._ciphers
        bare = f"bare {cipher} + SHA-256 to a file"
        held = ratio["file"] >= 0.85
        versus = f"{bare}, {speed['file']:.0f} MB/s"
        synced = f"{bare} + fdatasync, {speed['synced file']:.0f} MB/s"
        dear = f"{bare} + fdatasync, {cpu['synced file']:.2f} CPU s/GB"
        return [
            Row(f"upload into the vault, {who}", speed["vault"], "MB/s", ">= 0.85", versus, ratio["file"], held),
            Row(f"the same, {who}", speed["vault"], "MB/s", "", synced, ratio["synced file"]),
            Row(
                f"what that costs the dock, {who}",
                cpu["vault"],
                "CPU s/GB",
                "",
                dear,
                cpu["vault"] / cpu["synced file"],
            ),
        ]

    def _file(self, name: str, size: int) -> "Content":
        path = self._folder / name
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for _ in range(size // PIECE):
                piece = os.urandom(PIECE)
                digest.update(piece)
                file.write(piece)
        return Content(path, size, digest.hexdigest())

    def _into_the_vault(self, units: Sequence["Unit"], files: Sequence["Content"]) -> "Cost":
        clips = [unit.clip(content) for unit, content in zip(units, files, strict=True)]
        jobs = []
        for unit, clip, content in zip(units, clips, files, strict=True):
            created = unit.visitor.create(clip.clip_id, content.size)
            unit.visitor.hang_up()
            body = msgspec.json.encode(clip.request)
            jobs.append(
                self._job(
                    unit,
                    content,
                    self._dock.port,
                    before=patch_head(created.headers["location"], content.size),
                    after=(
                        f"POST {SEAL_PATH.format(clip_id=clip.clip_id)} HTTP/1.1\r\nHost: localhost\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n"
                    ).encode()
                    + body,
                )
            )
        cost = self._sent(jobs)
        for clip in clips:
            self._dock.dock.vault.delete(self._dock.dock.vault.key_of(clip.clip_id))
        return cost

    def _into_files(self, units: Sequence["Unit"], files: Sequence["Content"], *, synced: bool) -> "Cost":
        self._bare.expect(files[0].size, self._folder, synced=synced)
        cost = self._sent(
            [self._job(unit, content, self._bare.port) for unit, content in zip(units, files, strict=True)]
        )
        self._bare.remove_files()
        return cost

    def _job(self, unit: "Unit", content: "Content", port: int, *, before: bytes = b"", after: bytes = b"") -> Job:
        certificate, key = self._dock.files(unit.camera.identity)
        authority = self._dock.dock.folder.authority_file
        return Job(port, str(certificate), str(key), str(authority), str(content.path), before, after)

    def _sent(self, jobs: Sequence[Job]) -> "Cost":
        """Let one process each do the jobs, all at the same time, until the last has its answer."""
        command = [sys.executable, "-m", "tests.bench.sender"]
        with ExitStack() as stack:
            senders = [
                stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                for _ in jobs
            ]
            lines = [Talk(sender) for sender in senders]
            for talk, job in zip(lines, jobs, strict=True):
                talk.say(msgspec.json.encode(job).decode())
            self._ciphers.update(talk.hear() for talk in lines)
            os.sync()  # what earlier rounds left to be written is not this one's burden
            started, cpu_started = time.perf_counter(), time.process_time()
            for talk in lines:
                talk.say("go")
            for talk in lines:
                talk.hear()
            return Cost(time.perf_counter() - started, time.process_time() - cpu_started)


@dataclass(frozen=True)
class Cost:
    """What one round took, by the clock and of this process' CPU, in which both servers run."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Content:
    """Bytes to be sent, in a file."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Unit:
    """A unit that has a clip of any content that we like."""

    camera: Camera
    visitor: Visitor

    def clip(self, content: Content) -> SealedClip:
        """Return the next clip, which says that its sealed file is `content`."""
        clip = self.camera.clip(0)
        stated = {"ciphertext_bytes": content.size, "ciphertext_sha256": content.sha256}
        clip = self.camera.signed(msgspec.structs.replace(clip.manifest, **stated), b"")
        self.camera.newest = clip.manifest_sha256
        return clip


@dataclass(frozen=True)
class Talk:
    """Lines to and from a sender."""

    sender: subprocess.Popen[str]

    def say(self, line: str) -> None:
        """Send a line."""
        assert self.sender.stdin
        self.sender.stdin.write(f"{line}\n")
        self.sender.stdin.flush()

    def hear(self) -> str:
        """Return the next line; raises ConnectionError when the sender failed."""
        assert self.sender.stdout
        line = self.sender.stdout.readline().strip()
        if not line:
            raise ConnectionError("a sender failed; its own words are above")
        return line


class BareServer:
    """The least that takes bytes over mutual TLS into a file and hashes them: no HTTP, no catalogue, a thread each."""

    def __init__(self, dock: RunningDock) -> None:
        self._context = bays_context(dock.dock.folder)
        self._context.sslsocket_class = ssl.SSLSocket
        self._door = socket.create_server(("localhost", 0))
        self._thread = threading.Thread(target=self._serve)
        self._workers: list[threading.Thread] = []
        self._files: list[Path] = []
        self._size, self._folder, self._synced = 0, Path(), False
        self.port = self._door.getsockname()[1]

    def __enter__(self) -> "BareServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._door.close()

    def expect(self, size: int, folder: Path, *, synced: bool) -> None:
        """Say how many bytes each of the next clients sends, where to, and whether they are to be durable."""
        self._size, self._folder, self._synced = size, folder, synced

    def remove_files(self) -> None:
        """Remove what was received."""
        for worker in self._workers:
            worker.join()
        for path in self._files:
            path.unlink()
        self._workers.clear()
        self._files.clear()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._door.accept()
            except OSError:
                return
            self._files.append(self._folder / f"received-{len(self._files)}")
            self._workers.append(threading.Thread(target=self._receive, args=(plain, self._files[-1])))
            self._workers[-1].start()

    def _receive(self, plain: socket.socket, path: Path) -> None:
        buffer = memoryview(bytearray(PIECE))
        digest = hashlib.sha256()
        with self._context.wrap_socket(plain, server_side=True) as line, path.open("wb", buffering=0) as file:
            missing = self._size
            while missing:
                filled = 0
                while filled < min(PIECE, missing) and (size := line.recv_into(buffer[filled:])):
                    filled += size
                if not filled:
                    return
                digest.update(buffer[:filled])
                file.write(buffer[:filled])
                missing -= filled
            if self._synced:
                os.fdatasync(file.fileno())
            digest.hexdigest()
            line.sendall(b"!")
