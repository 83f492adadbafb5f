"""Clips of a real recorder are played here through a real opener; ffprobe and PyAV are the players."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from appliance.camera import VideoTrack
from appliance.writing.muxer import Muxer
from dock_station.opening.keeper import start_opener
from dock_station.opening.keyslots import Keyslots
from dock_station.opening.opener import Opener, Unlocked
from dock_station.opening.unlocks import HeaderRefusedError, LockedError, NotForThisStationError
from dock_station.playback.mp4_boxes import NotPlayableError
from dock_station.playback.playable import (
    MAX_BODY,
    ClipDamagedError,
    ClipUnreadableError,
    Part,
    Playable,
    Playables,
    RangeError,
    part_of,
)
from evidence.age import CHUNK_SIZE, HybridIdentity, SealedFile, SealingWriter, read_header, seal_bytes
from tests.films import muxed
from tests.pki import Pki, dock_folder
from tests.recording import FRAME_US, PATIENCE, VIDEO, Hand, Unit, in_order, pictures, sound

PASSPHRASE = "the passphrase of the first"


@dataclass(frozen=True)
class Station:
    """The station's identity and an opener that holds it."""

    identity: HybridIdentity
    opener: Opener
    unlocked: Unlocked

    def seal(self, path: Path, content: bytes) -> Path:
        path.write_bytes(seal_bytes(content, [self.identity.recipient]))
        return path

    def play(self, path: Path) -> Playable:
        file = path.open("rb")
        header = read_header(file).raw
        file.seek(0)
        return Playable(file, self.opener.file_key(self.unlocked.token, header))


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    identity = HybridIdentity.generate()
    folder = dock_folder(tmp_path_factory.mktemp("dock"), Pki())
    folder.keyslots.mkdir()
    Keyslots(folder.keyslots, work_factor=10).add("a-example", PASSPHRASE, identity)
    with start_opener(folder) as opener:
        yield Station(identity, opener, opener.unlock("a-example", PASSPHRASE))


@pytest.fixture(scope="module")
def mp4() -> bytes:
    track, tone = sound(4)
    return muxed(in_order(pictures(4), tone), track)


@pytest.fixture(scope="module")
def clip(station: Station, mp4: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return station.seal(tmp_path_factory.mktemp("vault") / "clip.mp4.age", mp4)


def content_of(playable: Playable) -> bytes:
    return b"".join(playable.pieces(Part(0, playable.size)))


def probed(content: bytes, path: Path) -> list[dict[str, str]]:
    path.write_bytes(content)
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    streams: list[dict[str, str]] = json.loads(said.stdout)["streams"]
    return streams


def test_ffprobe_finds_all_frames_of_a_clip_that_a_unit_recorded(station: Station, tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    hand = Hand()
    track, tone = sound(6, start_us=round(hand.seconds * 1_000_000))
    spool = unit.spool()
    recipients = (str(station.identity.recipient),)
    recorder = unit.recorder(
        spool, hand=hand, audio=track, pre_record_seconds=0, record_audio=True, recipients=recipients
    )
    packets = in_order(pictures(6, start_us=round(hand.seconds * 1_000_000)), tone)
    recorder.begin(wearer="wearer-1")
    for packet in packets:
        hand.seconds = packet.time_us / 1_000_000
        recorder.push(packet)
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    assert recorder.shut_down(PATIENCE)
    (clip,) = spool.waiting()
    playable = station.play(clip.sealed_file)
    assert playable.complete
    video, audio = probed(content_of(playable), tmp_path / "played.mp4")
    assert (video["codec_name"], video["nb_read_frames"]) == ("h264", "180")
    assert audio["codec_name"] == "aac"
    assert playable.seconds == pytest.approx(6, abs=0.05)


def test_pyav_plays_it_by_ranges_and_jumps(station: Station, clip: Path) -> None:
    playable = station.play(clip)

    class Ranges:
        """A player's view: a file of which every piece is asked for by a Range header."""

        def __init__(self) -> None:
            self.at = 0

        def read(self, size: int) -> bytes:
            if self.at >= playable.size:
                return b""
            part = part_of(f"bytes={self.at}-{self.at + size - 1}", playable.size)
            assert part
            content = playable.read(part.start, part.end - part.start)
            self.at += len(content)
            return content

        def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
            self.at = (
                offset if whence == os.SEEK_SET else (self.at if whence == os.SEEK_CUR else playable.size) + offset
            )
            return self.at

        def tell(self) -> int:
            return self.at

    with av.open(Ranges(), mode="r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 120
        container.seek(2_500_000)
        first = next(container.decode(video=0))
        assert first.time == pytest.approx(2, abs=2 * FRAME_US / 1_000_000)


def test_only_the_chunks_that_are_asked_for_are_read(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray()
    muxer = Muxer(content.extend, VIDEO, None)
    for packet in pictures(60):
        muxer.add(packet)
    muxer.close()
    loaded: list[int] = []
    load = SealedFile._load

    def counted(sealed: SealedFile, index: int, plain_size: int) -> memoryview:
        loaded.append(index)
        return load(sealed, index, plain_size)

    monkeypatch.setattr(SealedFile, "_load", counted)
    playable = station.play(station.seal(tmp_path / "long.mp4.age", bytes(content)))
    assert len(content) / CHUNK_SIZE > 80
    assert len(loaded) <= 6, "opening"
    loaded.clear()
    playable.read(3_000_000, 100_000)
    assert len(loaded) <= 4


@pytest.fixture(scope="module")
def small_clip(station: Station, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = VideoTrack(width=64, height=48, frames_per_second=30)
    content = bytearray()
    muxer = Muxer(content.extend, tiny, None)
    for packet in pictures(0.4, video=tiny, bits_per_second=20_000):
        muxer.add(packet)
    muxer.close()
    return station.seal(tmp_path_factory.mktemp("vault") / "small.mp4.age", bytes(content))


def test_every_changed_byte_behind_the_header_is_noticed(station: Station, small_clip: Path, tmp_path: Path) -> None:
    sealed = bytearray(small_clip.read_bytes())
    with small_clip.open("rb") as file:
        header = read_header(file).raw
    file_key = station.opener.file_key(station.unlocked.token, header)
    changed = tmp_path / "changed.mp4.age"
    unnoticed = []
    for at in range(len(header), len(sealed)):
        sealed[at] ^= 1
        changed.write_bytes(sealed)
        sealed[at] ^= 1
        with suppress(ClipDamagedError, NotPlayableError), changed.open("rb") as file:
            playable = Playable(file, file_key)
            content_of(playable)
            if playable.complete:
                unnoticed.append(at)
    assert unnoticed == []
    assert len(sealed) > len(header) + 1000


def test_every_changed_byte_of_the_header_is_noticed(station: Station, small_clip: Path, tmp_path: Path) -> None:
    sealed = bytearray(small_clip.read_bytes())
    with small_clip.open("rb") as file:
        header = read_header(file).raw
    changed = tmp_path / "changed.mp4.age"
    for at in range(len(header)):
        sealed[at] ^= 1
        changed.write_bytes(sealed)
        sealed[at] ^= 1
        with pytest.raises((ClipDamagedError, HeaderRefusedError, NotForThisStationError)):
            Playables(station.opener).open(station.unlocked.token, "clip", changed)


def test_a_changed_chunk_in_the_middle_is_named_and_what_is_before_it_plays(
    station: Station, clip: Path, tmp_path: Path
) -> None:
    sealed = bytearray(clip.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    path = tmp_path / "changed.mp4.age"
    path.write_bytes(sealed)
    playable = station.play(path)
    assert playable.read(0, 1000) == station.play(clip).read(0, 1000)
    with pytest.raises(ClipDamagedError, match=r"damaged or changed .* Chunk \d+ of"):
        content_of(playable)


def test_a_cut_clip_plays_up_to_its_last_whole_fragment_and_says_so(
    station: Station, mp4: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "cut.mp4.age"
    writer_file = path.open("wb")
    writer = SealingWriter(writer_file.write, [station.identity.recipient])
    writer.write(mp4)
    writer_file.flush()
    whole = path.stat().st_size
    writer_file.truncate(whole // 2)
    writer_file.close()
    playable = station.play(path)
    assert not playable.complete
    assert "The end of the sealed data is missing" in str(playable.damage)
    (video, _) = probed(content_of(playable), tmp_path / "played.mp4")
    assert int(video["nb_read_frames"]) == pytest.approx(playable.seconds * 30, abs=1)
    assert 1 < playable.seconds < 4


def test_a_clip_that_holds_nothing_yet_is_told_in_a_sentence(station: Station, mp4: bytes, tmp_path: Path) -> None:
    for content in (b"", mp4[:100], mp4[:2000], b"a letter"):
        with pytest.raises(NotPlayableError):
            station.play(station.seal(tmp_path / "clip.mp4.age", content))


def test_the_clip_of_another_town_is_refused(station: Station, mp4: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.mp4.age"
    path.write_bytes(seal_bytes(mp4, [HybridIdentity.generate().recipient]))
    with pytest.raises(NotForThisStationError):
        Playables(station.opener).open(station.unlocked.token, "clip", path)


@pytest.mark.parametrize("content", [b"", b"no age file", b"age-encryption.org/v1\n-> X25519 cut"])
def test_what_is_no_sealed_file_is_told_in_a_sentence(station: Station, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4.age"
    path.write_bytes(content)
    with pytest.raises(ClipDamagedError, match="damaged or changed on the dock's disk"):
        Playables(station.opener).open(station.unlocked.token, "clip", path)


def test_a_file_that_is_gone_is_told_in_a_sentence(station: Station, tmp_path: Path) -> None:
    with pytest.raises(ClipUnreadableError, match="cannot be read"):
        Playables(station.opener).open(station.unlocked.token, "clip", tmp_path / "gone.mp4.age")


def test_after_lock_nothing_more_is_read_not_even_of_a_clip_that_plays(station: Station, clip: Path) -> None:
    playables = Playables(station.opener)
    token = station.opener.unlock("a-example", PASSPHRASE).token
    playing = playables.open(token, "clip", clip)
    other = playables.open(station.unlocked.token, "clip", clip)
    playables.lock(token)
    with pytest.raises(LockedError):
        playing.read(0, 10)
    with pytest.raises(LockedError):
        playables.open(token, "clip", clip)
    assert other.read(0, 10)


def test_when_the_time_is_over_nothing_more_is_read(station: Station, clip: Path) -> None:
    hand = Hand()
    playables = Playables(station.opener, seconds=hand.monotonic)
    token = station.opener.unlock("a-example", PASSPHRASE).token
    playing = playables.open(token, "clip", clip)
    assert playables.open(token, "clip", clip) is playing
    station.opener.lock(token)
    hand.seconds += 601
    with pytest.raises(LockedError):
        playables.open(token, "clip", clip)
    with pytest.raises(LockedError):
        playing.read(0, 10)


def test_only_so_many_clips_stay_open_and_the_one_unread_for_longest_goes(station: Station, clip: Path) -> None:
    playables = Playables(station.opener, limit=2)
    token = station.unlocked.token
    first, second = playables.open(token, "1", clip), playables.open(token, "2", clip)
    assert playables.open(token, "1", clip) is first
    playables.open(token, "3", clip)
    assert playables.open(token, "1", clip) is first
    assert playables.open(token, "2", clip) is not second
    assert second.read(0, 10), "whoever was reading it goes on"


def test_a_deleted_clip_is_closed_for_everyone(station: Station, clip: Path) -> None:
    playables = Playables(station.opener)
    playing = playables.open(station.unlocked.token, "clip", clip)
    playables.close_clip("clip")
    with pytest.raises(LockedError):
        playing.read(0, 10)


def test_many_players_of_one_clip_get_the_same_bytes(station: Station, clip: Path) -> None:
    playables = Playables(station.opener)
    expected = content_of(station.play(clip))
    seen: list[bytes] = []

    def play() -> None:
        playable = playables.open(station.unlocked.token, "clip", clip)
        seen.append(b"".join(playable.read(at, 9999) for at in range(0, playable.size, 9999)))

    threads = [threading.Thread(target=play) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert set(seen) == {expected}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", Part(0, MAX_BODY)),
        ("bytes=0-0", Part(0, 1)),
        ("bytes=100-199", Part(100, 200)),
        (" bytes=100-199 ", Part(100, 200)),
        ("bytes=4999999-", Part(4_999_999, 5_000_000)),
        ("bytes=4999990-9999999", Part(4_999_990, 5_000_000)),
        ("bytes=-10", Part(4_999_990, 5_000_000)),
        ("bytes=-9999999", Part(0, MAX_BODY)),
        ("bytes=0-4999999", Part(0, MAX_BODY)),
        (None, None),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-3", None),
        ("bytes=0-1,5-6", None),
        ("bytes=a-b", None),
        ("bytes=\N{ARABIC-INDIC DIGIT ONE}-", None),
        ("bytes=1" + "0" * 30 + "-", None),
        ("pieces=0-5", None),
    ],
)
def test_a_range_header_is_read_as_its_rfc_wants(header: str | None, expected: Part | None) -> None:
    assert part_of(header, 5_000_000) == expected


@pytest.mark.parametrize("header", ["bytes=5000000-", "bytes=5000000-5000001", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RangeError) as caught:
        part_of(header, 5_000_000)
    assert caught.value.size == 5_000_000


def test_a_part_says_what_it_is_of() -> None:
    assert Part(100, 200).content_range(5000) == "bytes 100-199/5000"
