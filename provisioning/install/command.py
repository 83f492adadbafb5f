"""The command `mirrorcam-provision dock install`: parse, call, print."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evidence import commandline
from evidence.errors import MirrorcamError
from evidence.identifiers import NAME_PATTERN
from provisioning.install.code import Source
from provisioning.install.installing import differences, install
from provisioning.install.machine import Machine, this_machine
from provisioning.install.steps import Step
from provisioning.install.wanted import DOCK, Wish, is_complete, require_a_word_about_ssh, steps

_NEXT = (
    f"This dock is not set up yet: 'mirrorcam-provision dock create {DOCK} --authority DIR' does that, or a restore of "
    "its backup; then call this again."
)


class DiffersError(MirrorcamError):
    """A computer is not as a dock is to be."""

    def __init__(self, count: int) -> None:
        super().__init__(f"Differences: {count}; nothing was changed.")


class LeftUndoneError(MirrorcamError):
    """Something can only be done inside the file system that is prepared."""

    def __init__(self, count: int) -> None:
        super().__init__(f"Left undone: {count}; everything else is there.")


def install_dock(
    check: Annotated[bool, typer.Option("--check", help="Say what differs, and change nothing.")] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Prepare this file system, of an image say; nothing is started.")
    ] = Path("/"),
    with_ssh: Annotated[
        bool | None, typer.Option("--ssh/--no-ssh", help="Whether the firewall lets ssh in; no, unless it did before.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(metavar="FILE.whl", help="Install this mirrorcam, not the checkout's.")
    ] = None,
    administrator: Annotated[
        str | None, typer.Option(metavar="LOGIN", help="The first person who may sign in, in the role of IT.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read that person's password from it ('-': stdin).")
    ] = None,
) -> None:
    """Make this computer a dock: packages, folders, code, the bays' network, firewall, services, first administrator.

    For Debian and Raspberry Pi OS, as root. Run again it changes nothing, or goes on where it was cut off. What it
    lets in are the pages and the bays, and ssh only if you say so.
    """
    os.umask(0o022)
    machine = this_machine(root)
    if wheel and not wheel.is_file():
        raise typer.BadParameter(f"there is no file {wheel}", param_hint="--wheel")
    if administrator and not re.fullmatch(NAME_PATTERN, administrator):
        raise typer.BadParameter("use lower case letters, digits and inner hyphens, as in 'a-example'")
    wish = Wish(
        with_ssh=with_ssh,
        source=Source(wheel and wheel.resolve()),
        administrator=administrator,
        password=lambda: commandline.secret(
            f"The password of {administrator}, 12 characters or more", "--password-file", password_file, twice=True
        ),
    )
    if check:
        _check(machine, wish)
    else:
        _install(machine, wish)


def _check(machine: Machine, wish: Wish) -> None:
    count = 0
    for sentence in differences(steps(machine, wish), machine):
        count += 1
        _say(sentence)
    if not is_complete(machine):
        count += 1
        _say(_NEXT)
    if count:
        raise DiffersError(count)
    _say("Nothing to change.")


def _install(machine: Machine, wish: Wish) -> None:
    require_a_word_about_ssh(machine, wish)
    taken: list[Step] = []

    def tell(step: Step) -> None:
        taken.append(step)
        Console(highlight=False, soft_wrap=True).print("[green]done [/]", end=" ")
        _say(step.name)

    left = install(steps(machine, wish), machine, tell)
    for sentence in left:
        _say(sentence)
    if not taken and not left:
        _say("Nothing to change.")
    if not is_complete(machine):
        _say(_NEXT)
    if left:
        raise LeftUndoneError(len(left))


def _say(sentence: str) -> None:
    Console(highlight=False, soft_wrap=True, markup=False, emoji=False).print(sentence)
