"""`make bench`: run every bench, or those that are named, show what each measured, and leave it in bench.json."""

import importlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.bench.rows import Row

BENCHES = Path(__file__).parent
RESULT = Path("bench.json")
MARKS = {True: "[green]holds[/]", False: "[bold red]missed[/]", None: ""}

Measure = Callable[[], list[Row]]


@dataclass(frozen=True)
class Outcome:
    """What one bench measured, or the sentence about why it could not."""

    bench: str
    rows: list[Row]
    failure: str | None = None


def names_of(folder: Path) -> list[str]:
    """Return the names of all benches: bench_age.py is `age`."""
    return sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))


def run(name: str, find: Callable[[str], Measure]) -> Outcome:
    """Run one bench to its end or to its failure."""
    try:
        return Outcome(name, find(name)())
    except Exception as error:
        return Outcome(name, [], f"{type(error).__name__}: {error}")


def find_measure(name: str) -> Measure:
    """Return the function `measure` of a bench."""
    measure: Measure = importlib.import_module(f"tests.bench.bench_{name}").measure
    return measure


def table_of(outcome: Outcome) -> Table:
    """Lay out what one bench measured; a failure is a row of its own."""
    table = Table(title=outcome.bench, title_justify="left", expand=True)
    for column in ("what", "value", "target", "ratio", "measured against"):
        table.add_column(column, overflow="fold", justify="right" if column in {"value", "ratio"} else "left")
    table.add_column("")
    for row in outcome.rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        cells = (row.name, f"{row.value:.4g} {row.unit}", row.target, ratio, row.versus)
        table.add_row(*map(escape, cells), MARKS[row.holds])
    if outcome.failure:
        table.add_row(escape(f"could not be measured: {outcome.failure}"), "", "", "", "", "[bold red]failed[/]")
    return table


def as_json(outcomes: Sequence[Outcome], at: datetime) -> str:
    """Return everything for programs, with the machine that it was measured on."""
    machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    content = {
        "measured_at": at.isoformat(timespec="seconds"),
        "machine": machine,
        "benches": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(content, indent=2) + "\n"


def main(wanted: Sequence[str]) -> int:
    """Run the benches and return 1 if one of them failed; a missed target is shown, and is no failure."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    names = names_of(BENCHES)
    if unknown := sorted(set(wanted) - set(names)):
        console.print(f"There is no bench {', '.join(unknown)}; there are {', '.join(names)}.", markup=False)
        return 2
    outcomes = list(_shown(wanted or names, console))
    RESULT.write_text(as_json(outcomes, datetime.now(UTC)))
    console.print(f"Written to {RESULT}.")
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def _shown(names: Sequence[str], console: Console) -> Iterator[Outcome]:
    for name in names:
        with console.status(f"measuring {name} …"):
            outcome = run(name, find_measure)
        console.print(table_of(outcome))
        yield outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
