"""A whole dock for tests: set up, migrated, its bays listening on loopback, and units that come with real clips."""

import base64
import hashlib
import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from typing import TypeVar

import msgspec
from flask import Flask

from dock_station.bays import door
from dock_station.bays.refused import RefusedCertificates
from dock_station.catalogue import alarms, clips, entries, uploads
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.schema import migrate
from dock_station.catalogue.uploads import Upload
from dock_station.clock import utc_now
from dock_station.dock import Clock, Dock
from dock_station.serving.http import Server
from dock_station.serving.listeners import listen_at_the_bays, listening
from dock_station.serving.tls import Contexts, bays_context
from dock_station.settings import DockFolder
from evidence import manifest as manifests
from evidence import receipt as receipts
from evidence.age import X25519Identity, seal_bytes
from evidence.certificates import Role
from evidence.docking import (
    CLIP_ID_METADATA,
    SEAL_PATH,
    TUS_VERSION,
    UPLOADS_PATH,
    Refusal,
    RefusalCode,
    SealRequest,
)
from evidence.identifiers import new_clip_id
from evidence.manifest import ClockQuality, Manifest
from evidence.receipt import Receipt
from evidence.signature import Signed
from tests.pki import Identity, Pki, dock_folder

Model = TypeVar("Model")
App = TypeVar("App", bound=Callable[..., Iterable[bytes]])

PATIENCE = 30  # seconds that a test waits for what takes milliseconds
NO_RESERVE = "vault_reserve_bytes = 0"
RECIPIENT = X25519Identity.generate().recipient
BOOT_ID = "5f0c7a52-4b1e-4d0c-9c55-1d1f6b8f0a01"


@dataclass(frozen=True)
class SealedClip:
    """A clip as it lies in a unit's spool."""

    manifest: Manifest
    content: bytes
    sealed: bytes
    signature: bytes

    @property
    def clip_id(self) -> str:
        return self.manifest.clip_id

    @property
    def manifest_sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def request(self) -> SealRequest:
        return SealRequest(manifest=self.content, signature=self.signature)


@dataclass
class Camera:
    """Makes one unit's clips: really sealed, with manifests that follow each other."""

    identity: Identity
    unit_id: str
    sequence: int = 0
    newest: str | None = None

    def clip(self, size: int = 300_000, **changes: object) -> SealedClip:
        """Return the next clip, of `size` random bytes sealed; its manifest with `changes`."""
        self.sequence += 1
        sealed = seal_bytes(os.urandom(size), [RECIPIENT])
        now = datetime.now(UTC).replace(microsecond=0)
        manifest = Manifest(
            clip_id=new_clip_id(now),
            unit_id=self.unit_id,
            wearer="wearer-7",
            sequence=self.sequence,
            previous_manifest_sha256=self.newest,
            started_at=now - timedelta(minutes=2),
            ended_at=now - timedelta(minutes=1),
            clock=ClockQuality(last_sync=now - timedelta(hours=1), estimated_error_seconds=0.5),
            started_monotonic_seconds=100.0,
            boot_id=BOOT_ID,
            pre_record_seconds=30.0,
            frames_written=2700,
            frames_lost=0,
            has_audio=False,
            mute_spans=(),
            markers=(),
            complete=True,
            ended_by="wearer",
            policy_id="test",
            policy_sha256="0" * 64,
            recipients=(str(RECIPIENT),),
            ciphertext_bytes=len(sealed),
            ciphertext_sha256=hashlib.sha256(sealed).hexdigest(),
            software="mirrorcam test",
        )
        clip = self.signed(msgspec.structs.replace(manifest, **changes), sealed)
        self.newest = clip.manifest_sha256
        return clip

    def signed(self, manifest: Manifest, sealed: bytes) -> SealedClip:
        """Return a clip of these parts, whatever they say."""
        content = manifests.encode(manifest)
        return SealedClip(manifest, content, sealed, self.identity.signer().sign(content))


@dataclass(frozen=True)
class Answer:
    """What the dock answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def refusal(self) -> Refusal:
        return msgspec.json.decode(self.content, type=Refusal)

    def refuses(self, status: int, code: RefusalCode) -> str:
        """Check that this is a refusal with one clear sentence for people, and return the sentence."""
        assert (self.status, self.refusal.code) == (status, code.value), self.content
        assert self.headers["content-type"] == "application/json"
        sentence = self.refusal.message
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert "Traceback" not in sentence
        return sentence

    @property
    def signed(self) -> Signed:
        assert self.status == 200, self.content
        return msgspec.json.decode(self.content, type=Signed)

    @property
    def offset(self) -> int:
        return int(self.headers["upload-offset"])


@dataclass
class Visitor:
    """Somebody with a certificate (or none) who talks to the bays over real TLS, one connection at a time."""

    port: int
    context: ssl.SSLContext
    connection: HTTPSConnection | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send one request, with tus' version unless `headers` say otherwise (None leaves a header out)."""
        if self.connection is None:
            self.connection = HTTPSConnection("localhost", self.port, context=self.context, timeout=PATIENCE)
        wanted = {"Tus-Resumable": TUS_VERSION, **(headers or {})}
        sent = {name: value for name, value in wanted.items() if value is not None}
        try:
            self.connection.request(method, path, body=body, headers=sent)
            response = self.connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.hang_up()
            raise
        if response.will_close:
            self.hang_up()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    @contextmanager
    def raw(self) -> Iterator[ssl.SSLSocket]:
        """Give a bare TLS connection, which ends without a word, as when a cable is pulled and its bays' end resets."""
        with (
            socket.create_connection(("localhost", self.port), timeout=PATIENCE) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as cable,
        ):
            yield cable

    def hang_up(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def create(self, clip_id: str, length: int, **headers: str | None) -> Answer:
        """Begin an upload."""
        metadata = f"{CLIP_ID_METADATA} {base64.b64encode(clip_id.encode()).decode()}"
        wanted = {"Upload-Length": str(length), "Upload-Metadata": metadata, **headers}
        return self.ask("POST", UPLOADS_PATH, headers=wanted)

    def begin(self, clip: SealedClip) -> str:
        """Begin the upload of a clip, and return where it lives."""
        answer = self.create(clip.clip_id, len(clip.sealed))
        assert answer.status == 201, answer.content
        return answer.headers["location"]

    def append(self, location: str, offset: int, piece: bytes, **headers: str | None) -> Answer:
        """Send a piece."""
        wanted = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream", **headers}
        return self.ask("PATCH", location, piece, headers=wanted)

    def head(self, location: str) -> Answer:
        """Ask how far an upload is."""
        return self.ask("HEAD", location)

    def seal(self, clip: SealedClip) -> Answer:
        """Hand the manifest in."""
        return self.ask("POST", SEAL_PATH.format(clip_id=clip.clip_id), msgspec.json.encode(clip.request))

    def upload(self, clip: SealedClip) -> str:
        """Send the whole clip in one piece, and return where its upload lives."""
        location = self.begin(clip)
        answer = self.append(location, 0, clip.sealed)
        assert answer.status == 204, answer.content
        return location

    def bring(self, clip: SealedClip) -> Answer:
        """Send the whole clip and seal it."""
        self.upload(clip)
        return self.seal(clip)


@dataclass
class RunningDock:
    """A dock whose bays are open, the authority behind it, and what a test wants to know of its insides."""

    dock: Dock
    pki: Pki
    port: int
    visitors: list[Visitor] = field(default_factory=list)

    def context(self, identity: Identity | None) -> ssl.SSLContext:
        """Return TLS as a unit speaks it: 1.3, the dock's certificate of the authority, `identity` shown."""
        context = ssl.create_default_context(cadata=self.pki.pem.decode())
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if identity:
            context.load_cert_chain(*self.files(identity))
        return context

    def files(self, identity: Identity) -> tuple[Path, Path]:
        """Return files with the identity's certificate and its key."""
        folder = self.dock.folder.path.with_name("units")
        folder.mkdir(exist_ok=True)
        key, certificate = folder / f"{identity.sha256[:16]}.key", folder / f"{identity.sha256[:16]}.crt"
        if not key.exists():
            identity.write(key, certificate)
        return certificate, key

    def visitor(self, identity: Identity | None) -> Visitor:
        """Return somebody who shows `identity`."""
        visitor = Visitor(self.port, self.context(identity))
        self.visitors.append(visitor)
        return visitor

    def unit(self, unit_id: str = "unit-1") -> tuple[Camera, Visitor]:
        """Return a freshly enrolled unit: what makes its clips, and what brings them here."""
        identity = self.pki.unit(unit_id)
        return Camera(identity, unit_id), self.visitor(identity)

    def revoke(self, identity: Identity) -> None:
        """Revoke a certificate and put the new list in place."""
        self.pki.revoke(identity)
        self.dock.folder.revocations_file.write_bytes(self.pki.revocations_pem())

    def receipt(self, answer: Answer) -> Receipt:
        """Check the signature of a receipt as a unit does, and return it."""
        signed = answer.signed
        signer = signed.verify(self.pki.authority(), Role.DOCK_SIGNER, utc_now(), "receipt")
        receipt = receipts.decode(signed.content)
        assert signer.name == receipt.dock_id
        return receipt

    def is_stored(self, clip: SealedClip) -> bool:
        """Say whether the dock has all of a clip: the files, byte for byte, the catalogue's row and the log's entry."""
        found = self.stored(clip.clip_id)
        if found is None:
            return False
        vault = self.dock.vault
        assert vault.sealed_file(found.vault_key).read_bytes() == clip.sealed
        assert vault.manifest(found.vault_key) == clip.content
        assert vault.signature(found.vault_key) == clip.signature
        assert ("clip-accepted", f"clip:{clip.clip_id}") in self.log()
        return True

    def stored(self, clip_id: str) -> Clip | None:
        with self.dock.catalogue.reading() as connection:
            return clips.find(connection, clip_id)

    def uploads(self) -> list[Upload]:
        with self.dock.catalogue.reading() as connection:
            return uploads.under_way(connection)

    def alarms(self) -> list[str]:
        """Return the sentences of the open alarms."""
        with self.dock.catalogue.reading() as connection:
            return [alarm.sentence for alarm in alarms.still_open(connection)]

    def log(self) -> list[tuple[str, str]]:
        """Return action and subject of each entry of the custody log."""
        with self.dock.catalogue.reading() as connection:
            return [(entry.action, entry.subject) for entry in entries.all_in_order(connection)]

    def vault_files(self) -> list[str]:
        """Return what is in the vault's folders."""
        vault = self.dock.folder.vault
        return sorted(path.relative_to(vault).as_posix() for path in vault.rglob("*") if path.is_file())


def patch_head(location: str, length: int, more: str = "") -> bytes:
    """Return the head of a request that sends `length` bytes from offset 0 on, as it goes over the line."""
    return (
        f"PATCH {location} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: {TUS_VERSION}\r\nUpload-Offset: 0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n{more}\r\n"
    ).encode()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, which others bring about."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def set_up(path: Path, pki: Pki, *, settings: str = NO_RESERVE) -> DockFolder:
    """Set a dock up and migrate its catalogue."""
    folder = dock_folder(path, pki, settings=settings)
    dock = Dock.open_unchecked(folder)
    migrate(dock.catalogue)
    dock.close()
    return folder


def just_started() -> float:
    """Return the seconds since the start of a dock's machine, on which nothing has come in yet."""
    return 0.0


@contextmanager
def running(folder: DockFolder, pki: Pki, *, clock: Clock = utc_now) -> Iterator[RunningDock]:
    """Open the bays of a dock that is set up, on a free port of loopback, as long as the block runs."""
    dock = Dock.open(folder, clock, just_started)
    try:
        with listening("bays", listen_at_the_bays(dock)) as listener:
            running = RunningDock(dock, pki, listener.port)
            try:
                yield running
            finally:
                for visitor in running.visitors:
                    visitor.hang_up()
    finally:
        dock.close()


@contextmanager
def running_behind(folder: DockFolder, pki: Pki, wrap: Callable[[Flask], App]) -> Iterator[tuple[RunningDock, App]]:
    """Open the bays of a dock that is set up, with what `wrap` makes of them before them; give both."""
    dock = Dock.open(folder)
    app = wrap(door.create_app(dock, RefusedCertificates(dock)))
    server = Server(
        address="localhost", port=0, app=app, contexts=Contexts(folder, bays_context), threads=8, max_body=0
    )
    try:
        with listening("bays", server) as listener:
            yield RunningDock(dock, pki, listener.port), app
    finally:
        dock.close()


@contextmanager
def running_dock(path: Path, *, settings: str = NO_RESERVE, clock: Clock = utc_now) -> Iterator[RunningDock]:
    """Set up a town and its dock under `path`, and open the bays."""
    pki = Pki()
    with running(set_up(path / "dock", pki, settings=settings), pki, clock=clock) as dock:
        yield dock
