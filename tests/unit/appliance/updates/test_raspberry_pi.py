"""The boot choice of a Raspberry Pi, on the very autoboot.txt that an image has."""

import shutil
from pathlib import Path

import pytest

from appliance.updates.raspberry_pi import RaspberryPi
from appliance.updates.slots import BootChoiceError, Slot, booted_slot

IN_THE_IMAGE = Path(__file__).parents[4] / "provisioning/image/recipe/firmware/autoboot.txt"


@pytest.fixture
def autoboot(tmp_path: Path) -> Path:
    return Path(shutil.copy(IN_THE_IMAGE, tmp_path / "autoboot.txt"))


def test_a_new_card_starts_slot_a_and_can_try_slot_b(autoboot: Path) -> None:
    choice = RaspberryPi(autoboot, booted=lambda: Slot.A)
    assert choice.permanent() is Slot.A
    assert choice.try_once(Slot.B) == "0 tryboot"
    assert autoboot.read_bytes() == IN_THE_IMAGE.read_bytes()


def test_a_slot_is_made_permanent_in_place_and_the_other_one_is_to_be_tried_next(autoboot: Path) -> None:
    before = autoboot.stat()
    choice = RaspberryPi(autoboot, booted=lambda: Slot.B)
    choice.make_permanent(Slot.B)
    assert autoboot.read_text() == "[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2\n"
    assert (autoboot.stat().st_ino, autoboot.stat().st_size) == (before.st_ino, before.st_size)
    assert choice.permanent() is Slot.B
    choice.make_permanent(Slot.A)
    assert autoboot.read_bytes() == IN_THE_IMAGE.read_bytes()


def test_the_permanent_slot_is_none_to_be_tried(autoboot: Path) -> None:
    with pytest.raises(BootChoiceError, match=r"autoboot\.txt does not have slot a to be tried"):
        RaspberryPi(autoboot, booted=lambda: Slot.A).try_once(Slot.A)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[all]\ntryboot_a_b=1\nboot_partition=2\n",
        b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n",
        b"[all]\ntryboot_a_b=1\nboot_partition=4\n[tryboot]\nboot_partition=3\n",
        b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3" + b"\n" * 500,
    ],
    ids=["empty", "half", "both alike", "another partition", "longer than a sector"],
)
def test_a_file_that_is_not_the_images_is_not_touched(autoboot: Path, content: bytes) -> None:
    autoboot.write_bytes(content)
    choice = RaspberryPi(autoboot, booted=lambda: Slot.A)
    with pytest.raises(BootChoiceError, match="is not what the image had"):
        choice.make_permanent(Slot.B)
    assert autoboot.read_bytes() == content


def test_the_slot_that_runs_is_what_init_has_written(tmp_path: Path) -> None:
    (tmp_path / "slot").write_text("b\n")
    assert booted_slot(tmp_path / "slot") is Slot.B
    (tmp_path / "slot").write_text("c\n")
    with pytest.raises(BootChoiceError, match="does not name a slot"):
        booted_slot(tmp_path / "slot")
