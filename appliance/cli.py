"""The command `mirrorcam-unit`: parse, call, print."""

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from appliance.board.battery import Battery
from appliance.cameras.sources import Sources
from appliance.closer import Closer
from appliance.docking.delivery import Course, Deleted, Greeted, Refused, Step
from appliance.docking.offload import Offload
from appliance.enrolment.stage import enrol
from appliance.faults.commands import show_faults
from appliance.faults.log import FaultLog
from appliance.front import messages
from appliance.installation import Installation
from appliance.journal import Journal
from appliance.power import Wishes, switch_on
from appliance.recovered import Recovered
from appliance.settings import UnitFolder
from appliance.updates.commands import update_app
from appliance.usb.commands import FolderOption, usb_app
from appliance.wearer import Wearer
from evidence import commandline
from evidence.commandline import group, pseudonym
from evidence.errors import MirrorcamError

app = group("""Wear a camera: record at a touch, and hand the sealed clips over to the dock.

A unit is a folder that `mirrorcam-provision unit enrol` has set up. On a computer it is a window: a click is a touch.

    mirrorcam-unit run --folder unit --camera file:film.mp4
    mirrorcam-unit status --folder unit
    mirrorcam-unit dock --folder unit

Exit codes: 0 all is well; 1 the dock refused a clip, or it could not be done; 2 wrong usage; 3 the policy or the dock
is not the authority's; 5 a file, the storage, the camera or the network does not do its part.
""")

app.add_typer(usb_app)
app.add_typer(update_app, name="update")
app.command("faults")(show_faults)

CableOption = Annotated[
    Path | None,
    typer.Option("--cable-socket", metavar="PATH", help="Call the dock through `mirrorcam-unit cable`, at its socket."),
]


@app.command()
def run(
    folder: FolderOption,
    camera: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="auto, picamera2, file:PATH (a film played in real time) or v4l2:/dev/videoN (a webcam).",
        ),
    ] = "auto",
    microphone: Annotated[
        str | None,
        typer.Option(metavar="WHICH", help="alsa:DEVICE or pulse:DEVICE; opened only where the policy records sound."),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Show no window.")] = False,
    wearer: Annotated[
        str | None,
        typer.Option(
            metavar="PSEUDONYM",
            callback=pseudonym,
            help="Who wears it, instead of what the dock said. Never a real name.",
        ),
    ] = None,
    touches_from_stdin: Annotated[
        bool,
        typer.Option(
            "--touches-from-stdin",
            help="Read a rehearsal: lines touch, hold SECONDS, dock, undock, quit, unplug THING, plug THING.",
        ),
    ] = False,
    cable_socket: CableOption = None,
) -> None:
    """Be the unit: standby, record at a touch, stop at a two-second hold.

    In the window a click is a touch, **D** puts the unit on the dock and takes it off again, **Esc** switches it off.
    SIGTERM and Ctrl-C switch it off too; a running clip is closed first.

    With `--cable-socket` it is docked as long as a dock of its authority answers over the cable.

    A folder with `authority.crt` and `enrolment.toml` alone is a unit to be: its first docking enrols it, by the code
    on its screen, and it goes on from there.

    What happens is written to standard output: for people on a terminal, else one JSON object a line.
    """
    wishes = Wishes(
        Sources.named(camera, microphone),
        is_headless=headless,
        wearer=wearer,
        touches=sys.stdin if touches_from_stdin else None,
        cable=cable_socket,
    )
    unit_folder = UnitFolder(folder)
    with Journal(faults=FaultLog(unit_folder.faults)) as journal:
        if unit_folder.is_to_be_enrolled() and not enrol(
            unit_folder, is_headless=headless, cable=cable_socket, journal=journal
        ):
            return
        installation = Installation.open(folder)
        switch_on(installation, Offload(installation, cable=cable_socket), wishes, journal)


@app.command()
def status(folder: FolderOption) -> None:
    """Say how the unit stands: who it is, what waits for a dock, how much room is left."""
    installation = Installation.open(folder)
    console = Console(markup=False, emoji=False)
    console.print(_facts(installation))
    console.print(_waiting(installation) if installation.spool.waiting() else "\nNo clip waits for the dock.")
    for clip_id, sentence in installation.spool.refusals().items():
        console.print(f"The dock refused {clip_id}: {sentence}")


@app.command()
def dock(folder: FolderOption, cable_socket: CableOption = None) -> None:
    """Hand over every waiting clip to the dock now, and delete each here once its receipt is good.

    What was sent before a broken connection is not sent again. Ends with exit code 1 if the dock refused a clip.
    """
    installation = Installation.open(folder)
    with installation.exclusively():
        installation.recover()
        course = _hand_over(installation, cable_socket)
    if course.refused:
        raise ClipsRefusedError(course.refused)
    Console().print(messages.handed_over(course.delivered).sentence)


class ClipsRefusedError(MirrorcamError):
    """The dock did not accept everything."""

    def __init__(self, clips: int) -> None:
        super().__init__(f"The dock refused {clips} of the clips, which stay on this unit: have IT look at both.")


def _hand_over(installation: Installation, cable: Path | None) -> Course:
    course = Course()
    wearer = Wearer(installation.folder.data / "wearer.json")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, markup=False, emoji=False)  # a dock's sentence is but a text
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Calling the dock", total=None)

        def take(step: Step) -> None:
            course.take(step)
            progress.update(task, description=course.message().sentence, total=course.bytes, completed=course.sent)
            if isinstance(step, Greeted):
                with suppress(OSError):  # as from a full storage: it is learned again when the clips are gone
                    wearer.learn(step.wearer)
            elif isinstance(step, Deleted):
                progress.console.print(f"{step.clip_id}  handed over, deleted here")
            elif isinstance(step, Refused):
                progress.console.print(f"{step.clip_id}  refused: {step.sentence}")

        def told(closed: Recovered) -> None:
            progress.console.print(f"{closed.clip_id}  {closed.what}")

        with Closer(installation.spool, report=told, complain=progress.console.print):
            Offload(installation, cable=cable).run(take, threading.Event())
        if course.greeted:
            wearer.learn(course.greeted.wearer)
    return course


def _facts(installation: Installation) -> Table:
    settings = installation.settings
    last_sync = installation.clock.quality().last_sync
    minutes = int(installation.spool.minutes_left(settings.video_bits_per_second))
    battery = Battery().percent()
    table = Table(show_header=False, box=None)
    table.add_row("Unit", settings.unit_id)
    table.add_row("Dock", settings.dock_url)
    table.add_row("Policy", installation.folder.policy().policy.policy_id)
    table.add_row("Clock", f"set by a dock on {last_sync:%Y-%m-%d %H:%M} UTC" if last_sync else "not set by a dock yet")
    table.add_row("Room", f"{messages.duration(minutes)} of recording")
    table.add_row("Battery", "not measured" if battery is None else f"{battery} %")
    table.add_row("Software", installation.facts.software)
    table.add_row("Now", "at work" if installation.is_at_work() else "switched off")
    return table


def _waiting(installation: Installation) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("Waiting for the dock", "Began (UTC)", "Size", "Ended by"):
        table.add_column(heading, no_wrap=True)
    for clip in installation.spool.waiting():
        stated = clip.manifest
        size = f"{stated.ciphertext_bytes / 1e6:.1f} MB"
        table.add_row(clip.clip_id, f"{stated.started_at:%m-%d %H:%M:%S}", size, stated.ended_by)
    return table


def main() -> NoReturn:
    """Run the command line."""
    commandline.run(app, "mirrorcam-unit")
