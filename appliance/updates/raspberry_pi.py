"""The boot choice of a Raspberry Pi: autoboot.txt on the card's first partition, and its firmware's tryboot."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from appliance.updates.slots import BootChoiceError, Slot, booted_slot
from evidence.errors import reason_of

# Where /etc/fstab mounts the partition `firmware`.
AUTOBOOT = Path("/run/mirrorcam-firmware/autoboot.txt")
FOUND_BY = Path("/proc/device-tree/chosen/bootloader/partition")  # the firmware of a Raspberry Pi writes it
TRYBOOT = "0 tryboot"  # the argument of reboot(2) that the kernel passes on to the firmware

_PARTITIONS = {b"2": Slot.A, b"3": Slot.B}
_NUMBERS = {slot: number for number, slot in _PARTITIONS.items()}
_LONGEST = 512  # one sector: the firmware reads no more of it, and a card writes it whole or not at all
_TEXT = re.compile(
    rb"(?P<head>\[all\]\r?\ntryboot_a_b=1\r?\nboot_partition=)(?P<all>[23])"
    rb"(?P<middle>\r?\n\[tryboot\]\r?\nboot_partition=)(?P<tryboot>[23])(?P<tail>\s*)"
)


class RaspberryPi:
    """Changes two digits of autoboot.txt, in place and within one sector; nothing of the file system around it moves.

    The trial is no entry anywhere: the restart itself asks for the partition of [tryboot], once.
    """

    def __init__(self, autoboot: Path = AUTOBOOT, *, booted: Callable[[], Slot] = booted_slot) -> None:
        self._autoboot = autoboot
        self._booted = booted

    def current(self) -> Slot:
        """Return the slot that our init has started."""
        return self._booted()

    def permanent(self) -> Slot:
        """Return the slot of [all]."""
        return _PARTITIONS[self._read()["all"]]

    def try_once(self, slot: Slot) -> str:
        """Return the restart's argument, if [tryboot] is this slot."""
        if _PARTITIONS[self._read()["tryboot"]] is not slot:
            raise BootChoiceError(f"{self._autoboot.name} does not have slot {slot} to be tried")
        return TRYBOOT

    def make_permanent(self, slot: Slot) -> None:
        """Write both digits in one write, and see that they are on the card."""
        text = self._read()
        wanted = b"".join(
            (text["head"], _NUMBERS[slot], text["middle"], _NUMBERS[slot.other], text["tail"]),
        )
        if wanted == text[0]:
            return
        try:
            descriptor = os.open(self._autoboot, os.O_WRONLY | os.O_CLOEXEC)
            try:
                if os.pwrite(descriptor, wanted, 0) != len(wanted):
                    raise BootChoiceError(f"{self._autoboot.name} was not written as a whole")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise BootChoiceError(f"{self._autoboot} ({reason_of(error)})") from error

    def _read(self) -> re.Match[bytes]:
        try:
            content = self._autoboot.read_bytes()
        except OSError as error:
            raise BootChoiceError(f"{self._autoboot} ({reason_of(error)})") from error
        text = _TEXT.fullmatch(content)
        if text is None or len(content) > _LONGEST or text["all"] == text["tryboot"]:
            raise BootChoiceError(f"{self._autoboot} is not what the image had")
        return text
