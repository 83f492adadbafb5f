"""The table of states: complete, and true to what DESIGN §4 promises the wearer."""

import itertools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.states import (
    IGNORED,
    RUNS_IN,
    Action,
    Arm,
    Disarm,
    Do,
    EndClip,
    Event,
    Fault,
    State,
    Table,
    Timer,
    faults_after,
    follow,
    table_for,
)
from evidence.policy import Policy

WRITING = {State.RECORDING, State.POST_RECORDING}
ANSWERS = {Event.CLIP_BEGUN, Event.CLIP_REFUSED}  # to BEGIN_CLIP, and to nothing else


OnTouch = Literal["live+record", "live"]
WAYS_TO_TOUCH: tuple[OnTouch, OnTouch] = ("live+record", "live")


def policy(*, on_touch: OnTouch = "live+record", post_record_seconds: int = 0) -> Policy:
    return Policy(
        policy_id="test",
        recipients=("age1test",),
        on_touch=on_touch,
        post_record_seconds=post_record_seconds,
        retention_days=28,
        retention_min_days=1,
        retention_max_days=90,
    )


TABLES = {
    f"{on_touch}, post-record {seconds}": table_for(policy(on_touch=on_touch, post_record_seconds=seconds))
    for on_touch, seconds in itertools.product(WAYS_TO_TOUCH, (0, 30))
}
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())


def walk(
    table: Table, *events: Event, start: State = State.STANDBY, faults: frozenset[Fault] = frozenset()
) -> tuple[State, list[Action]]:
    state = start
    done: list[Action] = []
    for event in events:
        faults = faults_after(faults, state, event)
        transition = follow(table, state, event, faults)
        state = transition.state
        done += transition.actions
    return state, done


@every_table
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_event_in_every_state_is_either_in_the_table_or_named_as_ignored(
    table: Table, state: State, event: Event
) -> None:
    assert ((state, event) in table) != (event in IGNORED[state])


@every_table
def test_every_state_can_be_reached_except_by_a_policy_that_has_no_use_for_it(table: Table) -> None:
    reached = {transition.state for transition in table.values()}
    assert set(State) - reached <= {State.LIVE, State.POST_RECORDING}


@every_table
def test_a_timer_is_only_armed_for_a_state_in_which_it_may_run(table: Table) -> None:
    for transition in table.values():
        for action in transition.actions:
            if isinstance(action, Arm):
                assert transition.state in RUNS_IN[action.timer]


@every_table
def test_whatever_leaves_the_writing_states_closes_the_clip_first(table: Table) -> None:
    for (state, event), transition in table.items():
        if state in WRITING and transition.state not in WRITING and event is not Event.CLIP_REFUSED:
            assert isinstance(transition.actions[0], EndClip)


@every_table
def test_nothing_but_a_running_clip_is_ever_ended(table: Table) -> None:
    for (state, _), transition in table.items():
        if any(isinstance(action, EndClip) for action in transition.actions):
            assert state in WRITING


@every_table
def test_only_the_news_that_a_clip_has_begun_leads_into_recording(table: Table) -> None:
    for (state, event), transition in table.items():
        if transition.state is State.RECORDING and state not in WRITING:
            assert event is Event.CLIP_BEGUN


@given(
    life=st.lists(st.tuples(st.sampled_from(sorted(set(Event) - ANSWERS)), st.sampled_from(sorted(ANSWERS)))),
    table=st.sampled_from(list(TABLES.values())),
)
def test_over_any_life_a_clip_is_open_only_in_the_two_states_that_show_it_and_no_fault_is_passed_over(
    life: list[tuple[Event, Event]], table: Table
) -> None:
    state, open_clip, faults = State.STARTING, False, frozenset[Fault]()

    def follow_on(event: Event) -> tuple[State, tuple[Action, ...]]:
        nonlocal faults
        faults = faults_after(faults, state, event)
        transition = follow(table, state, event, faults)
        return transition.state, transition.actions

    for event, answer in life:
        state, done = follow_on(event)
        open_clip = open_clip and not any(isinstance(action, EndClip) for action in done)
        if Do.BEGIN_CLIP in done:
            assert not open_clip
            state, _ = follow_on(answer)
            open_clip = answer is Event.CLIP_BEGUN
        assert open_clip == (state in WRITING)
        assert not (faults and state in (State.STANDBY, State.LIVE))


def test_the_first_touch_records_at_once_with_the_default_policy() -> None:
    state, done = walk(table_for(policy()), Event.TOUCHED)
    assert (state, done) == (State.STANDBY, [Do.BEGIN_CLIP])
    assert walk(table_for(policy()), Event.TOUCHED, Event.CLIP_BEGUN)[0] is State.RECORDING


def test_the_first_touch_only_shows_the_picture_where_the_policy_says_live() -> None:
    table = table_for(policy(on_touch="live"))
    assert walk(table, Event.TOUCHED) == (State.LIVE, [Arm(Timer.LIVE)])
    assert walk(table, Event.TOUCHED, Event.LIVE_TIMED_OUT)[0] is State.STANDBY
    assert walk(table, Event.TOUCHED, Event.RELEASED, Event.TOUCHED)[1][-1] is Do.BEGIN_CLIP


def test_taps_while_recording_change_nothing() -> None:
    taps = [Event.TOUCHED, Event.RELEASED] * 5
    state, done = walk(table_for(policy()), *taps, start=State.RECORDING)
    assert state is State.RECORDING
    assert not any(isinstance(action, EndClip) for action in done)


def test_the_touch_that_starts_a_recording_does_not_arm_the_hold_that_would_stop_it() -> None:
    _, done = walk(table_for(policy()), Event.TOUCHED, Event.CLIP_BEGUN)
    assert Arm(Timer.HOLD) not in done


def test_a_hold_ends_the_clip() -> None:
    state, done = walk(table_for(policy()), Event.TOUCHED, Event.HELD, start=State.RECORDING)
    assert state is State.STANDBY
    assert EndClip("wearer") in done


def test_after_a_hold_the_clip_runs_on_for_the_post_record_time_and_a_touch_takes_it_back() -> None:
    table = table_for(policy(post_record_seconds=30))
    assert walk(table, Event.HELD, start=State.RECORDING) == (State.POST_RECORDING, [Arm(Timer.POST_RECORD)])
    assert walk(table, Event.HELD, Event.TOUCHED, start=State.RECORDING)[0] is State.RECORDING
    state, done = walk(table, Event.HELD, Event.POST_RECORD_OVER, start=State.RECORDING)
    assert state is State.STANDBY
    assert EndClip("wearer") in done


def test_the_longest_clip_goes_on_in_the_next_clip_without_a_tone() -> None:
    events = [Event.CLIP_LONG_ENOUGH, Event.CLIP_BEGUN]
    state, done = walk(table_for(policy()), *events, start=State.RECORDING)
    assert state is State.RECORDING
    assert done == [EndClip("longest-clip"), Do.BEGIN_CLIP, Arm(Timer.LONGEST_CLIP)]


def test_a_camera_that_dies_ends_the_clip_warns_and_is_retried_until_standby_if_that_takes_long() -> None:
    table = table_for(policy())
    state, done = walk(table, Event.CAMERA_FAILED, start=State.RECORDING)
    assert state is State.FAULT
    assert done == [EndClip("camera-failed"), Do.WARN, Arm(Timer.CAMERA_RETRY)]
    again = [Event.CAMERA_RETRY_DUE, Event.CAMERA_FAILED, Event.CAMERA_RETRY_DUE, Event.CAMERA_READY]
    assert walk(table, *again, start=State.FAULT) == (
        State.STANDBY,
        [Do.START_CAMERA, Arm(Timer.CAMERA_RETRY), Do.START_CAMERA],
    )


def test_a_camera_that_blinks_is_recorded_on_for_its_wearer_who_touched_once_believes_that_it_records() -> None:
    events = [Event.CAMERA_FAILED, Event.CAMERA_RETRY_DUE, Event.RESUMED, Event.CLIP_BEGUN]
    state, done = walk(table_for(policy()), *events, start=State.RECORDING)
    assert state is State.RECORDING
    assert done[:5] == [EndClip("camera-failed"), Do.WARN, Arm(Timer.CAMERA_RETRY), Do.START_CAMERA, Do.BEGIN_CLIP]
    assert Do.SIGNAL_START in done


def test_a_camera_that_dies_in_the_last_seconds_leaves_a_clip_that_its_wearer_has_ended() -> None:
    state, done = walk(table_for(policy(post_record_seconds=30)), Event.CAMERA_FAILED, start=State.POST_RECORDING)
    assert state is State.FAULT
    assert done == [EndClip("wearer"), Do.WARN, Arm(Timer.CAMERA_RETRY)]


@pytest.mark.parametrize(
    ("event", "ended_by"),
    [
        (Event.STORAGE_FULL, "storage-full"),
        (Event.STORAGE_SLOW, "storage-slow"),
        (Event.STORAGE_FAILED, "storage-failed"),
    ],
)
def test_storage_that_gives_up_stops_the_recording_loudly(event: Event, ended_by: str) -> None:
    state, done = walk(table_for(policy()), event, start=State.RECORDING)
    assert state is State.FAULT
    assert [action.ended_by for action in done if isinstance(action, EndClip)] == [ended_by]
    assert Do.WARN in done


def test_after_slow_storage_the_unit_tries_by_itself_to_record_again_until_it_can() -> None:
    events = [Event.STORAGE_SLOW, Event.RECORD_AGAIN_DUE, Event.CLIP_REFUSED, Event.RECORD_AGAIN_DUE, Event.CLIP_BEGUN]
    state, done = walk(table_for(policy()), *events, start=State.RECORDING)
    assert state is State.RECORDING
    assert done.count(Do.BEGIN_CLIP) == 2


def test_nothing_is_tried_again_once_the_storage_is_full() -> None:
    _, done = walk(table_for(policy()), Event.STORAGE_FULL, start=State.FAULT)
    assert done == [Disarm(Timer.RECORD_AGAIN), Do.WARN]


def test_a_touch_in_any_fault_tries_to_record() -> None:
    table = table_for(policy())
    assert walk(table, Event.TOUCHED, start=State.FAULT)[1] == [Do.BEGIN_CLIP]
    assert walk(table, Event.TOUCHED, Event.CLIP_REFUSED, start=State.FAULT) == (
        State.FAULT,
        [Do.BEGIN_CLIP, Do.WARN],
    )


def test_the_camera_is_off_while_the_unit_is_docked_and_starts_when_it_is_taken_off() -> None:
    table = table_for(policy())
    assert walk(table, Event.DOCKED) == (State.DOCKED, [Do.STOP_CAMERA, Do.OFFLOAD])
    state, done = walk(table, Event.DOCKED, Event.OFFLOADED, Event.UNDOCKED, Event.CAMERA_READY)
    assert state is State.STANDBY
    assert done[-1] is Do.START_CAMERA


def test_a_failed_offload_is_tried_again_while_the_unit_stays_docked() -> None:
    events = [Event.OFFLOAD_FAILED, Event.OFFLOAD_RETRY_DUE]
    assert walk(table_for(policy()), *events, start=State.DOCKED) == (
        State.DOCKED,
        [Arm(Timer.OFFLOAD_RETRY), Do.OFFLOAD],
    )


def test_a_clip_that_is_closed_late_is_handed_over_after_all() -> None:
    assert walk(table_for(policy()), Event.CLIPS_CLOSED, start=State.DOCKED) == (
        State.DOCKED,
        [Disarm(Timer.OFFLOAD_RETRY), Do.STOP_OFFLOAD, Do.OFFLOAD],
    )


@every_table
@pytest.mark.parametrize("state", set(State) - {State.OFF})
def test_shutting_down_works_from_everywhere_and_is_final(table: Table, state: State) -> None:
    off = follow(table, state, Event.SHUT_DOWN).state
    assert off is State.OFF
    assert all(follow(table, off, event).state is State.OFF for event in Event)


# The touch panel and the display


@pytest.mark.parametrize("state", [State.STANDBY, State.LIVE])
def test_without_a_touch_panel_the_unit_is_in_a_fault_that_is_told_and_left_when_it_is_back(state: State) -> None:
    table = table_for(policy())
    assert walk(table, Event.TOUCH_LOST, start=state) == (State.FAULT, [Do.WARN])
    assert walk(table, Event.TOUCH_LOST, Event.TOUCH_FOUND, start=state) == (State.STANDBY, [Do.WARN])


@pytest.mark.parametrize("state", sorted(WRITING))
def test_a_touch_panel_that_goes_ends_no_clip_and_a_finger_that_was_on_it_holds_nothing(state: State) -> None:
    assert walk(table_for(policy()), Event.TOUCH_LOST, start=state) == (state, [Disarm(Timer.HOLD), Do.WARN])


def test_without_a_touch_panel_the_longest_clip_goes_on_in_the_next() -> None:
    events = [Event.TOUCH_LOST, Event.CLIP_LONG_ENOUGH, Event.CLIP_BEGUN]
    state, done = walk(table_for(policy()), *events, start=State.RECORDING)
    assert state is State.RECORDING
    assert done[2:] == [EndClip("longest-clip"), Do.BEGIN_CLIP, Arm(Timer.LONGEST_CLIP)]


def test_the_last_seconds_of_a_clip_end_in_a_fault_where_the_touch_panel_has_gone_meanwhile() -> None:
    events = [Event.HELD, Event.TOUCH_LOST, Event.POST_RECORD_OVER]
    assert walk(table_for(policy(post_record_seconds=30)), *events, start=State.RECORDING)[0] is State.FAULT


@pytest.mark.parametrize("before", [(), (Event.DOCKED,)])
def test_a_touch_panel_that_is_missing_at_the_start_or_since_the_dock_is_told_when_the_camera_is_ready(
    before: tuple[Event, ...],
) -> None:
    events = [*before, Event.TOUCH_LOST, Event.UNDOCKED, Event.CAMERA_READY]
    state, done = walk(table_for(policy()), *events, start=State.STARTING)
    assert state is State.FAULT
    assert done[-1] is Do.WARN


@pytest.mark.parametrize(
    ("faults", "first", "last"),
    [
        ((Event.CAMERA_FAILED, Event.TOUCH_LOST), Event.CAMERA_READY, Event.TOUCH_FOUND),
        ((Event.TOUCH_LOST, Event.CAMERA_FAILED), Event.TOUCH_FOUND, Event.CAMERA_READY),
    ],
)
def test_of_two_faults_the_one_that_is_still_there_keeps_the_unit_from_readiness(
    faults: tuple[Event, Event], first: Event, last: Event
) -> None:
    table = table_for(policy())
    assert walk(table, *faults, first)[0] is State.FAULT
    assert walk(table, *faults, first, last)[0] is State.STANDBY


@pytest.mark.parametrize("event", [Event.STORAGE_FULL, Event.STORAGE_SLOW, Event.STORAGE_FAILED])
def test_a_camera_or_a_touch_panel_that_is_back_does_not_make_the_storage_good(event: Event) -> None:
    table = table_for(policy())
    back = [Event.CAMERA_FAILED, Event.TOUCH_LOST, Event.CAMERA_READY, Event.TOUCH_FOUND]
    assert walk(table, event, *back, start=State.RECORDING)[0] is State.FAULT
    assert walk(table, event, *back, Event.TOUCHED, Event.CLIP_BEGUN, start=State.RECORDING)[0] is State.RECORDING


def test_a_clip_that_has_begun_shows_that_camera_and_storage_are_good_again() -> None:
    events = [Event.CAMERA_FAILED, Event.STORAGE_SLOW, Event.TOUCHED, Event.CLIP_BEGUN, Event.HELD]
    assert walk(table_for(policy()), *events)[0] is State.STANDBY


def test_the_dock_makes_storage_and_camera_good_but_no_touch_panel() -> None:
    table = table_for(policy())
    docked = [Event.DOCKED, Event.UNDOCKED, Event.CAMERA_READY]
    assert walk(table, Event.STORAGE_FULL, Event.CAMERA_FAILED, *docked)[0] is State.STANDBY
    assert walk(table, Event.TOUCH_LOST, *docked)[0] is State.FAULT


@every_table
@pytest.mark.parametrize("state", set(State) - {State.OFF})
def test_a_display_that_goes_is_warned_of_and_one_that_comes_is_opened_whatever_the_unit_does(
    table: Table, state: State
) -> None:
    assert walk(table, Event.DISPLAY_LOST, start=state) == (state, [Do.WARN])
    assert walk(table, Event.DISPLAY_FOUND, start=state) == (state, [Disarm(Timer.HOLD), Do.OPEN_SCREEN])


@every_table
@pytest.mark.parametrize("state", set(State) - {State.OFF})
def test_a_microphone_that_goes_is_warned_of_and_everything_goes_on(table: Table, state: State) -> None:
    assert walk(table, Event.NO_MICROPHONE, start=state) == (state, [Do.WARN])
    assert walk(table, Event.MICROPHONE_FOUND, start=state) == (state, [])


# After a crash


def test_a_recording_that_a_crash_cut_off_goes_on_with_the_first_picture() -> None:
    assert walk(table_for(policy()), Event.RESUMED, Event.CLIP_BEGUN, start=State.STARTING) == (
        State.RECORDING,
        [Do.BEGIN_CLIP, Do.SIGNAL_START, Arm(Timer.LONGEST_CLIP), Arm(Timer.REMINDER)],
    )


def test_a_recording_that_a_crash_cut_off_goes_on_also_where_the_camera_comes_late() -> None:
    events = [Event.CAMERA_FAILED, Event.CAMERA_RETRY_DUE, Event.RESUMED, Event.CLIP_BEGUN]
    state, done = walk(table_for(policy()), *events, start=State.STARTING)
    assert state is State.RECORDING
    assert done[3] is Do.BEGIN_CLIP


@pytest.mark.parametrize("refused", [Event.CLIP_REFUSED, Event.STORAGE_FULL])
def test_a_recording_that_cannot_go_on_after_a_crash_is_told_loudly(refused: Event) -> None:
    state, done = walk(table_for(policy()), Event.RESUMED, refused, start=State.STARTING)
    assert (state, done[-1]) == (State.FAULT, Do.WARN)
