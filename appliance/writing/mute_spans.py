"""The stretches of a clip in which silence stands in for sound, as its manifest states them."""

from appliance.camera import Packet
from evidence.manifest import Span

# Between two packets of one stretch nothing is missing but what their whole microseconds leave out.
_SAME_STRETCH_US = 1_000


class MuteSpans:
    """Is shown every packet of sound in order; says where it was silence, in seconds from the clip's first picture."""

    def __init__(self) -> None:
        self._stretches: list[tuple[int, int]] = []

    def note(self, packet: Packet) -> None:
        """Take note of a packet of sound."""
        if not packet.is_silence:
            return
        start, end = packet.time_us, packet.time_us + packet.duration_us
        if self._stretches and start - self._stretches[-1][1] <= _SAME_STRETCH_US:
            start, earlier_end = self._stretches.pop()
            end = max(end, earlier_end)
        self._stretches.append((start, end))

    def since(self, first_us: int) -> tuple[Span, ...]:
        """Return the stretches of a clip whose first picture was captured at that moment."""
        return tuple(
            Span(start_seconds=max(0, start - first_us) / 1_000_000, end_seconds=(end - first_us) / 1_000_000)
            for start, end in self._stretches
            if end > first_us
        )
