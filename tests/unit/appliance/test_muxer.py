"""What the muxer writes, as PyAV and ffprobe read it: whole, cut anywhere, with sound, and with clocks that jump."""

import io
import json
import struct
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from appliance.camera import AudioTrack, CameraError, Packet
from appliance.cameras.encoder import PictureEncoder
from appliance.writing.muxer import FRAGMENT_US, SMALLEST_PADDING, Muxer, has_parameter_sets
from tests.recording import FRAME_US, VIDEO, decoded, in_order, pictures, sound

HALF_A_FRAME = FRAME_US / 2 / 1_000_000
IN_STEP_SECONDS = 0.040


def muxed(packets: list[Packet], audio: AudioTrack | None = None, *, pad_every: int = 0) -> bytes:
    """Mux everything; with `pad_every`, a padding of growing size follows every so many fragments."""
    written = io.BytesIO()
    muxer = Muxer(written.write, VIDEO, audio)
    fragments = 0
    for packet in packets:
        fragments += muxer.add(packet)
        if pad_every and fragments == pad_every:
            fragments = 0
            muxer.pad(SMALLEST_PADDING + written.tell() % 5000)
    muxer.close()
    return written.getvalue()


def add_all(muxer: Muxer, packets: list[Packet]) -> None:
    for packet in packets:
        muxer.add(packet)


def boxes(mp4: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the place and the size of each box on the first level."""
    at = 0
    while at < len(mp4):
        size, name = struct.unpack_from(">I4s", mp4, at)
        yield name, at, size
        at += size
    assert at == len(mp4)


def index_of(mp4: bytes) -> list[tuple[int, int]]:
    """Return what the `mfra` box says of the first track: when (µs) and where each fragment begins."""
    # Where a fragment has a key frame the box tells when that is, and which of its pictures.
    return [(time_us - max(0, sample - 1) * FRAME_US, place) for time_us, place, sample in entries_of(mp4)]


def entries_of(mp4: bytes) -> list[tuple[int, int, int]]:
    """Return the entries of the first track in the `mfra` box: time (µs), place and sample number."""
    (mfra,) = [at for name, at, _ in boxes(mp4) if name == b"mfra"]
    size, name, version, track = struct.unpack_from(">I4sB3xI", mp4, mfra + 8)
    assert (name, version, track) == (b"tfra", 1, 1)
    entries = range(mfra + 8 + 24, mfra + 8 + size, 19)
    found = [struct.unpack_from(">QQBBB", mp4, entry) for entry in entries]
    return [(time_us, place, sample) for time_us, place, _, _, sample in found]


def ffprobe(mp4: bytes, folder: Path) -> list[dict[str, str]]:
    """Return what ffprobe, a program that is not ours, counts in each track."""
    path = folder / "clip.mp4"
    path.write_bytes(mp4)
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    assert done.stderr == ""
    streams: list[dict[str, str]] = json.loads(done.stdout)["streams"]
    return streams


def test_every_picture_that_goes_in_is_in_the_clip(tmp_path: Path) -> None:
    mp4 = muxed(pictures(4))
    assert len(decoded(mp4)) == 120
    (track,) = ffprobe(mp4, tmp_path)
    assert (track["codec_name"], track["nb_read_frames"]) == ("h264", "120")
    assert (int(track["width"]), int(track["height"])) == (320, 240)


@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_sound_and_picture_are_both_there_to_their_end(codec: Literal["aac", "opus"], tmp_path: Path) -> None:
    audio, tone = sound(4, codec)
    mp4 = muxed(in_order(pictures(4), tone), audio)
    video, heard = ffprobe(mp4, tmp_path)
    assert (video["nb_read_frames"], heard["codec_name"]) == ("120", codec)
    times = decoded(mp4, "audio")
    assert len(times) >= len([packet for packet in tone if packet.time_us >= 0]) - 1
    assert times[-1] == pytest.approx(4, abs=0.1)


def test_the_clip_begins_at_zero_however_late_the_camera_clock_is() -> None:
    times = decoded(muxed(pictures(2, start_us=9_000_000_000_123)))
    assert times == pytest.approx([index * FRAME_US / 1_000_000 for index in range(60)], abs=HALF_A_FRAME)


def test_frames_that_the_camera_lost_leave_a_gap_as_long_as_they_were() -> None:
    packets = pictures(3)
    del packets[40:55]
    times = decoded(muxed(packets))
    assert len(times) == 75
    assert times[40] - times[39] == pytest.approx(16 * FRAME_US / 1_000_000, abs=HALF_A_FRAME)


def test_fragments_are_a_quarter_of_a_second_and_each_stands_in_the_index() -> None:
    mp4 = muxed(pictures(4))
    places = [at for name, at, _ in boxes(mp4) if name == b"moof"]
    index = index_of(mp4)
    assert [place for _, place in index] == places
    lengths = [later - earlier for (earlier, _), (later, _) in pairwise(index)]
    assert max(lengths) <= FRAGMENT_US + FRAME_US
    assert len(index) >= 4 * 3


def test_the_index_tells_time_and_place_of_every_key_frame() -> None:
    packets = pictures(4)
    entries = entries_of(muxed(packets, pad_every=2))
    assert [time_us for time_us, _, sample in entries if sample] == [
        packet.time_us for packet in packets if packet.is_key
    ]
    assert [sample for _, _, sample in entries if sample] == [1, 7, 5, 3]
    assert len(entries) > 12


def test_the_index_is_right_where_padding_stands_between_the_fragments() -> None:
    mp4 = muxed(pictures(4), pad_every=2)
    assert [name for name, _, _ in boxes(mp4)].count(b"free") >= 6
    assert [place for _, place in index_of(mp4)] == [at for name, at, _ in boxes(mp4) if name == b"moof"]


def test_a_player_passes_over_padding(tmp_path: Path) -> None:
    mp4 = muxed(pictures(4), pad_every=1)
    assert len(decoded(mp4)) == 120
    assert ffprobe(mp4, tmp_path)[0]["nb_read_frames"] == "120"


def test_a_player_finds_a_moment_in_a_padded_clip_by_its_index() -> None:
    with av.open(io.BytesIO(muxed(pictures(8), pad_every=1)), mode="r") as container:
        container.seek(5_500_000)
        found = next(container.decode(video=0)).time
    assert found == pytest.approx(5.0, abs=HALF_A_FRAME)


def test_a_clip_cut_anywhere_plays_up_to_the_cut() -> None:
    packets = pictures(3)
    mp4 = muxed(packets)
    fragments = [(at, at + size) for name, at, size in boxes(mp4) if name == b"mdat"]
    starts = [start_us for start_us, _ in index_of(mp4)]
    for (_, end), next_start_us in zip(fragments[:-1], starts[1:], strict=True):
        for cut in (end, end + 60):
            times = decoded(mp4[:cut])
            assert times[-1] == pytest.approx((next_start_us - FRAME_US) / 1_000_000, abs=HALF_A_FRAME)


def test_every_fragment_is_handed_on_as_soon_as_its_last_picture_is_known() -> None:
    written = io.BytesIO()
    muxer = Muxer(written.write, VIDEO, None)
    behind = []
    for packet in pictures(3):
        muxer.add(packet)
        shown = decoded(written.getvalue()) if b"moof" in written.getvalue() else []
        behind.append(packet.time_us - round(shown[-1] * 1_000_000) if shown else packet.time_us)
    muxer.abandon()
    assert max(behind) <= FRAGMENT_US + 2 * FRAME_US


def test_add_tells_when_a_fragment_went_out() -> None:
    written = io.BytesIO()
    muxer = Muxer(written.write, VIDEO, None)
    told = [muxer.add(packet) for packet in pictures(3)]
    muxer.abandon()
    assert sum(told) == written.getvalue().count(b"moof")
    assert not told[0]


def test_a_packet_may_be_overwritten_as_soon_as_it_was_added() -> None:
    written = io.BytesIO()
    muxer = Muxer(written.write, VIDEO, None)
    for packet in pictures(2):
        muxer.add(packet)
        packet.data[:] = bytes(len(packet.data))
    muxer.close()
    assert written.getvalue() == muxed(pictures(2))


def test_a_beep_is_heard_when_its_flash_is_seen() -> None:
    mp4 = _flash_and_beep(at_seconds=2.0)
    assert abs(_flash_seconds(mp4) - _beep_seconds(mp4)) <= IN_STEP_SECONDS


def test_a_beep_stays_with_its_flash_where_the_sound_begins_late() -> None:
    mp4 = _flash_and_beep(at_seconds=2.0, sound_from=1.3)
    assert abs(_flash_seconds(mp4) - _beep_seconds(mp4)) <= IN_STEP_SECONDS


def test_a_beep_stays_with_its_flash_after_a_pause_of_the_sound() -> None:
    mp4 = _flash_and_beep(at_seconds=2.0, without_sound=(0.5, 1.5))
    assert abs(_flash_seconds(mp4) - _beep_seconds(mp4)) <= IN_STEP_SECONDS


def test_a_microphone_that_never_speaks_delays_no_picture() -> None:
    audio, _ = sound(1)
    written = io.BytesIO()
    muxer = Muxer(written.write, VIDEO, audio)
    for packet in pictures(2):
        muxer.add(packet)
    assert written.getvalue().count(b"moof") >= 6
    muxer.close()
    assert len(decoded(written.getvalue())) == 60


def test_sound_from_before_the_first_picture_is_left_out() -> None:
    audio, tone = sound(2)
    first = pictures(1, start_us=1_000_000)
    mp4 = muxed(in_order(first, tone), audio)
    assert decoded(mp4)[0] == 0
    assert 0 <= decoded(mp4, "audio")[0] <= 0.05


@pytest.mark.parametrize("jump_seconds", [-7200, -10, -1, 61, 7200, 90_000])
def test_a_jump_of_the_camera_clock_leaves_no_hole_and_delays_no_fragment(jump_seconds: int) -> None:
    packets = pictures(4)
    jumped = [packet._replace(time_us=packet.time_us + jump_seconds * 1_000_000) for packet in packets[60:]]
    mp4 = muxed([*packets[:60], *jumped])
    assert decoded(mp4) == pytest.approx(decoded(muxed(packets)))
    lengths = [later - earlier for (earlier, _), (later, _) in pairwise(index_of(mp4))]
    assert max(lengths) <= FRAGMENT_US + FRAME_US


def test_sound_stays_in_step_through_a_jump_of_the_camera_clock() -> None:
    mp4 = _flash_and_beep(at_seconds=2.0, clock_jumps=(1.0, 3600))
    assert abs(_flash_seconds(mp4) - _beep_seconds(mp4)) <= IN_STEP_SECONDS


def test_pictures_of_one_moment_are_all_kept() -> None:
    packets = [packet._replace(time_us=min(packet.time_us, 30 * FRAME_US)) for packet in pictures(2)]
    assert len(decoded(muxed(packets))) == 60


def test_what_no_clip_can_hold_is_refused_in_one_sentence_and_the_rest_can_be_closed() -> None:
    written = io.BytesIO()
    muxer = Muxer(written.write, VIDEO, None)
    packets = pictures(2)
    packets[45] = packets[45]._replace(duration_us=1 << 40)
    with pytest.raises(CameraError, match="gives what no clip can hold"):
        add_all(muxer, packets)
    muxer.close()
    assert len(decoded(written.getvalue())) >= 40


def test_an_error_of_the_writer_passes_through_and_nothing_is_written_after_it() -> None:
    pieces: list[bytes] = []

    def write(data: bytes) -> None:
        if len(pieces) == 3:
            raise OSError(28, "No space left on device")
        pieces.append(data)

    muxer = Muxer(write, VIDEO, None)
    with pytest.raises(OSError, match="No space left"):
        add_all(muxer, pictures(3))
    muxer.abandon()
    del muxer
    assert len(pieces) == 3
    assert decoded(b"".join(pieces))


@pytest.mark.parametrize("prefix", [b"\x00\x00\x00\x01", b"\x00\x00\x01"])
@pytest.mark.parametrize("before", [b"", b"\x00\x00\x00\x01\x09\xf0"])
def test_a_key_frame_with_an_sps_can_begin_a_clip(prefix: bytes, before: bytes) -> None:
    assert has_parameter_sets(bytearray(before + prefix + b"\x67\x42\xc0\x1f" + prefix + b"\x65" + b"\xff" * 500))


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x01", b"\x00\x00\x00\x01\x65" + b"\xff" * 500, b"\xff" * 9000])
def test_a_key_frame_without_an_sps_cannot_begin_a_clip(data: bytes) -> None:
    assert not has_parameter_sets(bytearray(data))


def test_every_key_frame_of_our_encoder_can_begin_a_clip() -> None:
    keys = [packet for packet in pictures(3) if packet.is_key]
    assert len(keys) == 3
    assert all(has_parameter_sets(packet.data) for packet in keys)


# A scene that is dark and silent but for one white flash and one beep at the same moment.


def _flash_and_beep(
    *,
    at_seconds: float,
    sound_from: float = 0.0,
    without_sound: tuple[float, float] = (0.0, 0.0),
    clock_jumps: tuple[float, int] = (0.0, 0),
) -> bytes:
    audio, beep = sound(4, heard=(at_seconds, at_seconds + 0.2))
    pause_start, pause_end = (seconds * 1_000_000 for seconds in without_sound)
    kept = [
        packet
        for packet in beep
        if packet.time_us >= sound_from * 1_000_000 and not pause_start <= packet.time_us < pause_end
    ]
    jump_at, jump = clock_jumps[0] * 1_000_000, clock_jumps[1] * 1_000_000
    packets = in_order(_flash(at_seconds), kept)
    return muxed([p._replace(time_us=p.time_us + jump) if p.time_us >= jump_at else p for p in packets], audio)


def _flash(at_seconds: float) -> list[Packet]:
    encoder = PictureEncoder(width=320, height=240, frames_per_second=30, bits_per_second=500_000)
    packets: list[Packet] = []
    for index in range(120):
        shade = 255 if index == round(at_seconds * 30) else 0
        picture = VideoFrame.from_ndarray(np.full((240, 320, 3), shade, np.uint8), format="rgb24")
        packets += encoder.encode(picture.reformat(format="yuv420p"), time_us=index * FRAME_US, sequence=index)
    return packets


def _flash_seconds(mp4: bytes) -> float:
    with av.open(io.BytesIO(mp4), mode="r") as container:
        lit = [frame.time for frame in container.decode(video=0) if frame.to_ndarray(format="gray").mean() > 128]
    assert len(lit) == 1
    return float(lit[0] or 0)


def _beep_seconds(mp4: bytes) -> float:
    with av.open(io.BytesIO(mp4), mode="r") as container:
        for frame in container.decode(audio=0):
            (loud,) = np.nonzero(abs(frame.to_ndarray()[0]) > 0.2)
            if loud.size:
                return float(frame.time or 0) + int(loud[0]) / frame.sample_rate
    raise AssertionError("no beep is heard")
