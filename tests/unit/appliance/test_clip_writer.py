"""The writer of one clip: what it states as durable plays, and it syncs just when a fragment is whole."""

import itertools
from pathlib import Path

import pytest

from appliance.camera import CameraError, Packet
from appliance.writing.clip_files import ClipFiles, GrowingFile
from appliance.writing.clip_writer import SYNC_SECONDS, ClipWriter, Progress
from appliance.writing.disk import Disk
from evidence.age import SealedFile, X25519Identity, read_header
from tests.faults.sealed import played_seconds
from tests.recording import VIDEO, Hand, decoded, pictures
from tests.unit.appliance.spooling import start

FRAGMENT_SECONDS = 0.27
FRAME_SECONDS = 1 / 30


class Stage:
    """A writer on a clock that its packets move."""

    def __init__(self, folder: Path) -> None:
        self.identity = X25519Identity.generate()
        self.hand = Hand()
        manifest = start()
        self.growing = GrowingFile(ClipFiles(folder, manifest.clip_id), manifest, Disk())
        self.writer = ClipWriter(self.growing, [self.identity.recipient], VIDEO, None, self.hand.monotonic)

    def take(self, packet: Packet) -> None:
        self.hand.seconds = packet.time_us / 1_000_000
        self.writer.take(packet)

    def plain(self, size: int) -> bytes:
        """Return the MP4 in the first `size` bytes of the sealed file, which are all that a power cut left."""
        cut = self.growing.files.folder / "cut"
        cut.write_bytes(self.growing.files.growing.read_bytes()[:size])
        with cut.open("rb") as file:
            header = read_header(file)
            sealed = SealedFile(file, header, header.unwrap([self.identity]))
            return sealed.read_at(0, sealed.size)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize(("bits_per_second", "unfilled"), [(100_000, 0), (800_000, 0), (8_000_000, 0.17)])
def test_what_is_stated_as_durable_plays_but_for_its_last_packet_and_an_unfilled_chunk(
    stage: Stage, bits_per_second: int, unfilled: float
) -> None:
    packets = pictures(12, start_us=round(stage.hand.seconds * 1_000_000), bits_per_second=bits_per_second)
    seen: list[Progress] = []
    for packet in packets:
        stage.take(packet)
        if stage.writer.progress not in seen[-1:]:
            seen.append(stage.writer.progress)
    synced = [progress for progress in seen if progress.durable_bytes]
    for progress in synced:
        plays = played_seconds(stage.plain(progress.durable_bytes))
        assert progress.frames_written * FRAME_SECONDS - plays < 1.5 * FRAME_SECONDS + unfilled
    gaps = [later.synced_at - earlier.synced_at for earlier, later in itertools.pairwise(synced)]
    assert max(gaps) < SYNC_SECONDS + FRAGMENT_SECONDS + FRAME_SECONDS
    stage.growing.close()


def test_frames_are_counted_and_holes_in_the_sensors_numbers_are_lost_frames(stage: Stage) -> None:
    packets = pictures(3, start_us=round(stage.hand.seconds * 1_000_000))
    for packet in [*packets[:30], *packets[32:60], *packets[65:]]:
        stage.take(packet)
    stage.writer.lose(2)
    stage.writer.finish()
    progress = stage.writer.progress
    assert (progress.frames_written, progress.frames_lost) == (83, 9)
    stage.growing.close()


def test_a_sync_without_anything_new_writes_nothing(stage: Stage) -> None:
    for packet in pictures(1, start_us=round(stage.hand.seconds * 1_000_000)):
        stage.take(packet)
    stage.writer.sync()
    size, progress = stage.growing.size, stage.writer.progress
    stage.hand.seconds += 60
    stage.writer.sync()
    assert (stage.growing.size, stage.writer.progress) == (size, progress)
    stage.growing.close()


def test_a_finished_clip_is_whole_and_ends_with_its_index(stage: Stage) -> None:
    for packet in pictures(2, start_us=round(stage.hand.seconds * 1_000_000)):
        stage.take(packet)
    stage.writer.finish()
    stage.growing.sync()
    with stage.growing.files.growing.open("rb") as file:
        header = read_header(file)
        sealed = SealedFile(file, header, header.unwrap([stage.identity]))
        assert sealed.complete
        mp4 = sealed.read_at(0, sealed.size)
    assert mp4[-16:-8] == b"\0\0\0\x10mfro"
    assert len(decoded(mp4)) == 60
    stage.growing.close()


def test_after_a_packet_that_no_clip_can_hold_the_rest_can_still_be_finished(stage: Stage) -> None:
    packets = pictures(1, start_us=round(stage.hand.seconds * 1_000_000))
    for packet in packets[:-1]:
        stage.take(packet)
    with pytest.raises(CameraError):
        stage.take(packets[-1]._replace(duration_us=1 << 40))
    stage.writer.finish()
    stage.growing.sync()
    assert len(decoded(stage.plain(stage.growing.size))) == 29
    stage.growing.close()
