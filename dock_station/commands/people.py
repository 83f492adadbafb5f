"""The commands `mirrorcam-dock person` and `mirrorcam-dock keyslot`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from dock_station.catalogue.people import Person
from dock_station.commands.common import FolderOption, actor, opened, print_rows, say
from dock_station.opening.keyslots import Keyslots
from dock_station.people import People
from dock_station.rights import Right, Role, may
from dock_station.settings import DockFolder
from evidence.commandline import group, pseudonym, secret
from evidence.errors import MirrorcamError


class NotAReviewerError(MirrorcamError):
    """A keyslot is wanted for somebody who may not open clips."""

    def __init__(self, login: str) -> None:
        super().__init__(
            f"'{login}' is nobody who may open clips: 'mirrorcam-dock person list' shows everyone and their roles."
        )


person_app = group("""The people who may sign in at the dock's pages. Every change goes into the custody log.

    mirrorcam-dock person add a-example --role evidence-officer --folder dock
    mirrorcam-dock person list --folder dock
""")
keyslot_app = group("""The keyslots: who can open clips, each with a passphrase of their own.

A keyslot is the station key under one reviewer's passphrase. Only somebody who has one can give another person one,
with both at the keyboard. Every change goes into the custody log.

    mirrorcam-dock keyslot add b-example --by a-example --folder dock
""")

LoginArgument = Annotated[str, typer.Argument(metavar="LOGIN", help="A short id, as in 'a-example'.")]
PasswordOption = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Read the password from its first line ('-': stdin)."),
]


@person_app.command("add")
def add_person(
    login: LoginArgument,
    role: Annotated[Role, typer.Option(help="What the person may do; IT sees no clips, an auditor the log only.")],
    folder: FolderOption,
    name: Annotated[str | None, typer.Option(help="The name that pages greet the person with.")] = None,
    wearer: Annotated[
        str | None,
        typer.Option(metavar="PSEUDONYM", callback=pseudonym, help="Under which this person's units record."),
    ] = None,
    password_file: PasswordOption = None,
) -> None:
    """Let a person sign in. To open clips, the person needs a keyslot besides."""
    password = secret(f"The password of {login}, 12 characters or more", "--password-file", password_file, twice=True)
    with opened(folder) as dock:
        People(dock).add(login, role, password, actor(), display_name=name, wearer=wearer)
    say(f"{login} may sign in, in the role {role}.")


@person_app.command("list")
def list_people(folder: FolderOption) -> None:
    """Show everyone, with role and state."""
    with opened(folder) as dock:
        everyone = People(dock).list()
        reviewers = Keyslots(dock.folder.keyslots).reviewers()
        now = dock.clock()
    rows = []
    for person in everyone:
        locked = person.locked_until is not None and person.locked_until > now
        state = "disabled" if not person.active else "locked out" if locked else "active"
        rows.append((person.login, person.role, person.wearer or "", "yes" if person.login in reviewers else "", state))
    if rows:
        print_rows(("Login", "Role", "Records as", "Keyslot", "State"), rows)
    else:
        say("Nobody may sign in yet: 'mirrorcam-dock person add' lets somebody.")


@person_app.command("passwd")
def change_password(login: LoginArgument, folder: FolderOption, password_file: PasswordOption = None) -> None:
    """Give a person a new password; it ends a lock-out, and sessions from before."""
    password = secret(f"The new password of {login}", "--password-file", password_file, twice=True)
    with opened(folder) as dock:
        People(dock).set_password(login, password, actor())
    say(f"{login} has a new password.")


@person_app.command("disable")
def disable_person(login: LoginArgument, folder: FolderOption) -> None:
    """Let a person in no more; what the person did stays in the custody log."""
    with opened(folder) as dock:
        People(dock).disable(login, actor())
        has_keyslot = login in Keyslots(dock.folder.keyslots).reviewers()
    say(f"{login} may not sign in any more.")
    if has_keyslot:
        say(f"Remove the keyslot too, if it is for good: mirrorcam-dock keyslot remove {login} --folder {folder}")


@keyslot_app.command("add")
def add_keyslot(
    login: LoginArgument,
    by: Annotated[str, typer.Option("--by", metavar="LOGIN", help="A reviewer who has a keyslot and is here.")],
    folder: FolderOption,
    passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read that reviewer's passphrase from it ('-': stdin).")
    ] = None,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the new reviewer's passphrase from it ('-': stdin).")
    ] = None,
) -> None:
    """Give a person a keyslot: first one who has one types a passphrase, then the new reviewer another one."""
    with opened(folder) as dock:
        person = next((person for person in People(dock).list() if person.login == login), None)
        if person is None or not _may_open(person):
            raise NotAReviewerError(login)
        keyslots = Keyslots(dock.folder.keyslots)
        identity = keyslots.open(by, secret(f"The passphrase of {by}", "--passphrase-file", passphrase_file))
        passphrase = secret(
            f"A passphrase for {login}, 12 characters or more; nobody else looks",
            "--new-passphrase-file",
            new_passphrase_file,
            twice=True,
        )
        with dock.catalogue.writing() as connection:
            dock.custody.append(
                connection, actor=actor(), action="keyslot-added", subject=f"person:{login}", details={"by": by}
            )
            keyslots.add(login, passphrase, identity)
    say(f"{login} can open clips now.")


@keyslot_app.command("list")
def list_keyslots(folder: FolderOption) -> None:
    """Show who has a keyslot."""
    DockFolder(folder).settings()  # else a folder that is no dock's would have no reviewers
    for login in Keyslots(DockFolder(folder).keyslots).reviewers():
        say(login)


@keyslot_app.command("remove")
def remove_keyslot(login: LoginArgument, folder: FolderOption) -> None:
    """Take a person's keyslot away; the last one stays. What is unlocked now stays so until its time is over."""
    with opened(folder) as dock, dock.catalogue.writing() as connection:
        dock.custody.append(connection, actor=actor(), action="keyslot-removed", subject=f"person:{login}")
        Keyslots(dock.folder.keyslots).remove(login)
    say(f"{login} cannot open clips any more. Copies of the keyslot, as in backups, still can: destroy those too.")


def _may_open(person: Person) -> bool:
    return person.active and may(person.role, Right.OPEN_CLIPS)
