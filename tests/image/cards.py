"""A unit's card, as IT would have it after the first docking, and the machine that it is in."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from dock_station.settings import DockFolder
from provisioning.image.build import Built
from tests.image.machine import RIG_SCRIPT, machine_of, place_of, write_partition
from tests.virtual_pi.camera import add_camera
from tests.virtual_pi.cards import RIG, write_code_disk
from tests.virtual_pi.pi import VirtualPi, put_system_files
from tests.virtual_pi.root import Root
from tests.virtual_pi.town import CAMERA_SIZE, PANEL, SMALL_PANEL, Town

CARD_BYTES = 3 << 30
DOCK_MEBIBYTES = 1024
NO_CAMERA = "rig-no-camera"  # a file of this name in the dock's folder: the rig gives the second slot no camera


def card_of(built: Built, root: Root, town: Town, folder: Path) -> VirtualPi:
    """Return a unit, switched off: the image on a card that is larger, with the enrolled unit's data on it."""
    card, code = _card(built, town, folder, PANEL), _code(root, folder)
    return VirtualPi(machine_of(card, root, code, folder / "run", screen=PANEL), town, card, card, card)


def docked_card_of(
    built: Built, root: Root, town: Town, folder: Path, add_to_dock: Callable[[DockFolder], None]
) -> VirtualPi:
    """Return such a unit with a small panel, and with a dock at the other end of its cable."""
    card, code = _card(built, town, folder, SMALL_PANEL), _code(root, folder)
    dock = folder / "dock.ext4"
    town.write_dock_disk(dock, mebibytes=DOCK_MEBIBYTES, add=add_to_dock)
    machine = machine_of(card, root, code, folder / "run", screen=SMALL_PANEL, dock=dock)
    return VirtualPi(machine, town, card, dock, card)


def _card(built: Built, town: Town, folder: Path, screen: tuple[int, int]) -> Path:
    card, unit = folder / "card.img", folder / "unit.ext4"
    shutil.copy(built.image, card)
    os.truncate(card, CARD_BYTES)
    town.write_unit_disk(unit, screen, mebibytes=place_of(card, "data")[1] >> 20)
    write_partition(card, "data", unit)
    return card


def _code(root: Root, folder: Path) -> Path:
    code = folder / "code.ext4"

    def put(tree: Path) -> None:
        put_system_files(tree)
        add_camera(tree, *CAMERA_SIZE)
        shutil.copy(RIG_SCRIPT, tree / RIG)

    write_code_disk(root, code, put)
    return code
