"""The card that is meant: listed, and named by whoever is at the keyboard before it is written over."""

import sys
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.table import Table

from evidence.errors import MirrorcamError
from provisioning.card import devices
from provisioning.card.devices import Node, megabytes


class NotConfirmedError(MirrorcamError):
    """The name that was typed is not the card's."""

    def __init__(self, typed: str, name: str) -> None:
        super().__init__(f"'{typed}' is not '{name}', the name of the card: nothing was written.")
        self.typed, self.name = typed, name


class NobodyToAskError(MirrorcamError):
    """The card must be named, and nobody sits at a keyboard."""

    def __init__(self) -> None:
        super().__init__("There is no terminal to type the card's name at: give --device /dev/NAME and --confirm NAME.")


@dataclass(frozen=True)
class Choice:
    """How the card is named: `device` on the command line, or nothing; and the same once more by `confirm`."""

    device: str | None
    confirm: str | None

    def disk(self) -> Node:
        """Return the disk that was named, or that is chosen now, if it may be written over.

        Raises NobodyToAskError, NotConfirmedError, NoCardError, or as `devices.find` and `devices.check` do.
        """
        found = devices.disks()
        if self.device is None:
            return self._chosen(found)
        disk = devices.find(self.device, found)
        devices.check(disk)
        if self.confirm is not None:
            _compare(self.confirm, disk)
        elif not sys.stdin.isatty():
            raise NobodyToAskError
        return disk

    def confirmed(self, disk: Node) -> None:
        """Have a disk that was given on the command line named once more, and look at it again before it is written.

        Raises NotConfirmedError, or as `devices.check_again` does.
        """
        if self.device is not None and self.confirm is None:
            _show([disk])
            _compare(_typed(f"All that is on it will be lost. Type its name, {disk.name}"), disk)
        devices.check_again(disk, devices.disks())

    def _chosen(self, found: tuple[Node, ...]) -> Node:
        cards = devices.candidates(found)
        if not cards:
            raise devices.NoCardError("any reader")
        _show(cards)
        typed = _typed("All that is on it will be lost. Type the name of the card")
        for card in cards:
            if card.name == typed:
                devices.check(card)
                return card
        raise NotConfirmedError(typed, "' or '".join(card.name for card in cards))


def _compare(typed: str, disk: Node) -> None:
    if typed != disk.name:
        raise NotConfirmedError(typed, disk.name)


def _show(cards: list[Node]) -> None:
    table = Table("name", "size", "what it is", "partitions")
    for card in cards:
        table.add_row(card.name, megabytes(card.size), card.label, str(len(card.children)))
    Console().print(table)


def _typed(question: str) -> str:
    if not sys.stdin.isatty():
        raise NobodyToAskError
    return str(typer.prompt(question, err=True)).strip()
