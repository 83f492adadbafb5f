"""A unit's card, as IT would have it after the first docking, and the machine that it is in."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dock_station.settings import DockFolder
from provisioning.image.build import Built
from tests.image.machine import RIG_SCRIPT, Disks, fresh_variables, machine_of, place_of, write_partition
from tests.virtual_pi.camera import add_camera
from tests.virtual_pi.cards import RIG, write_code_disk, write_disk
from tests.virtual_pi.pi import VirtualPi, put_system_files
from tests.virtual_pi.root import Root
from tests.virtual_pi.town import CAMERA_SIZE, PANEL, SMALL_PANEL, Town

CARD_BYTES = 3 << 30
DOCK_MEBIBYTES = 1024
# Files of these names in the dock's folder: the rig gives the second slot no camera, or takes its Python away.
NO_CAMERA, NO_PYTHON = "rig-no-camera", "rig-no-python"


def card_of(built: Built, root: Root, town: Town, folder: Path) -> VirtualPi:
    """Return a unit, switched off: the image on a card that is larger, with the enrolled unit's data on it."""
    disks = _disks(built, root, town, folder, PANEL)
    return VirtualPi(machine_of(disks, root, folder / "run", screen=PANEL), town, disks.card, disks.card, disks.card)


def docked_card_of(
    built: Built, root: Root, town: Town, folder: Path, add_to_dock: Callable[[DockFolder], None]
) -> VirtualPi:
    """Return such a unit with a small panel, and with a dock at the other end of its cable."""
    dock = folder / "dock.ext4"
    town.write_dock_disk(dock, mebibytes=DOCK_MEBIBYTES, add=add_to_dock)
    return docked(replace(_disks(built, root, town, folder, SMALL_PANEL), dock=dock), root, town, folder)


def written_card_of(root: Root, town: Town, folder: Path, dock: Path) -> VirtualPi:
    """Return a unit with `dock`'s folder at the other end of its cable, from the card that was written in `folder`."""
    disks = disks_in(folder)
    assert disks.dock is not None
    fresh_variables(disks.variables)
    _write_code(root, disks.code)
    write_disk(dock, disks.dock, label="mc-dock", mebibytes=DOCK_MEBIBYTES)
    return docked(disks, root, town, folder)


def docked(disks: Disks, root: Root, town: Town, folder: Path) -> VirtualPi:
    """Return a unit with a dock, switched off, on these disks."""
    assert disks.dock is not None
    machine = machine_of(disks, root, folder / "run", screen=SMALL_PANEL)
    return VirtualPi(machine, town, disks.card, disks.dock, disks.card)


def disks_in(folder: Path) -> Disks:
    """Return the disks that `docked_card_of` has made in `folder`."""
    return Disks(folder / "card.img", folder / "variables.fd", folder / "code.ext4", folder / "dock.ext4")


def _disks(built: Built, root: Root, town: Town, folder: Path, screen: tuple[int, int]) -> Disks:
    disks = replace(disks_in(folder), dock=None)
    fresh_variables(disks.variables)
    _write_code(root, disks.code)
    shutil.copy(built.image, disks.card)
    os.truncate(disks.card, CARD_BYTES)
    unit = folder / "unit.ext4"
    town.write_unit_disk(unit, screen, mebibytes=place_of(disks.card, "data")[1] >> 20)
    write_partition(disks.card, "data", unit)
    return disks


def _write_code(root: Root, target: Path) -> None:
    def put(tree: Path) -> None:
        put_system_files(tree)
        add_camera(tree, *CAMERA_SIZE)
        shutil.copy(RIG_SCRIPT, tree / RIG)

    write_code_disk(root, target, put)
