"""The clocks of the table of states."""

import pytest

from appliance.states import State, Timer
from appliance.timers import Timers


def test_timers_run_out_in_the_order_of_their_moments_and_once() -> None:
    timers = Timers()
    timers.arm(Timer.REMINDER, now=0, seconds=3)
    timers.arm(Timer.HOLD, now=0, seconds=2)
    assert list(timers.run_out(1.9)) == []
    assert list(timers.run_out(5)) == [Timer.HOLD, Timer.REMINDER]
    assert list(timers.run_out(9)) == []


def test_arming_again_begins_anew() -> None:
    timers = Timers()
    timers.arm(Timer.HOLD, now=0, seconds=2)
    timers.arm(Timer.HOLD, now=1, seconds=2)
    assert list(timers.run_out(2.5)) == []
    assert list(timers.run_out(3)) == [Timer.HOLD]


def test_a_timer_that_is_disarmed_while_others_run_out_does_not_run_out() -> None:
    timers = Timers()
    timers.arm(Timer.HOLD, now=0, seconds=1)
    timers.arm(Timer.REMINDER, now=0, seconds=2)
    seen = []
    for timer in timers.run_out(9):
        seen.append(timer)
        timers.disarm(Timer.REMINDER)
    assert seen == [Timer.HOLD]


def test_a_state_keeps_only_the_timers_that_run_in_it() -> None:
    timers = Timers()
    timers.arm(Timer.HOLD, now=0, seconds=1)
    timers.arm(Timer.LONGEST_CLIP, now=0, seconds=1)
    timers.keep_for(State.POST_RECORDING)
    assert list(timers.run_out(1)) == [Timer.LONGEST_CLIP]


@pytest.mark.parametrize(("now", "part"), [(9.0, 0.0), (10.0, 0.0), (10.5, 0.25), (12.0, 1.0), (20.0, 1.0)])
def test_how_far_a_timer_has_come(now: float, part: float) -> None:
    timers = Timers()
    timers.arm(Timer.HOLD, now=10, seconds=2)
    assert timers.part(Timer.HOLD, now) == part


def test_a_timer_that_does_not_run_has_come_nowhere() -> None:
    timers = Timers()
    timers.arm(Timer.HOLD, now=10, seconds=0)
    assert timers.part(Timer.HOLD, 11) == 0
    assert timers.part(Timer.REMINDER, 11) == 0
