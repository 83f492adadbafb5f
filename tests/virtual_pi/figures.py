"""Measured figures, one JSON object a line: what was measured, how much it was, and how much was wanted."""

import json
import os
from pathlib import Path

_FILE = "build/virtual-pi/figures.jsonl"


def figures_file() -> Path:
    """Return the file that MIRRORCAM_FIGURES names."""
    return Path(os.environ.get("MIRRORCAM_FIGURES") or Path(__file__).parents[2] / _FILE)


def record(point: str, what: str, value: str, wanted: str = "") -> None:
    """Append a figure to the file of figures, and print it."""
    file = figures_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    line = {"point": point, "what": what, "value": value, "wanted": wanted}
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{point}: {what}: {value}{f' (wanted: {wanted})' if wanted else ''}")
