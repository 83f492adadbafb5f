"""Power cuts: only a part of all that the real recorder did to its disk is on the medium, and what must then hold."""

import hashlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.recorder import Recorder
from appliance.spool import Spool, SpooledClip
from dock_station.playback.mp4_index import index_of
from evidence.age import CHUNK_SIZE, SEALED_CHUNK_SIZE, SealedFile, read_header
from evidence.age.stream import PAYLOAD_NONCE_SIZE
from evidence.chain import Link, check_follows, link_of
from evidence.manifest import Manifest, check_ciphertext
from tests.faults.disks import LoggingDisk, Medium, Step
from tests.faults.leading import keep, lead, wait_until_taken
from tests.faults.sealed import opened, played_seconds
from tests.recording import FRAME_US, PATIENCE, Hand, Unit, close_left, decoded, in_order, pictures, sound

MOMENTS = 30
CLIP_SECONDS = 4
WORST_LOSS = 1.0
RATES = (200_000, 8_000_000)


@dataclass(frozen=True)
class Run:
    """A unit that has recorded three clips, and each step of how they came to its disk."""

    unit: Unit
    steps: list[Step]
    begins: list[float]  # on the steps' clock, when each clip was begun
    ends: list[float]
    pre_record_seconds: list[float]


def recorded(folder: Path, bits_per_second: int, *, with_sound: bool = False, pre_record_seconds: int = 2) -> Run:
    seconds = pre_record_seconds + CLIP_SECONDS
    track = sound(1)[0] if with_sound else None
    hand, unit = Hand(), Unit(folder)
    disk = LoggingDisk(hand.monotonic)
    spool = unit.spool(disk)
    recorder = unit.recorder(
        spool, hand=hand, audio=track, pre_record_seconds=pre_record_seconds, pre_record_audio=True
    )
    begins, ends = [], []
    for number in range(3):
        start_us = round((hand.seconds + number) * 1_000_000)
        tracks = [pictures(seconds, start_us=start_us, bits_per_second=bits_per_second)]
        tracks += [sound(seconds, start_us=start_us)[1]] if with_sound else []
        packets = in_order(*tracks)
        touch_us = start_us + pre_record_seconds * 1_000_000 - FRAME_US
        earlier = [packet for packet in packets if packet.time_us < touch_us]
        keep(recorder, hand, earlier)
        hand.seconds = touch_us / 1_000_000
        begins.append(hand.seconds)
        recorder.begin(wearer="w")
        for packet in earlier[-1:]:
            wait_until_taken(packet)
        lead(recorder, hand, packets[len(earlier) :])
        recorder.end("wearer")
        assert recorder.wait_closed(PATIENCE)
        ends.append(hand.seconds)
    assert recorder.shut_down(PATIENCE)
    clips = spool.waiting()
    for clip in clips:
        assert len(decoded(unit.open(clip))) == clip.manifest.frames_written
    return Run(unit, disk.steps, begins, ends, [clip.manifest.pre_record_seconds for clip in clips])


@pytest.fixture(scope="module", params=[*RATES, "sound", "no pre-record"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("unit")
    if request.param == "sound":
        return recorded(folder, 800_000, with_sound=True)
    if request.param == "no pre-record":
        return recorded(folder, 800_000, pre_record_seconds=0)
    assert isinstance(request.param, int)
    return recorded(folder, request.param)


def check_chain(clips: Sequence[SpooledClip], unit: Unit) -> Link | None:
    newest: Link | None = None
    for clip in clips:
        content = clip.manifest_file.read_bytes()
        check_follows(clip.manifest, newest)
        newest = link_of(clip.manifest, content)
        assert unit.signer
        assert clip.signature_file.read_bytes() == unit.signer.sign(content)
        sealed = clip.sealed_file.read_bytes()
        check_ciphertext(clip.manifest, size=len(sealed), sha256=hashlib.sha256(sealed).hexdigest())
    return newest


def record_another(unit: Unit, spool: Spool) -> Manifest:
    recorder: Recorder = unit.recorder(spool, hand=Hand())
    recorder.begin(wearer="w")
    for packet in pictures(1, start_us=1_000_000_000):
        recorder.push(packet)
    recorder.end("wearer")
    assert recorder.shut_down(PATIENCE)
    (clip,) = [clip for clip in spool.waiting() if clip.sequence == max(clip.sequence for clip in spool.waiting())]
    assert clip.manifest.complete
    return clip.manifest


def close_spool(unit: Unit, disk: LoggingDisk) -> None:
    """Start a unit on what is left, and close all of it."""
    spool = unit.spool(disk)
    spool.recover()
    close_left(spool)


def check_start(unit: Unit) -> list[SpooledClip]:
    """Start a unit on what is left, check all that must hold, record another clip, and return those from before."""
    before = {path.name.removesuffix(".part"): path.read_bytes() for path in (unit.folder / "data").glob("*.age*")}
    spool = unit.spool()
    spool.recover()
    close_left(spool)
    clips = list(spool.waiting())
    newest = check_chain(clips, unit)
    for clip in clips:
        assert clip.sealed_file.read_bytes() == before[clip.sealed_file.name], "recovery has changed what was recorded"
    following = record_another(unit, spool)
    assert following.sequence == (newest.sequence + 1 if newest else 1)
    assert following.previous_manifest_sha256 == (newest.manifest_sha256 if newest else None)
    check_chain(spool.waiting(), unit)
    return clips


def check_clips(run: Run, unit: Unit, clips: Sequence[SpooledClip], count: int, moment: float) -> None:
    """Check that the clips closed within `count` steps are whole, and that little is lost of the one that runs."""
    closings = [at for at, step in enumerate(run.steps[:count]) if step.what == "replace" and step.name == "spool.json"]
    assert len(clips) >= len(closings)
    for clip in clips[: len(closings)]:
        for file in (clip.sealed_file, clip.manifest_file, clip.signature_file):
            assert file.read_bytes() == (run.unit.folder / "data" / file.name).read_bytes()
    running = len(closings)
    if running == len(run.begins) or moment - run.begins[running] < 2 * FRAME_US / 1_000_000:
        return  # nothing runs, or the touch was just now, and the ring is on its way to the disk
    kept = played_seconds(opened(unit, clips[running])) if running < len(clips) else 0.0
    recorded_seconds = min(moment, run.ends[running]) - run.begins[running] + run.pre_record_seconds[running]
    lost = recorded_seconds - kept
    assert lost <= WORST_LOSS, f"{lost:.2f} s lost at step {count}, second {moment}"


@pytest.mark.parametrize("keeps", ["what was synced", "some of the rest"])
def test_a_power_cut_takes_a_second_at_most_and_nothing_of_other_clips(run: Run, keeps: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(MOMENTS):
        count = chance.randrange(1, len(run.steps))
        moment = chance.uniform(run.steps[count - 1].moment, run.steps[count].moment)
        unit = Unit(tmp_path / str(number), run.unit.identity, run.unit.pki, run.unit.signer)
        medium = Medium().take(run.steps[:count])
        medium.cut(unit.folder / "data", chance=chance if keeps == "some of the rest" else None)
        check_clips(run, unit, check_start(unit), count, moment)


def test_a_dock_plays_everything_before_a_hole_and_says_that_the_rest_is_damaged(run: Run, tmp_path: Path) -> None:
    clip = run.unit.spool().waiting()[0]
    content = bytearray(clip.sealed_file.read_bytes())
    middle = len(content) // SEALED_CHUNK_SIZE // 2
    with clip.sealed_file.open("rb") as file:
        start = read_header(file).size + PAYLOAD_NONCE_SIZE + middle * SEALED_CHUNK_SIZE
    content[start : start + SEALED_CHUNK_SIZE] = bytes(SEALED_CHUNK_SIZE)
    left = tmp_path / "left.mp4.age"
    left.write_bytes(content[:-100])
    with left.open("rb") as file:
        header = read_header(file)
        sealed = SealedFile(file, header, header.unwrap([run.unit.identity]))
        index = index_of(sealed)
        assert len(sealed.read_at(0, index.fragments_end)) == index.fragments_end <= middle * CHUNK_SIZE
    assert 0 < index.seconds < CLIP_SECONDS + 1
    assert str(sealed.damage).startswith(f"Chunk {middle} of the sealed data was changed")


def test_a_power_cut_after_the_recovery_of_a_killed_process_harms_nothing(run: Run, tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(MOMENTS):
        count = chance.randrange(1, len(run.steps))
        killed = Unit(tmp_path / f"{number}-killed", run.unit.identity, run.unit.pki, run.unit.signer)
        medium = Medium().take(run.steps[:count])
        medium.write_seen(killed.folder / "data")
        disk = LoggingDisk(Hand().monotonic)
        close_spool(killed, disk)
        unit = Unit(tmp_path / str(number), run.unit.identity, run.unit.pki, run.unit.signer)
        medium.take(disk.steps).cut(unit.folder / "data")
        check_clips(run, unit, check_start(unit), count, run.steps[count - 1].moment)


def test_a_second_power_cut_at_any_step_of_the_recovery_harms_nothing(run: Run, tmp_path: Path) -> None:
    chance = random.Random(11)
    closing = [at for at, step in enumerate(run.steps) if step.what in ("replace", "rename", "remove")]
    for number, count in enumerate([*closing[6:11], *chance.sample(range(1, len(run.steps)), 3)]):
        first = Unit(tmp_path / f"{number}", run.unit.identity, run.unit.pki, run.unit.signer)
        Medium().take(run.steps[:count]).cut(first.folder / "data", chance=chance)
        left = tmp_path / f"{number}-left"
        shutil.copytree(first.folder / "data", left)
        disk = LoggingDisk(Hand().monotonic)
        close_spool(first, disk)
        for again in range(len(disk.steps)):
            unit = Unit(tmp_path / f"{number}-{again}", run.unit.identity, run.unit.pki, run.unit.signer)
            Medium(left).take(disk.steps[:again]).cut(unit.folder / "data", chance=chance)
            clips = check_start(unit)
            check_clips(run, unit, clips, count, run.steps[count - 1].moment)
