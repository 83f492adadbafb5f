"""Prints the figures of a run of the virtual Pi as one table: point, what was measured, how much, what was wanted."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

# In the order in which a unit comes to be and is worn; a point that is not here comes behind them.
_POINTS = ("image", "systemd", "one round", "camera", "screen", "usb", "docking", "memory only", "power cut", "update")


def table_of(lines: list[dict[str, str]]) -> Table:
    """Return the table, each point under its own heading; of what was measured twice the later figure counts."""
    table = Table("Measured", "Figure", "Wanted", title="The virtual Pi")
    latest = {(line["point"], line["what"]): line for line in lines}
    point = ""
    for line in sorted(latest.values(), key=lambda line: _place(line["point"])):
        if line["point"] != point:
            point = line["point"]
            table.add_section()
            table.add_row(f"[bold]{point}[/bold]")
        table.add_row(line["what"], line["value"], line["wanted"])
    return table


def _place(point: str) -> tuple[int, str]:
    name = point.partition(",")[0]
    return _POINTS.index(name) if name in _POINTS else len(_POINTS), point


def print_table(*files: Path) -> None:
    """Print the table of these files; one that is not there has no figures."""
    texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    Console(width=150, force_terminal=False).print(table_of(lines) if lines else "No figure was measured.")


if __name__ == "__main__":
    print_table(*map(Path, sys.argv[1:]))
