"""How IT's commands say what they did: the steps of a set-up, a sentence, and progress bars."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from provisioning.placing import SetUp


class Bars:
    """A progress bar for each thing that is being done, one below the other."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, doing: str, done: int, total: int) -> None:
        """Show how many bytes of how many (0: nobody knows) are done."""
        if doing not in self._tasks:
            self._tasks[doing] = self._bars.add_task(doing, total=total or None)
        self._bars.update(self._tasks[doing], completed=done)


@contextmanager
def progress_bars() -> Iterator[Bars]:
    """Show progress on standard error as long as the block runs."""
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield Bars(bars)


def print_steps(setup: SetUp) -> None:
    """Print what a run made, and what was there."""
    console = Console(highlight=False, soft_wrap=True)
    for step in setup.steps:
        mark = "[green]made [/]" if step.is_new else "[dim]there[/]"
        console.print(mark, end=" ")
        console.print(f"{step.path}  ({step.purpose})", markup=False)
    if not any(step.is_new for step in setup.steps):
        console.print("Everything is there already; nothing was changed.")


def say(sentence: str) -> None:
    """Print a sentence."""
    Console(highlight=False, soft_wrap=True).print(sentence, markup=False)


def say_image_is_whole(*, is_signed: bool) -> None:
    """Tell of an image that has its digest, and the signature that it must have, whether it has one."""
    say(f"The image is whole, and {'its signature is good' if is_signed else 'nobody has signed it'}.")
