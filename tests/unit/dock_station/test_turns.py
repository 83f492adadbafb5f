"""Turns at an upload: one at a time, the newest wins, and who does not stop is not waited for forever."""

import threading

import pytest

from dock_station.bays.turns import Turns, UploadBusyError
from tests.dock import PATIENCE


def nothing() -> None:
    """Be told to stop, and go on."""


def test_turns_at_different_uploads_do_not_wait_for_each_other() -> None:
    turns = Turns(patience_seconds=0)
    with turns.take("one", nothing), turns.take("other", nothing):
        pass


def test_a_turn_that_has_ended_is_free_also_after_an_error() -> None:
    turns = Turns(patience_seconds=0)
    with pytest.raises(ZeroDivisionError), turns.take("one", nothing):
        raise ZeroDivisionError
    with turns.take("one", nothing):
        pass


def test_who_holds_the_turn_is_told_to_stop_and_the_newer_one_goes_on_once_it_has() -> None:
    turns = Turns(patience_seconds=PATIENCE)
    holds, stop = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        with turns.take("one", stop.set):
            holds.set()
            assert stop.wait(PATIENCE)
            order.append("old ended")

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(PATIENCE)
    with turns.take("one", nothing):
        order.append("new began")
    thread.join()
    assert order == ["old ended", "new began"]


def test_who_does_not_stop_in_time_keeps_the_turn_and_the_newer_one_is_told() -> None:
    turns = Turns(patience_seconds=0.05)
    told = []
    with turns.take("one", lambda: told.append(True)):
        with pytest.raises(UploadBusyError, match="try again"), turns.take("one", nothing):
            pytest.fail("two have the turn")
        assert told
    with turns.take("one", nothing):
        pass


def test_of_many_who_want_the_turn_only_one_has_it_at_a_time() -> None:
    turns = Turns(patience_seconds=PATIENCE)
    inside, most = 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with turns.take("one", nothing):
                with count:
                    inside += 1
                    most = max(most, inside)
                with count:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
