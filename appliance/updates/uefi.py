"""The boot choice where the firmware is UEFI, as an emulated machine's is: BootOrder for good, BootNext for a trial."""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from appliance.updates.slots import BootChoiceError, Slot, booted_slot
from appliance.updates.uefi_variables import BootVariables, LoadOption, Partition, partition_of
from evidence.errors import reason_of

# The file that firmware looks for on removable media (§3.5.1.1): systemd-boot, on each boot partition.
_STARTERS = {"aarch64": "\\EFI\\BOOT\\BOOTAA64.EFI", "x86_64": "\\EFI\\BOOT\\BOOTX64.EFI"}
_SECTOR = 512  # what the kernel counts `start` and `size` in, whatever the disk's blocks are


class Partitions:
    """Finds a partition by its GPT name, in the links that udev has set."""

    def __init__(self, links: Path = Path("/dev/disk"), kernel: Path = Path("/sys/class/block")) -> None:
        self._links = links
        self._kernel = kernel

    def find(self, label: str) -> Partition:
        """Return the partition of this name; raises OSError or ValueError."""
        name = (self._links / "by-partlabel" / label).resolve(strict=True).name
        facts = self._kernel / name
        block = _number(facts.resolve(strict=True).parent / "queue/logical_block_size")
        return Partition(
            number=_number(facts / "partition"),
            start=_number(facts / "start") * _SECTOR // block,
            size=_number(facts / "size") * _SECTOR // block,
            guid=self._guid(name),
        )

    def _guid(self, name: str) -> UUID:
        for link in (self._links / "by-partuuid").iterdir():
            if link.resolve().name == name:
                return UUID(link.name)
        raise FileNotFoundError(2, "No GPT id is known", name)


class Uefi:
    """Makes an entry for each slot when it is first needed.

    Before that the firmware finds the card by itself, and starts from it what it has always started. It may also throw
    our entries out of BootOrder again, in a trial too: then nothing says which slot is the permanent one.
    """

    def __init__(
        self,
        variables: BootVariables | None = None,
        partitions: Partitions | None = None,
        *,
        booted: Callable[[], Slot] = booted_slot,
        processor: str | None = None,
    ) -> None:
        self._variables = variables or BootVariables()
        self._partitions = partitions or Partitions()
        self._booted = booted
        self._starter = _STARTERS.get(processor or platform.machine(), "")

    def current(self) -> Slot:
        """Return the slot that our init has started."""
        return self._booted()

    def permanent(self) -> Slot | None:
        """Return the first of our entries in BootOrder, None where none of them is there."""
        with _explained():
            slots = {number: slot for slot, number in self._numbers().items()}
            return next((slots[number] for number in self._variables.order() if number in slots), None)

    def try_once(self, slot: Slot) -> None:
        """Write BootNext, after what comes behind it: the slot that runs now is the permanent one."""
        self.make_permanent(self.permanent() or self.current())
        with _explained():
            self._variables.put_next(self._entry(slot))

    def make_permanent(self, slot: Slot) -> None:
        """Put the slot's entry first in BootOrder, and behind it all that was there."""
        with _explained():
            numbers = [self._entry(slot), self._entry(slot.other)]
            order = [number for number in self._variables.order() if number not in numbers]
            self._variables.put_order([*numbers, *order])

    def _entry(self, slot: Slot) -> int:
        """Return the number of the slot's entry, which is made or put right where that is needed."""
        option = LoadOption(f"Mirrorcam {slot}", self._partitions.find(slot.boot_partition), self._starter).encode()
        there = self._variables.entries()
        number = self._numbers().get(slot)
        if number is None:
            number = next(free for free in range(len(there) + 1) if free not in there)
        if there.get(number) != option:
            self._variables.put_entry(number, option)
        return number

    def _numbers(self) -> dict[Slot, int]:
        """Return which entries are ours: those that begin with the boot partition of a slot."""
        slots = {self._partitions.find(slot.boot_partition).guid: slot for slot in Slot}
        found: dict[Slot, int] = {}
        for number, option in self._variables.entries().items():
            slot = slots.get(partition_of(option) or UUID(int=0))
            if slot is not None:
                found.setdefault(slot, number)
        return found


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise BootChoiceError(f"UEFI's variables ({reason_of(error)})") from error
