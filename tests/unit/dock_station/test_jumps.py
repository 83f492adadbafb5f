"""Whoever jumps about in a clip gets each picture and each sound at its own time, in whatever order the jumps come."""

import io
import itertools
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import av
import pytest

from appliance.camera import Packet
from dock_station.playback import mp4_index
from dock_station.playback.mp4_boxes import NotPlayableError, runs
from dock_station.playback.mp4_index import index_of
from tests.films import (
    Content,
    muxed,
    padded,
    places,
    silent,
    virtual,
    with_late_sound,
    with_lost_pictures,
    with_sound,
)
from tests.recording import in_order, pictures, sound


def with_opus() -> bytes:
    track, packets = sound(8, "opus")
    return muxed(in_order(pictures(8), packets), track)


def with_pauses_in_the_sound() -> bytes:
    track, packets = sound(8)
    return muxed(in_order(pictures(8), packets[:100] + packets[200:250] + packets[300:340] + packets[360:]), track)


def with_lost_pictures_at_the_end() -> bytes:
    track, packets = sound(8)
    return muxed(in_order([*pictures(8)[:215], *pictures(8)[228:]], packets), track, pad_every=1)


def with_sound_after_its_last_picture() -> bytes:
    track, packets = sound(30)
    return muxed(in_order(pictures(8), packets), track)


def with_sound_stored_late() -> bytes:
    track, packets = sound(8)
    return muxed(stored_later(pictures(8), packets, 2_000_000), track)


def with_sound_stored_early() -> bytes:
    track, packets = sound(8)
    return muxed(stored_later(pictures(8), packets, -2_000_000), track)


def with_a_key_frame_at_the_end() -> bytes:
    return muxed(pictures(8)[:211])


def short() -> bytes:
    return muxed(pictures(0.2))


def of_a_clock_set_forward() -> bytes:
    return of_a_clock_that_jumps(70_000_000)


def of_a_clock_set_forward_a_little() -> bytes:
    return of_a_clock_that_jumps(5_000_000)


def of_a_clock_set_back() -> bytes:
    return of_a_clock_that_jumps(-3_000_000)


def of_a_clock_that_falters() -> bytes:
    chance = random.Random(7)
    return muxed([packet._replace(time_us=packet.time_us + chance.randrange(60_000)) for packet in pictures(8)])


def cut_in_the_middle() -> bytes:
    return with_sound()[: len(with_sound()) * 6 // 10]


def padded_and_cut() -> bytes:
    return padded()[: len(padded()) * 6 // 10]


def of_a_clock_that_jumps(by_us: int) -> bytes:
    """Let the pictures' clock jump, and not the sound's."""
    track, packets = sound(8)
    seen = [packet._replace(time_us=packet.time_us + by_us * (packet.sequence > 100)) for packet in pictures(8)]
    order = [(packet.sequence * 33_333, packet) for packet in seen] + [(packet.time_us, packet) for packet in packets]
    return muxed([packet for _, packet in sorted(order, key=lambda placed: placed[0])], track)


def stored_later(seen: Sequence[Packet], heard: Sequence[Packet], by_us: int) -> list[Packet]:
    order = [(packet.time_us, packet) for packet in seen] + [(packet.time_us + by_us, packet) for packet in heard]
    return [packet for _, packet in sorted(order, key=lambda placed: placed[0])]


CLIPS = [
    silent,
    padded,
    with_sound,
    with_late_sound,
    with_lost_pictures,
    with_opus,
    with_pauses_in_the_sound,
    with_lost_pictures_at_the_end,
    with_sound_after_its_last_picture,
    with_sound_stored_late,
    with_sound_stored_early,
    with_a_key_frame_at_the_end,
    short,
    of_a_clock_set_forward,
    of_a_clock_set_forward_a_little,
    of_a_clock_set_back,
    of_a_clock_that_falters,
    cut_in_the_middle,
    padded_and_cut,
]
every_clip = pytest.mark.parametrize("clip", CLIPS)


def content(mp4: bytes) -> dict[tuple[str, int], bytes]:
    """Return each packet of a file that is read from beginning to end: by its track, and its time in the track's."""
    with av.open(io.BytesIO(mp4), mode="r") as container:
        return {
            (packet.stream.type, packet.pts): bytes(packet) for packet in container.demux() if packet.pts is not None
        }


@dataclass(frozen=True)
class Film:
    """What a player is given, and what it must show: every packet, and the times of pictures and key frames."""

    played: bytes
    packets: dict[tuple[str, int], bytes]
    pictures: list[int]
    key_frames: list[int]
    seconds: float


@cache
def film(clip: Callable[[], bytes]) -> Film:
    mp4 = clip()
    played = virtual(mp4)
    packets = content(played)
    with av.open(io.BytesIO(played), mode="r") as container:
        seen = [packet for packet in container.demux(video=0) if packet.is_keyframe]
    key_frames = [packet.pts for packet in seen if packet.pts is not None]
    pictures = sorted(time for kind, time in packets if kind == "video")
    return Film(played, packets, pictures, key_frames, index_of(Content(mp4)).seconds)


class Player:
    """One open file that is jumped about in."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self._container = av.open(io.BytesIO(film.played), mode="r")
        self._unit = float(self._container.streams.video[0].time_base or 0)

    def jump(self, seconds: float, count: int) -> None:
        """Jump, read some packets of both tracks, and see that they are the right ones."""
        self._container.seek(round(seconds * 1_000_000))
        read = [packet for packet in itertools.islice(self._container.demux(), count) if packet.pts is not None]
        for packet in read:
            assert self._film.packets[packet.stream.type, packet.pts or 0] == bytes(packet)
        times = [packet.pts or 0 for packet in read if packet.stream.type == "video"]
        if times:
            first = self._film.pictures.index(times[0])
            assert times[0] == max(time for time in self._film.key_frames if time * self._unit <= seconds + 0.000_001)
            assert times == self._film.pictures[first : first + len(times)]


@every_clip
def test_the_pictures_and_sounds_of_the_virtual_file_are_the_stored_ones_at_their_own_times(
    clip: Callable[[], bytes],
) -> None:
    stored, played = content(clip()), content(virtual(clip()))
    assert {place: stored[place] for place in played} == played
    if not clip.__name__.endswith(("cut", "middle")):
        assert played == stored


@every_clip
def test_jumps_in_any_order_show_every_picture_at_its_own_time(clip: Callable[[], bytes]) -> None:
    seconds = film(clip).seconds
    for order in itertools.permutations((0.99, 0.26, 0.66, 0.04)):
        player = Player(film(clip))
        for part in order:
            player.jump(part * seconds, 20)


@every_clip
@pytest.mark.parametrize("seed", range(4))
def test_playing_and_jumping_about_for_long_shows_every_picture_at_its_own_time(
    clip: Callable[[], bytes], seed: int
) -> None:
    seconds = film(clip).seconds
    player, chance = Player(film(clip)), random.Random(seed)
    ends = [seconds + beyond for beyond in (-1.2, -0.3, -0.01, 0, 1)]
    for _ in range(25):
        player.jump(max(0, chance.choice([0, *ends, chance.uniform(0, seconds)])), chance.choice([3, 60, 700]))


def test_a_second_jump_to_the_end_does_not_go_on_where_the_part_played_in_between_was_left() -> None:
    seconds = film(silent).seconds
    player = Player(film(silent))
    player.jump(seconds, 100)
    player.jump(0, 60)
    player.jump(0, 1)
    player.jump(seconds, 100)


@every_clip
def test_a_unit_writes_one_run_of_samples_for_each_track_in_a_fragment(clip: Callable[[], bytes]) -> None:
    mp4 = clip()
    index = index_of(Content(mp4))
    for at in places(mp4, b"moof"):
        moof = mp4[at : at + int.from_bytes(mp4[at : at + 4], "big")]
        for track in filter(None, (index.video, index.sound)):
            assert len(list(runs(moof, track))) <= 1


def with_its_last_fragment_moved(by_us: int) -> bytes:
    mp4 = bytearray(silent())
    place = mp4.index(b"tfdt", places(bytes(mp4), b"moof")[-1]) + 8
    (time,) = struct.unpack_from(">Q", mp4, place)
    struct.pack_into(">Q", mp4, place, time + by_us)
    return bytes(mp4)


@pytest.mark.parametrize("by_us", [500_000, -20_000])
def test_a_gap_before_the_last_fragment_leaves_every_picture_at_its_own_time(by_us: int) -> None:
    stored = content(with_its_last_fragment_moved(by_us))
    assert stored != content(silent())
    assert content(virtual(with_its_last_fragment_moved(by_us))) == stored


def test_a_last_fragment_whose_time_goes_back_is_told_in_a_sentence() -> None:
    with pytest.raises(NotPlayableError, match="a fragment is damaged"):
        index_of(Content(with_its_last_fragment_moved(-500_000)))


def test_a_clip_that_goes_on_for_too_long_after_its_last_key_frame_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mp4_index, "MAX_TAIL", 1000)
    assert index_of(Content(silent()))
    with pytest.raises(NotPlayableError, match="too long after its last key frame"):
        index_of(Content(with_sound_after_its_last_picture()))
