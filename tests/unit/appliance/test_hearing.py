"""Sound without a hole from a microphone that is there, is missing, breaks off, hangs, or becomes another one."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from av.audio.frame import AudioFrame

from appliance.camera import CameraError
from appliance.cameras import hearing, source_thread
from appliance.cameras.hearing import Hearing
from appliance.cameras.microphone import Microphone
from tests.cameras import BOUND_SECONDS, PACED_TONE, Listener, decoded_sound, tone_frame

BREAKS_OFF = PACED_TONE.replace("sine=", "sine=duration=0.3:")  # each time that it is opened
MISSING = "no such tone"

Sound = Callable[[AudioFrame, int], None]


class Stage:
    """The hearing of a microphone, and who listens; `told` is what is said of it."""

    def __init__(self, microphone: Microphone, *, retry_seconds: Sequence[float] = (0.3,)) -> None:
        self.listener = Listener()
        self.told: list[CameraError | None] = []
        self.hearing = Hearing(microphone, self.told.append, retry_seconds=retry_seconds)

    @contextmanager
    def running(self) -> Iterator[Listener]:
        self.hearing.start(self.listener.on_packet)
        try:
            yield self.listener
        finally:
            self.hearing.stop()

    def are_seamless(self) -> bool:
        sounds = self.listener.sounds
        return [packet.sequence for packet in sounds] == list(range(len(sounds))) and all(
            abs(later.time_us - earlier.time_us - earlier.duration_us) <= 1 for earlier, later in pairwise(sounds)
        )


def lavfi(device: str) -> Microphone:
    return Microphone(device, system="lavfi")


class Scripted(Microphone):
    """A microphone that does, each time that it is opened, what a test says; after that it is missing."""

    def __init__(self, *scripts: Callable[[Sound, threading.Event], None]) -> None:
        super().__init__("scripted")
        self._scripts = list(scripts)

    def listen(self, on_sound: Sound, is_stopping: threading.Event) -> None:
        if not self._scripts:
            raise CameraError("It is missing.")
        self._scripts.pop(0)(on_sound, is_stopping)


def plays(
    pieces: int, *, rate: int = 48_000, then: Callable[[threading.Event], None] = lambda _: None
) -> Callable[[Sound, threading.Event], None]:
    def play(on_sound: Sound, is_stopping: threading.Event) -> None:
        for number in range(pieces):
            on_sound(tone_frame(rate, first=number * 1024), time.monotonic_ns() // 1000 - 1024 * 1_000_000 // rate)
            if is_stopping.wait(1024 / rate):
                return
        then(is_stopping)

    return play


def breaks_off(_: threading.Event) -> None:
    raise CameraError("It broke off.")


def hangs(is_stopping: threading.Event) -> None:
    is_stopping.wait(BOUND_SECONDS)


def test_sound_is_passed_on_and_told_of_once() -> None:
    stage = Stage(lavfi(PACED_TONE))
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 60)
    assert np.abs(decoded_sound(stage.hearing.track, listener.sounds)).max() > 0.1
    assert stage.are_seamless()
    assert stage.told == [None]


def test_a_missing_one_is_told_once_however_often_it_is_tried() -> None:
    stage = Stage(lavfi(MISSING), retry_seconds=(0.05,))
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 60)
    assert [str(error).startswith(f"The microphone {MISSING}") for error in stage.told] == [True]


def test_what_was_told_is_not_told_again_after_another_start() -> None:
    stage = Stage(lavfi(MISSING))
    for least in (20, 40):
        with stage.running() as listener:
            listener.wait_for(lambda: len(listener.sounds) >= least)  # noqa: B023 – waited for at once
    assert len(stage.told) == 1


def test_silence_stands_in_for_it_in_step_with_the_clock_and_is_said_to_be_that() -> None:
    stage = Stage(lavfi(MISSING))
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 100)
        late_us = time.monotonic_ns() // 1000 - listener.sounds[-1].time_us
    assert all(packet.is_silence for packet in listener.sounds)
    assert late_us < 1_000_000
    assert not np.abs(decoded_sound(stage.hearing.track, listener.sounds)).any()


def test_the_sound_has_no_hole_when_it_comes_and_goes() -> None:
    stage = Stage(lavfi(BREAKS_OFF))
    with stage.running() as listener:
        listener.wait_for(lambda: len(stage.told) >= 5)
    assert [error is None for error in stage.told[:5]] == [True, False, True, False, True]
    assert {packet.is_silence for packet in listener.sounds} == {True, False}
    assert stage.are_seamless()


def test_one_that_says_nothing_any_more_is_told_and_silence_fills_all_of_it() -> None:
    stage = Stage(Scripted(plays(20, then=hangs)))
    with stage.running() as listener:
        listener.wait_for(lambda: len(stage.told) >= 2 and len(listener.sounds) >= 120)
    assert str(stage.told[1]) == "The microphone scripted gives no sound: connect it again."
    silent = [packet.is_silence for packet in listener.sounds]
    assert silent == sorted(silent)
    assert 15 <= silent.count(False) <= 25
    assert stage.are_seamless()


def test_one_that_hangs_when_it_is_opened_keeps_neither_silence_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_OPENING_SECONDS", 0.3)
    goes_on = threading.Event()

    def hang(_on_sound: Sound, _is_stopping: threading.Event) -> None:
        goes_on.wait(BOUND_SECONDS)

    stage = Stage(Scripted(hang))
    with stage.running() as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 20)
    heard = len(listener.sounds)
    assert not goes_on.is_set()
    goes_on.set()
    assert len(listener.sounds) == heard


@pytest.mark.parametrize("hung", [plays(0, then=hangs), plays(10, then=hangs)], ids=["opened", "heard"])
def test_one_that_hangs_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, hung: Callable[[Sound, threading.Event], None]
) -> None:
    monkeypatch.setattr(hearing, "_OPENING_SECONDS", 0.3)
    stage = Stage(Scripted(hung, plays(40, then=hangs)))
    with stage.running() as listener:
        listener.wait_for(lambda: any(stage.told) and stage.told[-1] is None)
    assert stage.are_seamless()


def test_of_readers_that_hang_for_ever_there_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_OPENING_SECONDS", 0.05)
    monkeypatch.setattr(source_thread, "_STOP_SECONDS", 0.01)
    opened, goes_on = [0], threading.Event()

    def hang(_on_sound: Sound, _is_stopping: threading.Event) -> None:
        opened[0] += 1
        goes_on.wait(BOUND_SECONDS)

    stage = Stage(Scripted(*[hang] * 50), retry_seconds=(0.05,))
    with stage.running() as listener:
        listener.wait_for(lambda: opened[0] == 4)
        heard = len(listener.sounds)
        listener.wait_for(lambda: len(listener.sounds) >= heard + 100)
        assert opened[0] == 4
        goes_on.set()
        listener.wait_for(lambda: opened[0] > 4)


def test_one_that_comes_back_as_another_kind_of_device_is_heard() -> None:
    stage = Stage(Scripted(plays(20, then=breaks_off), plays(40, rate=44_100, then=hangs)))
    with stage.running() as listener:
        listener.wait_for(lambda: len(stage.told) >= 3 and not listener.sounds[-1].is_silence)
    assert [error is None for error in stage.told[:3]] == [True, False, True]
    assert stage.are_seamless()


def test_a_loose_contact_is_tried_less_and_less_often() -> None:
    tries: list[float] = []

    def blinks(on_sound: Sound, is_stopping: threading.Event) -> None:
        tries.append(time.monotonic())
        plays(2, then=breaks_off)(on_sound, is_stopping)

    pauses = (0.1, 0.4, 1.6)
    stage = Stage(Scripted(*[blinks] * 9), retry_seconds=pauses)
    with stage.running() as listener:
        listener.wait_for(lambda: len(tries) >= 4)
    waited = [later - earlier for earlier, later in pairwise(tries)]
    assert all(seconds >= least for seconds, least in zip(waited, pauses, strict=False))


def test_what_a_hung_one_says_after_the_end_is_heard_by_nobody() -> None:
    goes_on, has_spoken = threading.Event(), threading.Event()

    def speaks_late(on_sound: Sound, _is_stopping: threading.Event) -> None:
        goes_on.wait(BOUND_SECONDS)
        on_sound(tone_frame(48_000), time.monotonic_ns() // 1000)
        has_spoken.set()

    stage = Stage(Scripted(speaks_late, plays(20, then=hangs)))
    with stage.running():
        pass
    with stage.running() as listener:
        goes_on.set()
        assert has_spoken.wait(BOUND_SECONDS)
        listener.wait_for(lambda: len(listener.sounds) >= 15)
    assert stage.are_seamless()
