"""One card after the other in one reader: when the next one is in, and which of them became good."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from evidence.errors import EnvironmentalError, MirrorcamError
from provisioning.card import devices
from provisioning.card.devices import Node, NoSuchDeviceError

_PAUSE = 1.0  # seconds between two looks; a person changes a card no faster


class SomeCardsFailedError(MirrorcamError):
    """Of the cards that were put in, not all became good."""

    def __init__(self, good: int, bad: int) -> None:
        super().__init__(f"Cards ready: {good}; not ready: {bad}. Why, was said while each was in the reader.")
        self.good, self.bad = good, bad


@dataclass
class Series:
    """The cards that go through one reader, whose name was confirmed for all of them.

    `reader` is the disk of that name as it was with the first card in, so that no other one is written in its place.
    `look` tells of all disks, `sleep` waits, `say` and `complain` show a sentence to the person who changes the cards.
    """

    reader: Node
    look: Callable[[], tuple[Node, ...]]
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    complain: Callable[[str], None]
    good: int = field(default=0, init=False)
    bad: int = field(default=0, init=False)

    def run(self, write: Callable[[Node], None], label: str) -> None:
        """Write the first card, then each that is put in, until somebody presses Ctrl-C between two.

        Raises SomeCardsFailedError at the end if there were bad ones, and KeyboardInterrupt or what `write` makes of it
        at once.
        """
        disk = self.reader
        while True:
            tell = self._write(disk, write, label)
            try:
                tell()  # who presses Ctrl-C on reading it presses it between two cards
                disk = self._next()
            except KeyboardInterrupt:
                break
        if self.bad:
            raise SomeCardsFailedError(self.good, self.bad)
        self.say(f"Cards ready: {self.good}.")

    def _write(self, disk: Node, write: Callable[[Node], None], label: str) -> Callable[[], None]:
        """Write one card, and return what tells how that went."""
        try:
            write(disk)
        except (EnvironmentalError, devices.CardTooSmallError, devices.MountedError) as error:
            self.bad += 1
            return partial(self.complain, f"{error} Take it out.")
        self.good += 1
        return partial(self.say, f"Card {self.good} is ready: label it {label}, and take it out.")

    def _next(self) -> Node:
        """Wait until this card is out and one is in that may be written over; what keeps it from that is told once."""
        while self._present() is not None:
            self.sleep(_PAUSE)
        self.say("Put in the next card, or press Ctrl-C.")
        told = ""
        while True:
            disk = self._present()
            complaint = self._complaint(disk) if disk else ""
            if disk and not complaint:
                return disk
            if complaint and complaint != told:
                self.complain(complaint)
            told = complaint
            self.sleep(_PAUSE)

    def _present(self) -> Node | None:
        try:
            disk = devices.find(self.reader.path, self.look())
        except NoSuchDeviceError:
            return None
        return disk if disk.size else None

    def _complaint(self, disk: Node) -> str:
        """Return why a disk may not be written over, nothing if it may."""
        try:
            devices.check_same_reader(disk, self.reader)
            devices.check(disk)
        except MirrorcamError as error:
            return str(error)
        return ""
