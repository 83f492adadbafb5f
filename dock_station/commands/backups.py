"""`mirrorcam-dock backup` and `restore`: parse, call, print."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from dock_station.backup.making import make_backup
from dock_station.backup.restoring import restore
from dock_station.catalogue.clips import Clip
from dock_station.commands.common import FolderOption, actor, followed, moment, opened, say
from dock_station.settings import DockFolder
from evidence.errors import MirrorcamError, NotGenuineError


class ClipsNotCopiedError(NotGenuineError):
    """Clips in the vault are not what was taken in, so the backup has no copy of them."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} of the clips could not be copied; everything else is in the backup.")


class ClipsMissingError(MirrorcamError):
    """After a restore the vault has not every clip that the catalogue knows."""

    def __init__(self, count: int, of: int) -> None:
        super().__init__(
            f"{count} of {of} clips are not in the vault: put the files of the old vault's folder 'clips' into the new "
            "one's, and see what 'mirrorcam-dock doctor' says then."
        )


def back_up(
    target: Annotated[Path, typer.Argument(metavar="TO", help="The file to write; one that is there stays.")],
    folder: FolderOption,
    with_clips: Annotated[
        bool, typer.Option("--with-clips", help="Copy the sealed clips too; the vault is only read.")
    ] = False,
) -> None:
    """Write a backup of this dock to one file, also while it works; the dock and its clips stay as they are.

    It has the catalogue with the custody log, the settings, the keyslots, the dock's own keys and certificates, and
    an index of the vault. No clip can be opened with it without a reviewer's passphrase, but whoever has it can pose
    as this dock: keep it as you keep the dock. `tar` unpacks it, `sha256sum -c manifest-sha256.txt` checks it.
    """
    with opened(folder) as dock:
        made = make_backup(dock, target, actor=actor(), with_clips=with_clips, follow=_followed)
    for sentence in made.wrong:
        say(sentence)
    say(
        f"{target} has the custody log up to entry {made.entries}, {made.keyslots} keyslots, and the index of "
        f"{made.indexed} clips; copied: {made.copied}."
    )
    say(f"Its digests' digest, to be noted elsewhere: {made.sha256}")
    if made.copied and made.first_due:
        say(f"The first of the clips in it goes on {made.first_due:%Y-%m-%d}: destroy this backup by then.")
    if made.wrong:
        raise ClipsNotCopiedError(len(made.wrong))


def bring_back(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A file that 'backup' has written.")],
    folder: FolderOption,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="DOCK.TOML", help="Settings to take instead of those in it: another database, say."),
    ] = None,
) -> None:
    """Restore a dock from a backup into an empty folder; a vault on a disk of its own may be in it already.

    Every digest is checked before the first byte is written. A clip's file that is in the vault and is another than the
    backup's is replaced by that one, and named. Afterwards the whole custody log is checked and every
    clip is looked for; exit code 1 if one is missing. Clips that units handed over after the backup are not known to
    it: `clips` that are in the vault all the same are named by `doctor`.
    """
    done = restore(source, DockFolder(folder), actor=actor(), settings=settings)
    say(f"Dock {done.facts.dock_id} is as it was on {moment(done.facts.made_at)} UTC.")
    say(f"All {done.entries} entries of the custody log are good; the newest one says that it was restored.")
    say("Bring it the newest policy and list of revoked certificates: 'mirrorcam-provision dock update'.")
    say("Nothing is deleted until the holds of since then are set again and 'mirrorcam-dock alarms clear' has said so.")
    if not done.clock_is_trusted:
        say("Nothing is deleted until somebody compares the clock: 'mirrorcam-dock clock vouch'.")
    for sentence in (*done.replaced, *done.missing):
        say(sentence)
    if done.missing:
        raise ClipsMissingError(len(done.missing), done.clips)
    say(f"All {done.clips} clips are in the vault.")


def _followed(clips: list[Clip]) -> Iterable[Clip]:
    return followed(clips, len(clips), "Copying the clips")
