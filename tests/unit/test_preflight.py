"""Tests are never skipped because a program is missing: the run ends before the first one and names it."""

from tests.conftest import NEEDS, missing_for


def test_a_missing_program_is_named_with_the_tests_that_need_it() -> None:
    missing = missing_for(["tests/conformance/age/test_vectors.py"], lambda need: need == "age")
    assert missing == {"node": ["tests/conformance/age"], "Node packages": ["tests/conformance/age"]}


def test_what_the_chosen_tests_do_not_need_may_be_missing() -> None:
    assert missing_for(["tests/unit/evidence/test_chain.py"], lambda need: False) == {}


def test_nothing_is_missing_where_all_is_there() -> None:
    assert missing_for([f"{place}/test_x.py" for place in NEEDS], lambda need: True) == {}
