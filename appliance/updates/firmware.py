"""Which kind of boot choice this machine has."""

from pathlib import Path

from appliance.updates.raspberry_pi import FOUND_BY, RaspberryPi
from appliance.updates.slots import BootChoice, BootChoiceError
from appliance.updates.uefi import Uefi
from appliance.updates.uefi_variables import EFIVARS


def find_boot_choice(*, raspberry_pi: Path = FOUND_BY, efivars: Path = EFIVARS) -> BootChoice:
    """Return this machine's, looking at what our init looks at, in the same order; raises BootChoiceError."""
    if raspberry_pi.exists():
        return RaspberryPi()
    if efivars.is_dir() and any(efivars.iterdir()):
        return Uefi()
    raise BootChoiceError("the firmware is neither a Raspberry Pi's nor UEFI")
