"""What all groups of `mirrorcam-dock` share: the folder, who is at the keyboard, and how things are printed."""

import os
import pwd
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dock_station.dock import Dock
from dock_station.settings import DockFolder
from evidence.identifiers import LINE_PATTERN

Item = TypeVar("Item")

_WIDEST = 10_000  # characters; no row is as wide

FolderOption = Annotated[
    Path,
    typer.Option("--folder", metavar="DIR", envvar="MIRRORCAM_DOCK", help="The dock's folder, as set-up has made it."),
]


def one_line(text: str | None) -> str | None:
    """Refuse what is empty, longer than 500 characters, or not one line of plain text (for typer's callbacks)."""
    if text is not None and (not text.strip() or len(text) > 500 or not re.match(LINE_PATTERN, text)):
        raise typer.BadParameter("write one line, 500 characters at most")
    return text


ReasonOption = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", callback=one_line, help="Why, in one line. Never a person's name."),
]


def actor() -> str:
    """Return who is at the keyboard, for the custody log; the system's word, not the environment's."""
    try:
        return f"shell:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"shell:{os.getuid()}"


@contextmanager
def opened(folder: Path) -> Iterator[Dock]:
    """Give the dock of a folder; raises what `Dock.open` raises."""
    dock = Dock.open(DockFolder(folder))
    try:
        yield dock
    finally:
        dock.close()


def console() -> Console:
    """Return standard output, where nothing is coloured by guessing, no line is broken, and a text is but a text.

    What units and people wrote, pseudonyms say, may hold brackets and colons, in which rich would see its markup.
    """
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(sentence: str) -> None:
    """Print one sentence."""
    console().print(sentence)


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings; on a terminal that is too narrow for them each row as lines of its own."""
    shown = console()
    table = Table(box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    if Measurement.get(shown, shown.options.update(max_width=_WIDEST), table).maximum <= shown.width:
        shown.print(table)
        return
    width = max(map(len, headings))
    for row in rows:
        say("\n".join(f"{heading:{width}}  {value}" for heading, value in zip(headings, row, strict=True)) + "\n")


def followed(items: Iterable[Item], total: int, doing: str) -> Iterator[Item]:
    """Yield the items while a bar on standard error, if that is a terminal, shows how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = Console(stderr=True)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress:
        yield from progress.track(items, total=total, description=doing)


def moment(at: datetime | None) -> str:
    """Return a moment as the tables show it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "–"


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"
