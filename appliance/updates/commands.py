"""The commands of root's part of updates: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.updates.firmware import find_boot_choice
from appliance.updates.handler import answer
from appliance.updates.installing import Installing
from appliance.updates.places import UpdatePlaces
from appliance.updates.rauc import Rauc
from appliance.updates.running import running
from appliance.updates.signs import SIGNS, Sign, Signs
from appliance.updates.trial import TrialWatch
from appliance.updates.update_journal import UpdateJournal
from appliance.usb.commands import FolderOption
from evidence.commandline import group
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.release import Installed

update_app = group("""Install an update and watch its trial: for the unit's own services, as root.""")

SignsOption = Annotated[Path, typer.Option("--signs", metavar="DIR", help="Where the unit's process gives its signs.")]


class NoImageError(EnvironmentalError):
    """This root was made by no image, so there are no slots."""

    def __init__(self) -> None:
        super().__init__("This is no unit that was started from an image: there is no slot to be updated.")


@update_app.command()
def install(folder: FolderOption, signs: SignsOption = SIGNS) -> None:
    """Write a bundle that was fetched to the other slot, and restart into its trial; only while the unit permits it."""
    given = Signs(signs)
    try:
        here, choice = _running(), find_boot_choice()
    except MirrorcamError:
        given.take_back(Sign.PERMIT)  # while it is given, systemd starts this again and again
        raise
    Installing(
        UpdatePlaces(folder), running=here, choice=choice, signs=given, rauc=Rauc(), journal=UpdateJournal()
    ).run()


@update_app.command()
def trial(folder: FolderOption, signs: SignsOption = SIGNS) -> None:
    """Watch the trial of a slot until it is confirmed or given up; after a roll back, note it."""
    TrialWatch(
        UpdatePlaces(folder),
        running=_running(),
        choice=find_boot_choice(),
        signs=Signs(signs),
        journal=UpdateJournal(),
    ).run()


@update_app.command()
def slots(question: Annotated[list[str], typer.Argument(metavar="QUESTION…")]) -> None:
    """Answer what RAUC asks of a custom boot loader: get-current, get-primary, get-state, set-state, set-primary."""
    said = answer(tuple(question), find_boot_choice())
    if said:
        typer.echo(said)


def _running() -> Installed:
    found = running()
    if found is None:
        raise NoImageError
    return found
