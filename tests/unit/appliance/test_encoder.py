"""The software encoder's promises on pictures that are hard to encode."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from av.video.frame import VideoFrame

from appliance.camera import Packet
from appliance.cameras.encoder import PictureEncoder
from tests.cameras import decoded_pictures

SIZE = (320, 240)
START_US = 5_000_000_000


def noise(count: int) -> Iterator[VideoFrame]:
    """Yield pictures that no encoder can make small."""
    random = np.random.default_rng(7)
    for _ in range(count):
        pixels = random.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
        yield VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


def encoded(
    count: int, *, interval_us: int, frames_per_second: int = 30, bits_per_second: int = 1_000_000
) -> list[Packet]:
    encoder = PictureEncoder(
        width=SIZE[0], height=SIZE[1], frames_per_second=frames_per_second, bits_per_second=bits_per_second
    )
    packets = []
    for number, picture in enumerate(noise(count)):
        new = encoder.encode(picture, time_us=START_US + number * interval_us, sequence=100 + number)
        assert len(new) == 1
        packets += new
    return packets


def unit_types(data: bytearray) -> list[int]:
    """Return the types of an access unit's NAL units, by the start codes of Annex B."""
    return [piece[0] & 31 for piece in bytes(data).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]


def test_each_picture_is_one_packet_at_once_with_its_own_time_and_number() -> None:
    packets = encoded(40, interval_us=33_333)
    assert [packet.time_us for packet in packets] == [START_US + number * 33_333 for number in range(40)]
    assert [packet.sequence for packet in packets] == list(range(100, 140))
    assert {packet.duration_us for packet in packets} == {33_333}


def test_each_key_frame_begins_with_sps_and_pps_and_nothing_else_has_them() -> None:
    for packet in encoded(65, interval_us=33_333):
        assert packet.data.startswith((b"\0\0\1", b"\0\0\0\1"))
        types = unit_types(packet.data)
        assert ([kind for kind in types if kind in (7, 8)] == [7, 8]) == packet.is_key
        assert (5 in types) == packet.is_key


def test_every_key_frame_is_a_place_to_begin() -> None:
    packets = encoded(65, interval_us=33_333)
    places = [place for place, packet in enumerate(packets) if packet.is_key]
    assert places == [0, 30, 60]
    for place in places:
        assert len(decoded_pictures(packets[place:])) == 65 - place


def test_key_frames_come_each_second_even_where_pictures_come_slowly() -> None:
    for interval_us in (70_000, 400_000, 1_500_000):
        keys = [packet.time_us for packet in encoded(30, interval_us=interval_us) if packet.is_key]
        assert len(keys) >= 3
        assert all(later - earlier <= max(1_000_000, interval_us) for earlier, later in pairwise(keys))


def test_a_key_frame_comes_when_it_is_asked_for_whatever_the_picture_was_in_its_file() -> None:
    encoder = PictureEncoder(width=SIZE[0], height=SIZE[1], frames_per_second=30, bits_per_second=1_000_000)
    keys = []
    for number, picture in enumerate(noise(20)):
        picture.pict_type = 1
        wanted = number in (7, 12)
        packets = encoder.encode(picture, time_us=number * 33_333, sequence=number, as_key_frame=wanted)
        keys += [packet.sequence for packet in packets if packet.is_key]
    assert keys == [0, 7, 12]


def test_no_second_of_noise_is_much_larger_than_the_settings_allow() -> None:
    packets = encoded(150, interval_us=33_333, bits_per_second=2_000_000)
    seconds = [sum(len(packet.data) for packet in packets[begin : begin + 30]) * 8 for begin in range(0, 150, 30)]
    assert all(bits < 2 * 2_000_000 for bits in seconds)
    assert sum(seconds) < 1.5 * 5 * 2_000_000
