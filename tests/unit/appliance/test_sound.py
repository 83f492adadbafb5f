"""Sound without a hole, whatever the device's clock does."""

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest

from appliance.camera import Packet
from appliance.cameras.sound import SoundCodec, SoundEncoder
from tests.cameras import decoded_sound, tone_frame

START_US = 7_000_000_000
PIECE_US = 1024 * 1_000_000 // 48_000
CODECS: list[SoundCodec] = ["aac", "opus"]


def encoded(encoder: SoundEncoder, times_us: list[int], *, rate: int = 48_000, samples: int = 1024) -> list[Packet]:
    return [
        packet
        for number, time_us in enumerate(times_us)
        for packet in encoder.encode(tone_frame(rate, first=number * samples, samples=samples), time_us=time_us)
    ]


def are_seamless(packets: list[Packet]) -> bool:
    return all(abs(later.time_us - earlier.time_us - earlier.duration_us) <= 1 for earlier, later in pairwise(packets))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_comes_out_as_it_went_in(codec: SoundCodec, channels: Literal[1, 2]) -> None:
    encoder = SoundEncoder(codec, channels=channels)
    assert (encoder.track.codec, encoder.track.sample_rate, encoder.track.channels) == (codec, 48_000, channels)
    assert encoder.track.config.startswith(b"OpusHead" if codec == "opus" else bytes([0x11, 0x80 | channels << 3]))
    packets = encoded(encoder, [START_US + number * PIECE_US for number in range(100)])
    assert [packet.sequence for packet in packets] == list(range(len(packets)))
    assert all(packet.is_key for packet in packets)
    assert are_seamless(packets)
    samples = decoded_sound(encoder.track, packets)
    assert loudest_hertz(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("codec", CODECS)
def test_sound_has_the_time_at_which_it_was_captured(codec: SoundCodec) -> None:
    encoder = SoundEncoder(codec, channels=1)
    silent, loud = np.zeros(1024), 20
    packets = []
    for number in range(60):
        sound = tone_frame(48_000, first=number * 1024)
        if number < loud:
            for plane in sound.planes:
                plane.update(silent.astype(np.float32).tobytes())
        packets += encoder.encode(sound, time_us=START_US + number * PIECE_US)
    samples = np.abs(decoded_sound(encoder.track, packets))
    # The encoder's lead-in begins at the first packet's time; for Opus the decoder leaves these 6.5 ms out.
    begin_us = packets[0].time_us + int(np.argmax(samples > 0.1)) * 1_000_000 / 48_000
    assert begin_us == pytest.approx(START_US + loud * PIECE_US, abs=8_000)


@pytest.mark.parametrize("error_us", [35_000, -35_000])
def test_a_first_stamp_that_was_wrong_is_put_right_by_the_others(error_us: int) -> None:
    encoder = SoundEncoder("aac", channels=1)
    loud, packets = 500, []
    for number in range(540):
        sound = tone_frame(48_000, first=number * 1024)
        if number < loud:
            for plane in sound.planes:
                plane.update(bytes(plane.buffer_size))
        time_us = START_US + number * PIECE_US + (0 if number else error_us)
        packets += encoder.encode(sound, time_us=time_us)
    assert are_seamless(packets)
    samples = np.abs(decoded_sound(encoder.track, packets))
    begin_us = packets[0].time_us + int(np.argmax(samples > 0.1)) * 1_000_000 / 48_000
    assert begin_us == pytest.approx(START_US + loud * PIECE_US, abs=15_000)


def test_stamps_that_are_late_now_and_then_change_nothing() -> None:
    encoder = SoundEncoder("aac", channels=1)
    times_us = [START_US + number * PIECE_US + (30_000 if number % 10 == 5 else 0) for number in range(1000)]
    packets = encoded(encoder, times_us)
    assert sum(packet.duration_us for packet in packets) == pytest.approx(1000 * PIECE_US, abs=3 * PIECE_US)
    loud = np.abs(decoded_sound(encoder.track, packets)) > 0.1
    assert all(loud[begin : begin + 512].any() for begin in range(1024, len(loud) - 1024, 512))


def test_sound_of_another_rate_keeps_its_pitch_and_its_time() -> None:
    encoder = SoundEncoder("aac", channels=1)
    piece_us = 1024 * 1_000_000 / 44_100
    packets = encoded(encoder, [START_US + round(number * piece_us) for number in range(200)], rate=44_100)
    assert are_seamless(packets)
    assert packets[-1].time_us == pytest.approx(START_US + 199 * piece_us, abs=80_000)
    assert loudest_hertz(decoded_sound(encoder.track, packets)) == pytest.approx(440, abs=2)


def test_where_sound_is_missing_there_is_silence() -> None:
    encoder = SoundEncoder("aac", channels=1)
    gap_us = 500_000
    times_us = [START_US + number * PIECE_US + (gap_us if number >= 50 else 0) for number in range(100)]
    packets = encoded(encoder, times_us)
    assert are_seamless(packets)
    assert packets[-1].time_us == pytest.approx(times_us[-1], abs=60_000)
    samples = np.abs(decoded_sound(encoder.track, packets))
    loud = samples > 0.1
    pieces = [bool(loud[begin : begin + 1024].any()) for begin in range(0, len(loud) - 1024, 1024)]
    assert pieces.count(False) == pytest.approx(gap_us / PIECE_US, abs=3)


def test_a_fast_device_is_slowed_down_by_leaving_out_what_is_too_much() -> None:
    encoder = SoundEncoder("aac", channels=1)
    times_us = [START_US + round(number * PIECE_US * 0.9) for number in range(300)]
    packets = encoded(encoder, times_us)
    assert are_seamless(packets)
    assert packets[-1].time_us == pytest.approx(times_us[-1], abs=100_000)


@pytest.mark.parametrize("error", [0.999, 1.001])
def test_a_devices_clock_that_runs_wrong_never_takes_the_sound_away_from_the_pictures(error: float) -> None:
    encoder = SoundEncoder("opus", channels=1)
    for number in range(10_000):
        time_us = START_US + round(number * PIECE_US * error)
        for packet in encoder.encode(tone_frame(48_000, first=number * 1024), time_us=time_us):
            assert abs(packet.time_us - time_us) < 40_000 + 2 * PIECE_US


def loudest_hertz(samples: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
    """Return the frequency that a tone has."""
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.fft.rfftfreq(len(samples), 1 / 48_000)[np.argmax(spectrum)])


@pytest.mark.parametrize("codec", CODECS)
def test_silence_goes_on_where_the_sound_has_stopped_and_is_said_to_be_that(codec: SoundCodec) -> None:
    encoder = SoundEncoder(codec, channels=1)
    sound = encoded(encoder, [START_US + number * PIECE_US for number in range(50)])
    silence = encoder.silence(until_us=START_US + 3_000_000)
    assert are_seamless([*sound, *silence])
    assert all(packet.is_silence for packet in silence)
    assert not any(packet.is_silence for packet in sound)
    assert silence[-1].time_us == pytest.approx(START_US + 3_000_000, abs=100_000)
    assert encoder.silence(until_us=START_US + 2_000_000) == []


def test_silence_may_be_all_that_there_is() -> None:
    encoder = SoundEncoder("aac", channels=1)
    silence = [packet for number in range(10) for packet in encoder.silence(until_us=START_US + number * 100_000)]
    assert are_seamless(silence)
    assert not np.abs(decoded_sound(encoder.track, silence)).any()


def test_a_hole_that_would_take_much_memory_to_fill_stays_one() -> None:
    encoder = SoundEncoder("aac", channels=1)
    sound = encoded(encoder, [START_US + number * PIECE_US for number in range(50)])
    day_us = 86_400 * 1_000_000
    later = encoded(encoder, [START_US + day_us + number * PIECE_US for number in range(50)])
    assert len(later) <= len(sound) + 2
    assert later[-1].time_us == pytest.approx(START_US + day_us + 50 * PIECE_US, abs=100_000)
