"""One measured figure of the bench, as a table row and as JSON."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A median (`value` in `unit`), what it is measured against, and whether the target held in this run."""

    name: str
    value: float
    unit: str
    target: str = ""
    versus: str = ""
    ratio: float | None = None
    holds: bool | None = None
