"""The ring: the packets of the last seconds before a touch, in memory only."""

from collections import deque

from appliance.camera import Kind, Packet

_ZEROS = memoryview(bytes(256 * 1024))


class Ring:
    """Holds the newest packets until somebody asks for them, and forgets the rest for good.

    What holds before and after every call:

    - The packets are in RAM and nowhere else; this class writes nothing and logs nothing.
    - It is empty, or its first packet is a key frame: what `drain` gives can be decoded from its first byte.
    - It spans at most `max_seconds` (start of the first packet to end of the last) and at most `max_bytes` of packet
      data. Room is made before a packet goes in, so there is no moment at which it holds more. It is dropped by whole
      GOPs, the oldest first; sound goes with the GOP in whose time it was captured.
    - A packet that is dropped, wiped or refused is overwritten with zeros in place, in the same call. Only what `drain`
      hands over survives. A packet that was pushed thus belongs to the ring.
    - Where one GOP alone is more than the limits allow it is dropped whole, and the ring stays empty until the next
      key frame. With `max_seconds` 0 it never holds anything.

    Time is the packets' own: a camera that stands still ages nothing, so its owner calls `expire` from time to time.
    The ring is not safe for two threads at once: its owner holds a lock around each call.
    """

    def __init__(self, *, max_seconds: float, max_bytes: int) -> None:
        self._max_us = round(max_seconds * 1_000_000)
        self._max_bytes = max_bytes
        self._gops: deque[_Gop] = deque()
        self._end_us = 0
        self._bytes = 0

    @property
    def seconds(self) -> float:
        """From the start of the first packet to the end of the last."""
        return (self._end_us - self._gops[0].start_us) / 1_000_000 if self._gops else 0.0

    @property
    def bytes_held(self) -> int:
        """The sum of the packets' data."""
        return self._bytes

    def __len__(self) -> int:
        return sum(len(gop.packets) for gop in self._gops)

    def push(self, packet: Packet) -> None:
        """Take `packet` over. Packets of one kind come in the order of their time."""
        kind, data, is_key, time_us, duration_us, _, _ = packet
        size = len(data)
        end_us = time_us + duration_us
        end_us = max(end_us, self._end_us)
        gops = self._gops
        while gops and (end_us - gops[0].start_us > self._max_us or self._bytes + size > self._max_bytes):
            self._drop_oldest()
        if is_key and kind is Kind.VIDEO:
            self._begin_gop(packet, size, end_us)
        elif gops and time_us >= gops[0].start_us:
            gop = gops[-1]
            if time_us < gop.start_us:
                gop = self._gop_at(time_us)
            gop.packets.append(packet)
            gop.size += size
            self._bytes += size
            self._end_us = end_us
        else:
            overwrite(data)

    def drain(self) -> list[Packet]:
        """Hand everything over in order, key frame first, and be empty."""
        packets = [packet for gop in self._gops for packet in gop.packets]
        self._gops.clear()
        self._bytes = 0
        self._end_us = 0
        return packets

    def expire(self, now_us: int) -> None:
        """Drop every GOP that began more than `max_seconds` before `now_us` (monotonic clock, microseconds)."""
        while self._gops and now_us - self._gops[0].start_us > self._max_us:
            self._drop_oldest()

    def wipe(self) -> None:
        """Overwrite everything and be empty."""
        while self._gops:
            self._drop_oldest()

    def _begin_gop(self, key_frame: Packet, size: int, end_us: int) -> None:
        if not self._max_us or key_frame.duration_us > self._max_us or size > self._max_bytes:
            self.wipe()
            overwrite(key_frame.data)
            return
        gop = _Gop(key_frame, size)
        if self._gops:
            gop.take_sound_from(self._gops[-1])
            self._end_us = end_us
        else:
            self._end_us = key_frame.time_us + key_frame.duration_us
        self._gops.append(gop)
        self._bytes += size

    def _gop_at(self, time_us: int) -> "_Gop":
        return next(gop for gop in reversed(self._gops) if gop.start_us <= time_us)

    def _drop_oldest(self) -> None:
        gop = self._gops.popleft()
        self._bytes -= gop.size
        for packet in gop.packets:
            overwrite(packet.data)
        if not self._gops:
            self._end_us = 0


class _Gop:
    """A key frame and everything captured from its moment until the next one."""

    __slots__ = ("packets", "size", "start_us")

    def __init__(self, key_frame: Packet, size: int) -> None:
        self.packets = [key_frame]
        self.start_us = key_frame.time_us
        self.size = size

    def take_sound_from(self, earlier: "_Gop") -> None:
        """Move over the sound that reached the ring before the key frame it belongs to."""
        early = [packet for packet in earlier.packets if packet.time_us >= self.start_us]
        if early:
            earlier.packets = [packet for packet in earlier.packets if packet.time_us < self.start_us]
            moved = sum(len(packet.data) for packet in early)
            earlier.size -= moved
            self.packets += early
            self.size += moved


def overwrite(data: bytearray) -> None:
    """Set every byte of `data` to zero, in place and without taking memory."""
    view = memoryview(data)
    if len(data) <= len(_ZEROS):  # all but the largest key frames
        view[:] = _ZEROS[: len(data)]
        return
    for start in range(0, len(data), len(_ZEROS)):
        piece = view[start : start + len(_ZEROS)]
        piece[:] = _ZEROS[: len(piece)]
