"""The command `mirrorcam-dock`: the dock's processes, and the groups of commands for those who look after it."""

import os
import sys
from datetime import timedelta
from typing import Annotated, NoReturn

import typer
from sqlalchemy.exc import SQLAlchemyError

from dock_station import doctor, journal, running
from dock_station.catalogue import schema
from dock_station.catalogue.database import CatalogueFailsError
from dock_station.clock import ClockWatch, utc_now
from dock_station.commands.backups import back_up, bring_back
from dock_station.commands.care import alarms_app, clock_app, unit_app
from dock_station.commands.clips import clips_app, custody_app
from dock_station.commands.common import FolderOption, opened, say
from dock_station.commands.people import keyslot_app, person_app
from dock_station.dock import Dock
from dock_station.retention.worker import RetentionWorker, Run, run_every
from dock_station.settings import DockFolder
from evidence import commandline
from evidence.commandline import examples, group
from evidence.errors import MirrorcamError
from evidence.memory import forbid_core_dumps
from evidence.supervisor import Supervisor

app = group("""Keep what the cameras recorded: take clips in, keep them locked, delete each when its time is over.

A dock is a folder that `mirrorcam-provision dock create` has set up; name it by `--folder`, or once and for all in the
environment variable `MIRRORCAM_DOCK`. First the catalogue and the people; then two processes make it work:

    mirrorcam-dock migrate --folder dock
    mirrorcam-dock person add a-example --role evidence-officer --folder dock
    mirrorcam-dock serve --folder dock
    mirrorcam-dock retention --folder dock

A dock that is installed for good runs `bays` and `pages`, each as a service of its own, instead of `serve`.

And for whoever looks after it:

    mirrorcam-dock doctor --folder dock
    mirrorcam-dock clips list --folder dock
    mirrorcam-dock custody verify --folder dock
    mirrorcam-dock backup town-hall.tar --folder dock

Exit codes: 0 all is well; 1 it could not be done, or something was found; 2 wrong usage; 3 something is not what it was
when it was taken in or written; 4 a passphrase does not fit; 5 a file, the disk or the database does not do its part.
""")
app.add_typer(clips_app, name="clips")
app.add_typer(custody_app, name="custody")
app.add_typer(person_app, name="person")
app.add_typer(keyslot_app, name="keyslot")
app.add_typer(unit_app, name="unit")
app.add_typer(alarms_app, name="alarms")
app.add_typer(clock_app, name="clock")
app.command("backup", epilog=examples("mirrorcam-dock backup /mnt/usb/town-hall.tar --folder dock"))(back_up)
app.command("restore", epilog=examples("mirrorcam-dock restore /mnt/usb/town-hall.tar --folder new-dock"))(bring_back)


class FindingsError(MirrorcamError):
    """The doctor found something."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} found; nothing was changed.")


class RetentionIncompleteError(MirrorcamError):
    """A run of retention did not do all that it should."""

    def __init__(self, done: Run) -> None:
        super().__init__(done.stopped or f"{len(done.failed)} of the clips that are due could not be deleted.")


@app.callback()
def _every_command() -> None:
    os.umask(0o077)  # whatever the dock writes is for the dock alone
    forbid_core_dumps()  # passphrases pass through here, and keys of the clips that are being played
    journal.keep_quiet()


@app.command()
def migrate(folder: FolderOption) -> None:
    """Create the catalogue and the vault, or bring the tables up to this version; again it changes nothing."""
    dock = Dock.open_unchecked(DockFolder(folder))
    try:
        schema.migrate(dock.catalogue)
        dock.prepare_vault()
        say(f"The catalogue at {dock.catalogue.shown_url} is up to date.")
    finally:
        dock.close()


@app.command()
def serve(folder: FolderOption) -> None:
    """Be the dock: take clips in at the bays, show pages to people, and hold what opens clips while it is unlocked.

    At the first start it creates the catalogue. What happens is written to standard output: for people on a terminal,
    else one JSON object a line. SIGTERM and Ctrl-C end it cleanly: what is being uploaded goes on at the next start.
    """
    journal.begin(sys.stdout)
    running.run(DockFolder(folder), with_bays=True, with_pages=True)


@app.command()
def bays(folder: FolderOption) -> None:
    """Be the dock's bays alone: take clips in, and see which bay holds which unit; beside `pages`, instead of `serve`.

    It needs no passphrase and opens no clip, and a dock whose pages are down goes on taking clips in.
    """
    journal.begin(sys.stdout)
    running.run(DockFolder(folder), with_bays=True, with_pages=False)


@app.command()
def pages(folder: FolderOption) -> None:
    """Be the dock's pages alone, with what opens clips while it is unlocked; beside `bays`, instead of `serve`."""
    journal.begin(sys.stdout)
    running.run(DockFolder(folder), with_bays=False, with_pages=True)


@app.command()
def retention(
    folder: FolderOption,
    once: Annotated[bool, typer.Option("--once", help="Run once, say what was done, and end.")] = False,
    minutes: Annotated[int, typer.Option("--every", metavar="MINUTES", min=1, max=1440, help="How often.")] = 10,
) -> None:
    """Delete each clip when its time is over, unless it is held; a process of its own, beside `serve`.

    It deletes nothing while the dock's clock is in doubt or the policy cannot be read, and raises an alarm instead.
    With `--once` the exit code is 1 if something that is due could not be deleted.
    """
    if not once:
        journal.begin(sys.stdout)
    stop = running.stop_by_signal()
    with opened(folder) as dock:
        watch = ClockWatch()
        worker = RetentionWorker(dock, watch)
        if once:
            _tell(worker.run())
        else:
            run_every(worker, watch, timedelta(minutes=minutes), stop, Supervisor.from_environment())


@app.command("doctor")
def examine(folder: FolderOption) -> None:
    """Look for every disagreement between catalogue, vault and set-up, one line each; exit code 1 if there is one.

    It changes nothing, and does not read the clips to the last byte: `clips verify` does.
    """
    count = 0
    for sentence in doctor.findings(DockFolder(folder), utc_now):
        count += 1
        say(sentence)
    if count:
        raise FindingsError(count)
    say("Everything is in order.")


def _tell(done: Run) -> None:
    for clip_id in done.deleted:
        say(f"Deleted {clip_id}.")
    for clip_id in done.kept:
        say(f"Kept {clip_id}: its time is not over any more, or it is held.")
    for sentence in done.failed:
        say(sentence)
    if done.stopped or done.failed:
        raise RetentionIncompleteError(done)
    if not done.deleted:
        say("Nothing was to be deleted.")


def _with_sentences() -> None:
    try:
        app(prog_name="mirrorcam-dock")
    except SQLAlchemyError as error:
        raise CatalogueFailsError(error) from error


def main() -> NoReturn:
    """Run the command."""
    commandline.run(_with_sentences, "mirrorcam-dock")


if __name__ == "__main__":
    main()
