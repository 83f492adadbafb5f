"""The power cut at random moments of an update: whatever the firmware starts next is whole.

Each cut begins with a unit that was saved when its bundle was there and permitted, and ends with SIGKILL to QEMU, whose
disks have no write cache. What a start needs is then looked at from outside: the slot that ran must have the image's
bytes; where the other one can be started, it must have the bundle's. The last cut before the restart and the last one
after it are followed by a start.
"""

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioning.image.build import Built
from tests.image.bundles import make_bundle, offer
from tests.image.cards import disks_in, docked, docked_card_of
from tests.image.firmware import is_set
from tests.image.machine import Disks, place_of, read_partition
from tests.virtual_pi.figures import record
from tests.virtual_pi.root import Root
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import Town

CUTS = int(os.environ.get("MIRRORCAM_CUTS", "24"))
STARTS = 2


@dataclass(frozen=True)
class Saved:
    """A unit that begins to install: its state, its disks as they were, and how long it takes until its restart."""

    root: Root
    town: Town
    state: Path
    disks: Disks
    seconds: float


@pytest.fixture(scope="module")
def saved(built: Built, root: Root, town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    """Switch a unit on, on a dock that offers an update; save it when that was fetched, and let it go on once."""
    folder = tmp_path_factory.mktemp("cuts")
    bundle = make_bundle(built, town.pki, tmp_path_factory.mktemp("bundle"))
    pi = docked_card_of(built, root, town, folder, lambda dock: offer(bundle, dock))
    pi.machine.start()
    pi.wait_for("update_permitted", seconds=1800)
    state = folder / "machine.state"
    pi.machine.save(state)
    disks = _copy(disks_in(folder), folder / "saved")
    began = time.monotonic()
    pi.machine.resume(state)
    pi.machine.wait_until_off(seconds=1800)
    yield Saved(root, town, state, disks, time.monotonic() - began)
    state.unlink()


def test_whatever_starts_after_a_cut_is_whole(saved: Saved, built: Built, tmp_path: Path) -> None:
    dice = random.Random(CUTS)
    moments = sorted(dice.uniform(0, saved.seconds) for _ in range(CUTS))
    slots = [
        _cut(saved, built, moment, tmp_path / str(number), starts=number >= CUTS - STARTS)
        for number, moment in enumerate(moments)
    ]
    value = f"{len(slots)} of {len(slots)}; slot b was to be tried after {slots.count('b')} of them"
    record("update", "power cut while an update is installed: what starts next is whole", value, "all")


def _cut(saved: Saved, built: Built, moment: float, folder: Path, *, starts: bool) -> str:
    """Cut the power after so many seconds, look, and return the slot that the firmware starts next."""
    disks = _copy(saved.disks, folder)
    pi = docked(disks, saved.root, saved.town, folder)
    try:
        began = time.monotonic()
        pi.machine.resume(saved.state)
        until(lambda: time.monotonic() - began >= moment or pi.machine.is_off, seconds=moment + 60, what="the cut")
        pi.machine.cut_power()
        slot = "b" if is_set("BootNext", disks.variables) else "a"
        _hold_against_the_image(disks.card, built, "a")
        if slot == "b" or _trial(disks.card, folder):
            _hold_against_the_image(disks.card, built, "b")
        if starts:
            pi.machine.start()
            assert pi.machine.run("cat /etc/mirrorcam-slot").strip() == slot
            pi.wait_for("started", seconds=900)
        return slot
    finally:
        pi.machine.cut_power()
        shutil.rmtree(folder)


def _copy(disks: Disks, folder: Path) -> Disks:
    """Return copies of all that is written to."""
    folder.mkdir()
    copies = disks_in(folder)
    assert disks.dock is not None
    assert copies.dock is not None
    for source, copy in ((disks.card, copies.card), (disks.variables, copies.variables), (disks.dock, copies.dock)):
        subprocess.run(["cp", "--sparse=always", str(source), str(copy)], check=True)
    return Disks(copies.card, copies.variables, disks.code, copies.dock)


def _hold_against_the_image(card: Path, built: Built, slot: str) -> None:
    """Compare a slot of the card with the image's, which is that of the bundle too, up to the file system's end."""
    for part, wanted in (("boot", "boot-a"), ("root", "root-a")):
        start, size = place_of(built.image, wanted)
        there, _ = place_of(card, f"{part}-{slot}")
        used = _used(built.image, start) if part == "root" else size
        command = ["cmp", f"--ignore-initial={start}:{there}", f"--bytes={used}", str(built.image), str(card)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0, f"{part}-{slot} is not whole"


def _used(image: Path, start: int) -> int:
    """Return how long a squashfs is, by its superblock: bytes_used, at offset 40."""
    with image.open("rb") as file:
        file.seek(start + 40)
        return int.from_bytes(file.read(8), "little")


def _trial(card: Path, folder: Path) -> bool:
    """Tell whether root has noted a trial, in the data partition as the next start mounts it."""
    data = read_partition(card, "data", folder / "data.ext4")
    assert subprocess.run(["e2fsck", "-fy", str(data)], check=False, capture_output=True).returncode <= 1
    shown = subprocess.run(["debugfs", "-R", "cat /system/trial.json", str(data)], check=True, capture_output=True)
    return bool(shown.stdout) and json.loads(shown.stdout)["slot"] == "b"
