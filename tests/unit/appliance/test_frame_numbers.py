"""Lost pictures leave holes, whoever lost them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.cameras.frame_numbers import (
    FrameNumbers,
    FramesInEncoder,
    UncountedFrameNumbers,
    boottime_lead_us,
    frames_between,
)

PERIOD_US = 33_333


def test_pictures_in_step_are_one_apart_and_a_late_one_too() -> None:
    assert frames_between(0, PERIOD_US, period_us=PERIOD_US) == 1
    assert frames_between(0, PERIOD_US + 16_000, period_us=PERIOD_US) == 1
    assert frames_between(0, 1, period_us=PERIOD_US) == 1
    assert frames_between(0, 4 * PERIOD_US - 9_000, period_us=PERIOD_US) == 4


def test_a_picture_that_the_driver_counted_but_did_not_deliver_is_a_hole() -> None:
    numbers = FrameNumbers(period_us=PERIOD_US)
    counts = [17, 18, 21, 22]
    assert [numbers.number(count=count, time_us=count * PERIOD_US) for count in counts] == [0, 1, 4, 5]


def test_a_picture_that_only_the_clock_misses_is_a_hole() -> None:
    numbers = FrameNumbers(period_us=PERIOD_US, first=100)
    times_us = [0, PERIOD_US, 4 * PERIOD_US, 5 * PERIOD_US]
    assert [numbers.number(count=count, time_us=time_us) for count, time_us in enumerate(times_us)] == [
        100,
        101,
        104,
        105,
    ]


def test_a_driver_that_counts_from_the_start_again_makes_no_hole() -> None:
    numbers = FrameNumbers(period_us=PERIOD_US)
    assert [numbers.number(count=count, time_us=place * PERIOD_US) for place, count in enumerate([8, 9, 0, 1])] == [
        0,
        1,
        2,
        3,
    ]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(-8_000, 8_000)), min_size=1, max_size=50))
def test_every_lost_picture_is_counted_once_whatever_the_jitter(steps: list[tuple[int, int]]) -> None:
    numbers = FrameNumbers(period_us=PERIOD_US)
    assert numbers.number(count=0, time_us=0) == 0
    place = 0
    for step, jitter_us in steps:
        place += step
        assert numbers.number(count=place, time_us=place * PERIOD_US + jitter_us) == place


def test_a_webcams_lost_pictures_are_holes() -> None:
    numbers = UncountedFrameNumbers()
    places = [*range(20), 23, 24, 25, 30]
    assert [numbers.number(time_us=place * PERIOD_US) for place in places] == places


def test_a_webcam_that_halves_its_rate_in_the_dark_loses_nothing_after_a_few_pictures() -> None:
    numbers = UncountedFrameNumbers()
    times_us = [place * PERIOD_US for place in range(30)]
    times_us += [times_us[-1] + place * 2 * PERIOD_US for place in range(1, 60)]
    given_numbers = [numbers.number(time_us=time_us) for time_us in times_us]
    steps = [later - earlier for earlier, later in pairwise(given_numbers)]
    assert steps[:29] == [1] * 29
    assert steps[29:].count(2) <= 8
    assert steps[-40:] == [1] * 40


def test_pictures_without_exact_times_are_only_counted() -> None:
    numbers = UncountedFrameNumbers(first=5)
    assert [numbers.number(time_us=None) for _ in range(3)] == [5, 6, 7]


def test_a_packet_has_the_number_of_its_picture() -> None:
    frames = FramesInEncoder()
    for number in range(5):
        frames.put(stamp_us=number * PERIOD_US, number=number)
    assert [frames.take(stamp_us=number * PERIOD_US) for number in range(5)] == [0, 1, 2, 3, 4]


def test_a_picture_that_the_encoder_skipped_is_a_hole() -> None:
    frames = FramesInEncoder()
    for number in range(6):
        frames.put(stamp_us=number * PERIOD_US, number=number)
    assert [frames.take(stamp_us=number * PERIOD_US) for number in (0, 1, 4, 5)] == [0, 1, 4, 5]
    assert frames.take(stamp_us=9 * PERIOD_US) == 5


def test_stamps_of_either_clock_come_to_lie_on_the_monotonic_one() -> None:
    monotonic_us, suspended_us = 50_000_000, 7_000_000
    boottime_us = monotonic_us + suspended_us
    captured_us = monotonic_us - 20_000
    for stamp_us in (captured_us, captured_us + suspended_us):
        lead_us = boottime_lead_us(stamp_us, monotonic_us=monotonic_us, boottime_us=boottime_us)
        assert stamp_us - lead_us == captured_us
