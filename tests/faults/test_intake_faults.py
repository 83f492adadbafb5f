"""What breaks while the dock takes a clip in: the process dies at any line, or the disk is full at any byte."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from dock_station import custody, read_back, vault
from dock_station.bays import intake
from dock_station.bays import uploads as uploads_module
from dock_station.bays.intake import Intake
from dock_station.bays.uploads import AlreadyStoredError, NotUploadedError, Uploads
from dock_station.catalogue import clips, database, uploads
from dock_station.catalogue.uploads import Upload
from dock_station.dock import Dock
from dock_station.settings import DockFolder
from evidence import durable
from evidence import receipt as receipts
from evidence.certificates import Role
from evidence.docking import RefusalCode
from tests.dock import Camera, RunningDock, SealedClip, running, running_dock, set_up
from tests.pki import Pki

# The modules whose lines change files or begin and end transactions.
CHANGING = {module.__file__ for module in (database, durable, intake, read_back, uploads_module, vault)}
SURVIVED = 0
STEP = 4  # lines; two tests of the same act begin at different ones
KILLED = -signal.SIGKILL


class Bytes:
    """A body that is here as a whole."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def readinto(self, buffer: memoryview) -> int:
        return self._rest.readinto(buffer)

    def stop(self) -> None:
        raise AssertionError("nobody else is here")


class Hands:
    """Works on a dock in this process, without a network between."""

    def __init__(self, folder: DockFolder, camera: Camera) -> None:
        self._camera = camera
        self.dock = Dock.open(folder)
        self.uploads = Uploads(catalogue=self.dock.catalogue, vault=self.dock.vault, clock=self.dock.clock)
        self.intake = Intake(self.dock, self.uploads)

    def begin(self, clip: SealedClip) -> Upload:
        return self.uploads.create(self._camera.unit_id, clip.clip_id, length=len(clip.sealed), metadata="")

    def append(self, clip: SealedClip, upload_id: str, offset: int, end: int | None = None) -> Upload:
        piece = clip.sealed[offset:end]
        return self.uploads.append(
            self._camera.unit_id, upload_id, offset=offset, length=len(piece), body=Bytes(piece), checksum=None
        )

    def upload(self, clip: SealedClip) -> None:
        self.append(clip, self.begin(clip).upload_id, 0)

    def seal(self, clip: SealedClip) -> None:
        signed = self.intake.seal(self._camera.identity.certificate, clip.clip_id, clip.request)
        signed.verify(self.dock.authority(), Role.DOCK_SIGNER, self.dock.clock(), "receipt")
        receipts.check_speaks_of(receipts.decode(signed.content), clip.manifest, clip.manifest_sha256)

    def bring(self, clip: SealedClip) -> None:
        """Do what a unit does that comes back: seal, and if bytes are missing, go on or begin anew."""
        try:
            self.seal(clip)
        except NotUploadedError:
            with self.dock.catalogue.reading() as connection:
                found = uploads.of_clip(connection, self._camera.unit_id, clip.clip_id)
            upload = found or self.begin(clip)
            self.append(clip, upload.upload_id, upload.offset_bytes)
            self.seal(clip)


@pytest.fixture
def camera() -> Camera:
    return Camera(Pki().unit("unit-1"), "unit-1")


class Story:
    """A dock in some state, copied for each death, and the clip that is on its way."""

    def __init__(self, path: Path, before: Callable[[Hands, SealedClip], None]) -> None:
        pki = Pki()
        self.camera = Camera(pki.unit("unit-1"), "unit-1")
        self._pki = pki
        self._path = path
        self._start = set_up(path / "start", pki)
        self.first, self.clip = self.camera.clip(1000), self.camera.clip(100_000)
        hands = Hands(self._start, self.camera)
        hands.upload(self.first)
        hands.seal(self.first)
        before(hands, self.clip)
        hands.dock.close()

    def deaths(self, act: Callable[[Hands, SealedClip], None], *, line: int = 1) -> Iterator[Hands]:
        """Let a process die at this line and at others after it while it acts; give what it left behind, each time."""
        while True:
            folder = DockFolder(self._path / f"death-{line}")
            shutil.copytree(self._start.path, folder.path)
            ended = self._die_at(line, lambda folder=folder: act(Hands(folder, self.camera), self.clip))  # type: ignore[misc]
            assert ended in {KILLED, SURVIVED}, f"at line {line} it failed by itself"
            hands = Hands(folder, self.camera)
            yield hands
            hands.dock.close()
            shutil.rmtree(folder.path)
            if ended == SURVIVED:
                assert line > 50, "it did not trace anything"
                return
            line += STEP

    @staticmethod
    def _die_at(line: int, act: Callable[[], None]) -> int:
        child = os.fork()
        if child == 0:
            seen = 0

            def trace(frame: FrameType, event: str, _argument: Any) -> Any:
                nonlocal seen
                if frame.f_code.co_filename not in CHANGING:
                    return None
                if event == "line":
                    seen += 1
                    if seen == line:
                        os.kill(os.getpid(), signal.SIGKILL)
                return trace

            try:
                sys.settrace(trace)
                act()
                os._exit(SURVIVED)
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def check_sound(self, hands: Hands) -> None:
        """Check that the clip is there with everything, or not at all and its upload is."""
        store = hands.dock.vault
        with hands.dock.catalogue.reading() as connection:
            kept = clips.find(connection, self.clip.clip_id)
            begun = uploads.of_clip(connection, "unit-1", self.clip.clip_id)
            custody.check(connection, self._pki.authority(), "dock-1")
        if kept:
            assert begun is None
            self._check_kept(store, self.clip)
        self._check_kept(store, self.first)

    def check_whole(self, hands: Hands) -> None:
        """Check that both clips are there, once, and nothing else is."""
        self.check_sound(hands)
        kept = sorted(path.name for path in hands.dock.folder.vault.rglob("*") if path.is_file())
        wanted = [
            f"{clip.clip_id}{end}" for clip in (self.first, self.clip) for end in (".json", ".json.sig", ".mp4.age")
        ]
        assert kept == sorted(wanted)
        with hands.dock.catalogue.reading() as connection:
            assert uploads.under_way(connection) == []
            head = custody.check(connection, self._pki.authority(), "dock-1")
        assert head
        assert head.entries == 2

    @staticmethod
    def _check_kept(store: vault.Vault, clip: SealedClip) -> None:
        key = store.key_of(clip.clip_id)
        assert store.sealed_file(key).read_bytes() == clip.sealed
        assert store.manifest(key) == clip.content
        assert store.signature(key) == clip.signature


def test_a_dock_that_dies_at_any_line_of_sealing_has_the_clip_or_can_seal_it_again(tmp_path: Path) -> None:
    story = Story(tmp_path, before=Hands.upload)
    outcomes = set()
    for hands in story.deaths(Hands.seal):
        story.check_sound(hands)
        with hands.dock.catalogue.reading() as connection:
            outcomes.add(clips.find(connection, story.clip.clip_id) is not None)
        hands.seal(story.clip)
        story.check_whole(hands)
    assert outcomes == {True, False}


def test_after_a_death_in_sealing_a_unit_that_begins_anew_is_served_too(tmp_path: Path) -> None:
    story = Story(tmp_path, before=Hands.upload)
    for hands in story.deaths(Hands.seal, line=3):
        try:
            hands.upload(story.clip)
        except AlreadyStoredError:
            story.check_whole(hands)
        hands.seal(story.clip)
        story.check_whole(hands)


def test_after_a_death_in_sealing_an_upload_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path, before=Hands.upload)
    for hands in story.deaths(Hands.seal, line=2):
        with hands.dock.catalogue.reading() as connection:
            upload = uploads.of_clip(connection, "unit-1", story.clip.clip_id)
        if upload:
            hands.uploads.terminate("unit-1", upload.upload_id)
            left = {path.name.split(".")[0] for path in hands.dock.folder.vault.rglob("*") if path.is_file()}
            assert left == {story.first.clip_id}
        else:
            story.check_whole(hands)


def test_a_dock_that_dies_at_any_line_of_a_piece_goes_on_at_a_byte_that_it_acknowledged(tmp_path: Path) -> None:
    def half(hands: Hands, clip: SealedClip) -> None:
        hands.append(clip, hands.begin(clip).upload_id, 0, 50_000)

    def rest(hands: Hands, clip: SealedClip) -> None:
        with hands.dock.catalogue.reading() as connection:
            upload = uploads.of_clip(connection, "unit-1", clip.clip_id)
        assert upload
        assert hands.append(clip, upload.upload_id, upload.offset_bytes).complete

    story = Story(tmp_path, before=half)
    offsets = set()
    for hands in story.deaths(rest):
        with hands.dock.catalogue.reading() as connection:
            upload = uploads.of_clip(connection, "unit-1", story.clip.clip_id)
        assert upload
        offsets.add(upload.offset_bytes)
        hands.bring(story.clip)
        story.check_whole(hands)
    assert offsets == {50_000, len(story.clip.sealed)}


def test_a_dock_that_dies_at_any_line_of_throwing_an_upload_away_can_begin_anew(tmp_path: Path) -> None:
    def give_up(hands: Hands, clip: SealedClip) -> None:
        with hands.dock.catalogue.reading() as connection:
            upload = uploads.of_clip(connection, "unit-1", clip.clip_id)
        assert upload
        hands.uploads.terminate("unit-1", upload.upload_id)

    story = Story(tmp_path, before=Hands.upload)
    for hands in story.deaths(give_up):
        hands.upload(story.clip)
        hands.seal(story.clip)
        story.check_whole(hands)


@contextmanager
def small_disk(folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the vault on a disk of `size` bytes: a real one for root; for others one that says no at that byte."""
    if os.geteuid() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return

    def usage(_folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=size - sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))

    class FullPart(vault.Part):
        def write(self, piece: memoryview) -> None:
            room = usage(folder).free
            super().write(piece[:room])
            if len(piece) > room:
                raise vault.NoRoomError(len(piece) - room, 0)

    with monkeypatch.context() as patched:
        patched.setattr(vault, "Part", FullPart)
        patched.setattr(shutil, "disk_usage", usage)
        yield


@pytest.fixture
def full_dock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningDock]:
    """A dock whose vault has room for 2 MiB."""
    pki = Pki()
    folder = set_up(tmp_path / "dock", pki)
    with ExitStack() as stack:
        stack.enter_context(small_disk(folder.vault, 2 << 20, monkeypatch))
        yield stack.enter_context(running(folder, pki))


def test_a_clip_that_does_not_fit_is_refused_before_a_byte_is_taken(full_dock: RunningDock) -> None:
    camera, unit = full_dock.unit()
    clip = camera.clip(3 << 20)
    sentence = unit.create(clip.clip_id, len(clip.sealed)).refuses(507, RefusalCode.NO_ROOM)
    assert f"{len(clip.sealed)} bytes more" in sentence
    assert full_dock.uploads() == []
    assert full_dock.vault_files() == []


def test_room_that_was_promised_to_one_upload_is_not_promised_to_another(full_dock: RunningDock) -> None:
    one, its_hands = full_dock.unit("unit-1")
    two, other_hands = full_dock.unit("unit-2")
    first, second = one.clip(1_200_000), two.clip(1_200_000)
    location = its_hands.begin(first)
    other_hands.create(second.clip_id, len(second.sealed)).refuses(507, RefusalCode.NO_ROOM)
    its_hands.append(location, 0, first.sealed)
    full_dock.receipt(its_hands.seal(first))
    assert full_dock.is_stored(first)


def test_the_reserve_is_kept_free(tmp_path: Path) -> None:
    reserve = shutil.disk_usage(tmp_path).total
    with running_dock(tmp_path, settings=f"vault_reserve_bytes = {reserve}") as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        unit.create(clip.clip_id, len(clip.sealed)).refuses(507, RefusalCode.NO_ROOM)


def test_a_disk_that_fills_up_in_the_middle_keeps_what_came_and_earlier_clips(full_dock: RunningDock) -> None:
    camera, unit = full_dock.unit()
    earlier = camera.clip(200_000)
    full_dock.receipt(unit.bring(earlier))
    clip = camera.clip(1_600_000)
    location = unit.begin(clip)
    squatter = full_dock.dock.folder.vault / "squatter"
    squatter.write_bytes(bytes(1 << 20))
    unit.append(location, 0, clip.sealed).refuses(507, RefusalCode.NO_ROOM)
    offset = unit.head(location).offset
    assert 0 < offset < len(clip.sealed)
    assert full_dock.is_stored(earlier)
    unit.append(location, offset, clip.sealed[offset:]).refuses(507, RefusalCode.NO_ROOM)
    squatter.unlink()
    offset = unit.head(location).offset
    assert unit.append(location, offset, clip.sealed[offset:]).status == 204
    full_dock.receipt(unit.seal(clip))
    assert full_dock.is_stored(clip)


def test_a_disk_that_is_full_when_a_clip_is_sealed_keeps_the_upload(full_dock: RunningDock) -> None:
    camera, unit = full_dock.unit()
    clip = camera.clip(1_000_000)
    unit.upload(clip)
    squatter = full_dock.dock.folder.vault / "squatter"
    squatter.write_bytes(bytes(shutil.disk_usage(squatter.parent).free))
    unit.seal(clip).refuses(507, RefusalCode.NO_ROOM)
    assert full_dock.stored(clip.clip_id) is None
    squatter.unlink()
    full_dock.receipt(unit.seal(clip))
    assert full_dock.is_stored(clip)
    assert len(full_dock.vault_files()) == 3
