"""One card after the other in one reader, whose disks are told by the test, look by look."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from provisioning.card import devices
from provisioning.card.devices import CardTooSmallError, Node, NotPermittedError
from provisioning.card.repeating import Series, SomeCardsFailedError
from provisioning.card.writing import CardForgetsError, WritingStoppedError

GOOD = Node(name="sdb", path="/dev/sdb", type="disk", size=1 << 35, ro=False, rm=True, log_sec=512)
EMPTY = msgspec.structs.replace(GOOD, size=0)
PROTECTED = msgspec.structs.replace(GOOD, ro=True)
MOUNTED = msgspec.structs.replace(GOOD, mountpoints=("/media/card",))
# A cheap reader tells of itself, whichever card is in it; a built-in slot tells of the card.
ON_USB = msgspec.structs.replace(GOOD, tran="usb", vendor="Generic ", model="STORAGE DEVICE", serial="000000001206")
IN_SLOT = msgspec.structs.replace(GOOD, name="mmcblk0", path="/dev/mmcblk0", rm=False, tran="mmc", model="SC32G")


class Shop:
    """A reader in which cards are changed between two looks; after the last one Ctrl-C is pressed."""

    def __init__(self, *seen: Node | None, first: Node = GOOD) -> None:
        self._seen: Iterator[Node | None] = iter(seen)
        self.said: list[str] = []
        self.complaints: list[str] = []
        self.series = Series(first, self.look, lambda _: None, self.said.append, self.complaints.append)

    def look(self) -> tuple[Node, ...]:
        try:
            disk = next(self._seen)
        except StopIteration:
            raise KeyboardInterrupt from None
        return (disk,) if disk else ()

    def run(self, write: Callable[[Node], None] = lambda _: None) -> None:
        self.series.run(write, "label")


@pytest.fixture(autouse=True)
def _everybody_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no /dev/sdb here that could be asked for its rights."""
    check = devices.check

    def checked(disk: Node) -> None:
        try:
            check(disk)
        except NotPermittedError:
            return

    monkeypatch.setattr(devices, "check", checked)


@pytest.mark.parametrize("out", [None, EMPTY])
def test_a_card_is_written_once_and_the_next_when_it_is_in(out: Node | None) -> None:
    shop = Shop(GOOD, GOOD, out, out, GOOD, GOOD, out)
    shop.run()
    next_one = "Put in the next card, or press Ctrl-C."
    ready = [line for line in shop.said if line != next_one]
    assert [line.partition(":")[0] for line in ready] == ["Card 1 is ready", "Card 2 is ready", "Cards ready"]
    assert shop.said.count(next_one) == 2
    assert not shop.complaints


def test_what_keeps_a_card_from_being_written_is_told_once_and_ends_when_it_is_seen_to() -> None:
    shop = Shop(None, PROTECTED, PROTECTED, MOUNTED, None, MOUNTED, GOOD, None)
    shop.run()
    assert ["write-protected" in line for line in shop.complaints] == [True, False, False]
    assert shop.series.good == 2


def test_a_bad_card_is_told_counted_and_followed_by_the_next() -> None:
    errors: Iterator[Exception | None] = iter(
        [CardForgetsError("/dev/sdb", 7), None, CardTooSmallError("/dev/sdb", 1, 2)]
    )

    def write(_disk: Node) -> None:
        if error := next(errors):
            raise error

    shop = Shop(None, GOOD, None, GOOD, None)
    with pytest.raises(SomeCardsFailedError, match="Cards ready: 1; not ready: 2"):
        shop.run(write)
    assert any(line.startswith("Card 1 is ready") for line in shop.said)
    assert len(shop.complaints) == 2


@pytest.mark.parametrize("what", ["tran", "vendor", "model", "serial"])
@pytest.mark.parametrize("first", [ON_USB, GOOD])
def test_another_disk_that_comes_up_under_the_readers_name_is_told_once_and_not_written(first: Node, what: str) -> None:
    backup = msgspec.structs.replace(first, **{what: "another"})
    written: list[Node] = []
    shop = Shop(first, None, backup, backup, None, first, None, first=first)
    shop.run(written.append)
    assert written == [first, first]
    (complaint,) = shop.complaints
    assert complaint.startswith("/dev/sdb is another device now than the reader that was named: it is not written;")


def test_a_mounted_one_is_not_asked_to_be_unmounted() -> None:
    backup = msgspec.structs.replace(ON_USB, serial="another", mountpoints=("/media/backup",))
    shop = Shop(None, backup, first=ON_USB)
    shop.run()
    assert ["unmount" in line for line in shop.complaints] == [False]


def test_in_a_built_in_slot_each_card_has_a_name_of_its_own() -> None:
    following = msgspec.structs.replace(IN_SLOT, model="EB1QT", serial="0x4a21")
    shop = Shop(None, following, None, first=IN_SLOT)
    shop.run()
    assert shop.series.good == 2
    assert not shop.complaints


def test_ctrl_c_in_the_middle_of_a_card_ends_all() -> None:
    def write(_disk: Node) -> None:
        raise WritingStoppedError("/dev/sdb", "")

    with pytest.raises(WritingStoppedError):
        Shop().run(write)
