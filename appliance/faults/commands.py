"""The command `mirrorcam-unit faults`, and what the service manager calls to have one kept: parse, call, print."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from appliance.faults.fault import SERVICE_PATTERN, Fault
from appliance.faults.log import FaultLog
from appliance.faults.telling import of_last_run, of_service
from appliance.settings import UnitFolder
from appliance.usb.commands import FolderOption
from evidence.commandline import group
from evidence.errors import EnvironmentalError

keeping_app = group("""Keep a fault that the service manager or the kernel tells of.""")


class NoUnitError(EnvironmentalError):
    """There is no folder that a unit could have."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"There is no folder {folder}: name a unit's, or where its card's data partition is mounted.")
        self.folder = folder


def show_faults(folder: FolderOption) -> None:
    """Show the faults that the unit has kept, oldest first: which part, what, and how often in one start.

    It can be the folder of a unit, or the data partition of a card that is mounted.
    """
    if not folder.is_dir():
        raise NoUnitError(folder)
    faults = FaultLog(UnitFolder(folder).faults).faults()
    console = Console(markup=False, emoji=False)
    console.print(_table(faults) if faults else "No fault was kept.")


def _of_ours(name: str) -> str:
    if not re.fullmatch(SERVICE_PATTERN, name):
        raise typer.BadParameter("give one of the unit's own services, as in mirrorcam-unit")
    return name


@keeping_app.command()
def service(
    folder: FolderOption,
    name: Annotated[str, typer.Argument(metavar="NAME", callback=_of_ours, help="The service that failed.")],
) -> None:
    """Keep that a service failed, as OnFailure= tells it."""
    FaultLog(UnitFolder(folder).faults).note(*of_service(name, os.environ))


@keeping_app.command("last-run")
def last_run(folder: FolderOption) -> None:
    """Keep what ended the run before this one, if the kernel or the watchdog remembers anything."""
    log = FaultLog(UnitFolder(folder).faults)
    for fault in of_last_run():
        log.note(*fault)


def _table(faults: list[Fault]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("First (UTC)", "Last (UTC)", "Start", "Part", "What", "Times"):
        table.add_column(heading, no_wrap=True)
    for fault in faults:
        what = f"{fault.what} {fault.status}".strip()
        moments = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (fault.first, fault.last))
        table.add_row(*moments, fault.boot[:8], fault.part, what, str(fault.times))
    return table
