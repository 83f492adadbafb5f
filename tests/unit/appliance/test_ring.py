"""The ring against a simple model of it, and its promises one by one."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera import Kind, Packet
from appliance.ring import Ring, overwrite

FRAME_US = 40_000


def picture(number: int, *, key: bool, size: int = 100) -> Packet:
    return Packet(Kind.VIDEO, bytearray(b"\x65" * size), key, number * FRAME_US, FRAME_US, number)


def sound(time_us: int, *, size: int = 20) -> Packet:
    return Packet(Kind.AUDIO, bytearray(b"\x21" * size), True, time_us, 20_000, time_us // 20_000)


def gops(count: int, *, pictures: int = 25, size: int = 100) -> list[Packet]:
    return [picture(number, key=number % pictures == 0, size=size) for number in range(count * pictures)]


def pushed(ring: Ring, packets: list[Packet]) -> Ring:
    for packet in packets:
        ring.push(packet)
    return ring


def test_packets_come_out_in_order_and_begin_with_a_key_frame() -> None:
    packets = gops(10)
    ring = pushed(Ring(max_seconds=3, max_bytes=10**6), packets)
    drained = ring.drain()
    assert drained == packets[-75:]
    assert drained[0].is_key


def test_a_drained_ring_is_empty_and_what_it_gave_is_untouched() -> None:
    ring = pushed(Ring(max_seconds=3, max_bytes=10**6), gops(2))
    drained = ring.drain()
    assert (len(ring), ring.bytes_held, ring.seconds, ring.drain()) == (0, 0, 0.0, [])
    ring.wipe()
    assert all(bytes(packet.data) == b"\x65" * 100 for packet in drained)


def test_nothing_is_kept_before_the_first_key_frame() -> None:
    orphans = [picture(number, key=False) for number in range(5)] + [sound(0)]
    ring = pushed(Ring(max_seconds=3, max_bytes=10**6), orphans)
    assert len(ring) == 0
    assert all(not any(packet.data) for packet in orphans)


def test_pre_record_of_zero_seconds_never_holds_a_packet() -> None:
    ring = Ring(max_seconds=0, max_bytes=10**6)
    instant = Packet(Kind.VIDEO, bytearray(b"x"), True, 0, 0, 0)
    for packet in [instant, *gops(2), sound(10)]:
        ring.push(packet)
        assert len(ring) == 0
        assert not any(packet.data)


def test_a_whole_gop_is_dropped_at_a_time() -> None:
    ring = pushed(Ring(max_seconds=2, max_bytes=10**6), gops(2))
    assert len(ring) == 50
    ring.push(picture(50, key=True))
    assert len(ring) == 26


def test_a_gop_longer_than_the_limit_is_dropped_and_the_next_key_frame_awaited() -> None:
    ring = Ring(max_seconds=1, max_bytes=10**6)
    pushed(ring, [picture(number, key=number == 0) for number in range(40)])
    assert len(ring) == 0
    pushed(ring, [picture(40, key=True), picture(41, key=False)])
    assert [packet.sequence for packet in ring.drain()] == [40, 41]


def test_a_gop_larger_than_the_limit_is_dropped_and_the_next_key_frame_awaited() -> None:
    ring = Ring(max_seconds=10, max_bytes=1_000)
    pushed(ring, [picture(number, key=number == 0, size=300) for number in range(4)])
    assert len(ring) == 0
    pushed(ring, [picture(5, key=True, size=300)])
    assert [packet.sequence for packet in ring.drain()] == [5]


def test_a_key_frame_larger_than_the_limit_empties_the_ring() -> None:
    giant = picture(25, key=True, size=2_000)
    ring = pushed(Ring(max_seconds=10, max_bytes=1_000), [picture(24, key=True), giant])
    assert len(ring) == 0
    assert not any(giant.data)


def test_dropped_packets_are_overwritten_with_zeros() -> None:
    packets = gops(5)
    ring = pushed(Ring(max_seconds=2, max_bytes=10**6), packets)
    held = len(ring)
    assert all(not any(packet.data) and len(packet.data) == 100 for packet in packets[:-held])
    assert all(all(packet.data) for packet in packets[-held:])


def test_wiping_overwrites_everything() -> None:
    packets = [*gops(2), sound(60 * FRAME_US)]
    ring = pushed(Ring(max_seconds=3, max_bytes=10**6), packets)
    ring.wipe()
    assert all(not any(packet.data) for packet in packets)
    assert (len(ring), ring.bytes_held, ring.seconds) == (0, 0, 0.0)


def test_packets_of_every_size_are_overwritten_to_the_last_byte() -> None:
    for size in (0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 700_000):
        data = bytearray(b"\xff" * size)
        overwrite(data)
        assert data == bytes(size)


def test_a_camera_that_stands_still_does_not_keep_its_last_pictures() -> None:
    packets = gops(2)
    ring = pushed(Ring(max_seconds=2, max_bytes=10**6), packets)
    ring.expire(now_us=2_000_000)
    assert len(ring) == 50
    ring.expire(now_us=2_000_001)
    assert len(ring) == 25
    ring.expire(now_us=10_000_000)
    assert len(ring) == 0
    assert all(not any(packet.data) for packet in packets)


def test_late_sound_is_dropped_with_the_gop_of_its_own_time() -> None:
    late = sound(24 * FRAME_US)
    ring = pushed(Ring(max_seconds=2, max_bytes=10**6), [*gops(2)[:30], late])
    assert ring.drain()[25] is late
    ring = pushed(Ring(max_seconds=2, max_bytes=10**6), [*gops(2)[:30], late, *gops(3)[30:]])
    assert late not in ring.drain()
    assert not any(late.data)


def test_early_sound_goes_with_the_key_frame_that_comes_after_it() -> None:
    early = sound(25 * FRAME_US + 10_000)
    packets = gops(2)
    ring = pushed(Ring(max_seconds=1, max_bytes=10**6), [*packets[:25], early])
    assert len(ring) == 0, "the sound made the span longer than a second"
    early = sound(25 * FRAME_US + 10_000)
    packets = gops(4)
    ring = pushed(Ring(max_seconds=2, max_bytes=10**6), [*packets[:25], early, *packets[25:51]])
    assert ring.drain()[:2] == [packets[25], early]


def test_sound_older_than_the_first_key_frame_is_refused() -> None:
    old = sound(10)
    ring = pushed(Ring(max_seconds=2, max_bytes=10**6), [picture(25, key=True), old])
    assert len(ring) == 1
    assert not any(old.data)


@dataclass
class Model:
    """What the ring promises, said as plainly as it can be: a list of GOPs, each a key frame and what has its time."""

    max_us: int
    max_bytes: int
    gops: list[list[Packet]] = field(default_factory=list)

    def packets(self) -> list[Packet]:
        return [packet for gop in self.gops for packet in gop]

    def push(self, packet: Packet) -> None:
        def fits() -> bool:
            after = [*self.packets(), packet]
            start = self.gops[0][0].time_us
            span = max(one.time_us + one.duration_us for one in after) - start
            return span <= self.max_us and sum(len(one.data) for one in after) <= self.max_bytes

        while self.gops and not fits():
            self.gops.pop(0)
        if packet.kind is Kind.VIDEO and packet.is_key:
            self._begin(packet)
            return
        for gop in reversed(self.gops):
            if gop[0].time_us <= packet.time_us:
                gop.append(packet)
                return

    def _begin(self, key: Packet) -> None:
        if self.max_us == 0 or key.duration_us > self.max_us or len(key.data) > self.max_bytes:
            self.gops = []
            return
        early = [packet for packet in self.packets() if packet.time_us >= key.time_us]
        self.gops = [[packet for packet in gop if packet not in early] for gop in self.gops] + [[key, *early]]


@st.composite
def streams(draw: st.DrawFn) -> list[Packet]:
    """Pictures in order with GOPs of any length, lost frames, and sound up to 200 ms too early or too late."""
    packets, time_us, sound_us = [], 0, 0
    for sequence in range(draw(st.integers(1, 60))):
        time_us += FRAME_US * draw(st.sampled_from([1, 1, 1, 1, 2, 30]))
        size = draw(st.integers(1, 400))
        key = draw(st.integers(0, 7)) == 0
        packets.append(Packet(Kind.VIDEO, bytearray(b"\x65" * size), key, time_us, FRAME_US, sequence))
        for _ in range(draw(st.integers(0, 2))):
            sound_us = max(sound_us + 20_000, time_us + draw(st.integers(-200_000, 200_000)))
            packets.append(sound(sound_us, size=draw(st.integers(1, 50))))
    return packets


@pytest.mark.parametrize("with_expiry", [False, True])
@given(
    stream=streams(),
    max_seconds=st.sampled_from([0, 0.03, 0.4, 1, 5, 100]),
    max_bytes=st.sampled_from([0, 300, 2_000, 10**6]),
)
def test_the_ring_behaves_as_its_model_for_any_stream(
    *, with_expiry: bool, stream: list[Packet], max_seconds: float, max_bytes: int
) -> None:
    ring, model = Ring(max_seconds=max_seconds, max_bytes=max_bytes), Model(round(max_seconds * 1e6), max_bytes)
    for count, packet in enumerate(stream, start=1):
        packet.data[:] = b"\x65" * len(packet.data)
        ring.push(packet)
        model.push(packet)
        if with_expiry:
            ring.expire(packet.time_us)
            model.gops = [gop for gop in model.gops if packet.time_us - gop[0].time_us <= model.max_us]
        held = model.packets()
        assert (len(ring), ring.bytes_held) == (len(held), sum(len(one.data) for one in held))
        assert ring.bytes_held <= max_bytes
        assert ring.seconds <= max_seconds
        assert {id(one) for one in stream[:count] if any(one.data)} == {id(one) for one in held}
    assert [id(one) for one in ring.drain()] == [id(one) for one in model.packets()]
