"""Leads packets to a recorder in step with its writer, on a clock that the packets move."""

import time
from collections.abc import Callable, Sequence

from appliance.camera import Packet
from appliance.recorder import Recorder
from tests.recording import PATIENCE, Hand


def wait_until(holds: Callable[[], object]) -> None:
    """Look until something is so."""
    over = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < over, "it has not come about"
        time.sleep(0)


def wait_until_taken(packet: Packet) -> None:
    """Wait until a packet is overwritten, which is the last thing that the writer does with it."""
    wait_until(lambda: not any(packet.data))


def keep(recorder: Recorder, hand: Hand, packets: Sequence[Packet]) -> None:
    """Push packets, each at its moment."""
    for packet in packets:
        hand.seconds = packet.time_us / 1_000_000
        recorder.push(packet)


def lead(recorder: Recorder, hand: Hand, packets: Sequence[Packet]) -> None:
    """Push packets, each at its moment and when the writer has done with the one before."""
    for packet in packets:
        keep(recorder, hand, [packet])
        wait_until_taken(packet)
