"""`make bench` tells of every bench, of the one that fails too."""

import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.bench.__main__ import Measure, Outcome, as_json, names_of, run, table_of
from tests.bench.rows import Row

ROW = Row("seal a [small] file", 2.5, "ms", "<= 3 ms", "age, 5 ms", 0.5, True)


def _found(name: str) -> Measure:
    assert name == "age"
    return lambda: [ROW]


def _broken(name: str) -> Measure:
    raise FileNotFoundError(2, "No such file", f"{name}-program")


def _printed(outcome: Outcome) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table_of(outcome))
    return captured.get()


def test_a_bench_is_found_by_its_file_name(tmp_path: Path) -> None:
    for name in ("bench_ring.py", "bench_age.py", "rows.py"):
        (tmp_path / name).touch()
    assert names_of(tmp_path) == ["age", "ring"]


def test_what_a_bench_measured_is_shown_with_its_target_and_ratio() -> None:
    printed = _printed(run("age", _found))
    for text in ("seal a [small] file", "2.5 ms", "<= 3 ms", "0.50", "age, 5 ms", "holds"):
        assert text in printed


def test_a_bench_that_fails_is_a_row_that_says_so() -> None:
    outcome = run("age", _broken)
    assert outcome.failure
    assert "age-program" in _printed(outcome)


def test_the_json_holds_every_row_and_every_failure() -> None:
    outcomes = [run("age", _found), run("ring", _broken)]
    content = json.loads(as_json(outcomes, datetime(2026, 1, 2, tzinfo=UTC)))
    assert content["measured_at"] == "2026-01-02T00:00:00+00:00"
    assert content["benches"][0]["rows"][0]["ratio"] == 0.5
    assert "No such file" in content["benches"][1]["failure"]
