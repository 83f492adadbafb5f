"""What RAUC asks of our boot choice, by the words that it uses."""

from pathlib import Path

import pytest

from appliance.updates.handler import UnknownQuestionError, answer
from appliance.updates.slots import BootChoiceError, Slot
from tests.unit.appliance.updates.bench import AUTOBOOT, Bench


def test_the_slot_that_is_permanent_is_the_good_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slot=Slot.B)
    assert answer(("get-current",), bench.choice) == "b"
    assert answer(("get-primary",), bench.choice) == "a"
    assert answer(("get-state", "a"), bench.choice) == "good"
    assert answer(("get-state", "b"), bench.choice) == "bad"


def test_the_permanent_slot_is_not_to_be_written_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert answer(("set-state", "b", "bad"), bench.choice) == ""
    with pytest.raises(BootChoiceError, match="slot a is the permanent one"):
        answer(("set-state", "a", "bad"), bench.choice)
    assert answer(("set-state", "a", "good"), bench.choice) == ""
    assert bench.autoboot.read_text() == AUTOBOOT


def test_a_person_can_make_a_slot_the_permanent_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert answer(("set-primary", "b"), bench.choice) == ""
    assert bench.choice.permanent() is Slot.B


@pytest.mark.parametrize("words", [(), ("get-state",), ("get-state", "c"), ("set-state", "a", "ugly"), ("explode",)])
def test_other_words_are_not_understood(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(UnknownQuestionError, match="none of RAUC's questions"):
        answer(words, Bench(tmp_path).choice)
