"""A unit's card, as IT would have it after the first docking, and the machine that it is in."""

import os
import shutil
from pathlib import Path

from provisioning.image.build import Built
from tests.image.machine import RIG_SCRIPT, machine_of, place_of, write_partition
from tests.virtual_pi.camera import add_camera
from tests.virtual_pi.cards import RIG, write_code_disk
from tests.virtual_pi.pi import VirtualPi, put_system_files
from tests.virtual_pi.root import Root
from tests.virtual_pi.town import CAMERA_SIZE, PANEL, Town

CARD_BYTES = 3 << 30


def card_of(built: Built, root: Root, town: Town, folder: Path) -> VirtualPi:
    """Return a unit, switched off: the image on a card that is larger, with the enrolled unit's data on it."""
    card, unit, code = folder / "card.img", folder / "unit.ext4", folder / "code.ext4"

    def put(tree: Path) -> None:
        put_system_files(tree)
        add_camera(tree, *CAMERA_SIZE)
        shutil.copy(RIG_SCRIPT, tree / RIG)

    write_code_disk(root, code, put)
    shutil.copy(built.image, card)
    os.truncate(card, CARD_BYTES)
    town.write_unit_disk(unit, PANEL, mebibytes=place_of(card, "data")[1] >> 20)
    write_partition(card, "data", unit)
    machine = machine_of(card, root, code, folder / "run", screen=PANEL)
    return VirtualPi(machine, town, card, card, card)
