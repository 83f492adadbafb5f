"""The boot choice by UEFI's variables, in a folder of files as efivarfs shows them, read by efibootmgr too."""

import os
import shutil
import struct
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from appliance.updates.handler import answer
from appliance.updates.notes import Trial
from appliance.updates.slots import BootChoiceError, Slot
from appliance.updates.uefi import Partitions, Uefi
from appliance.updates.uefi_variables import BootVariables, LoadOption, Partition, partition_of
from tests.signed_bundles import NEWER
from tests.unit.appliance.updates.bench import Bench

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
GUIDS = {"boot-a": UUID("11111111-2222-3333-4444-555555555501"), "boot-b": UUID("11111111-2222-3333-4444-555555555502")}
DEFAULT = b"\x07\0\0\0" + struct.pack("<IH", 1, 4) + "UiApp\0".encode("utf-16-le") + b"\x7f\xff\x04\0"
STARTER = "\\EFI\\BOOT\\BOOTAA64.EFI"


class Machine:
    """A machine with a card, as its kernel and its firmware show it."""

    def __init__(self, folder: Path, block: int = 512) -> None:
        self.variables = folder / "efivars"
        self.variables.mkdir()
        self.slot = Slot.A
        disk = folder / "sys/mmcblk0"
        (disk / "queue").mkdir(parents=True)
        (disk / "queue/logical_block_size").write_text(f"{block}\n")
        for number, (label, guid) in enumerate(GUIDS.items(), start=2):
            device = f"mmcblk0p{number}"
            (disk / device).mkdir()
            (folder / "sys" / device).symlink_to(disk / device)
            for name, value in (("partition", number), ("start", 2048 * number), ("size", 262144)):
                (disk / device / name).write_text(f"{value}\n")
            (folder / device).touch()
            for kind, link in (("by-partlabel", label), ("by-partuuid", str(guid))):
                place = folder / "disk" / kind / link
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(folder / device)
        self.partitions = Partitions(folder / "disk", folder / "sys")

    def choice(self) -> Uefi:
        variables = BootVariables(self.variables)
        return Uefi(variables, self.partitions, booted=lambda: self.slot, processor="aarch64")

    def put(self, name: str, content: bytes) -> None:
        (self.variables / f"{name}-{GLOBAL}").write_bytes(content)

    def get(self, name: str) -> bytes:
        return (self.variables / f"{name}-{GLOBAL}").read_bytes()

    def efibootmgr(self) -> str:
        environment = {**os.environ, "EFIVARFS_PATH": f"{self.variables}/", "LIBEFIVAR_OPS": "efivarfs"}
        return subprocess.run(["efibootmgr", "-v"], env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_entry_has_the_bytes_that_the_specification_says() -> None:
    option = LoadOption("M", Partition(2, 0x1000, 0x2000, GUIDS["boot-a"]), "\\A").encode()
    assert option.hex(" ") == (
        "01 00 00 00 38 00 4d 00 00 00 "  # active, 56 bytes of device path, "M"
        "04 01 2a 00 02 00 00 00 00 10 00 00 00 00 00 00 00 20 00 00 00 00 00 00 "  # partition 2, its start and size
        "11 11 11 11 22 22 33 33 44 44 55 55 55 55 55 01 02 02 "  # its GPT id, mixed-endian; GPT, by GUID
        "04 04 0a 00 5c 00 41 00 00 00 7f ff 04 00"  # the file, the end
    )
    assert partition_of(option) == GUIDS["boot-a"]


@pytest.mark.parametrize("cut", range(60))
def test_an_entry_that_is_cut_is_nobodys(cut: int) -> None:
    option = LoadOption("M", Partition(2, 0x1000, 0x2000, GUIDS["boot-a"]), "\\A").encode()
    assert partition_of(option[:cut]) in (None, GUIDS["boot-a"])
    assert partition_of(option[:40]) is None


def test_blocks_are_those_of_the_disk(tmp_path: Path) -> None:
    found = Machine(tmp_path, block=4096).partitions.find("boot-b")
    assert found == Partition(3, 768, 32768, GUIDS["boot-b"])


def test_before_any_entry_is_made_no_slot_is_the_permanent_one_and_rauc_is_told_the_one_that_runs(
    machine: Machine,
) -> None:
    machine.put("Boot0000", DEFAULT)
    machine.put("BootOrder", b"\x07\0\0\0" + struct.pack("<H", 0))
    machine.slot = Slot.B
    assert machine.choice().permanent() is None
    assert answer(("get-primary",), machine.choice()) == "b"
    with pytest.raises(BootChoiceError, match="slot b is the permanent one"):
        answer(("set-state", "b", "bad"), machine.choice())


def forget_entries(machine: Machine) -> None:
    """Have the firmware throw our entries out of BootOrder."""
    machine.put("BootOrder", b"\x07\0\0\0" + struct.pack("<H", 0))


def test_a_trial_whose_entries_the_firmware_forgets_is_watched_and_never_confirmed_by_that(
    machine: Machine, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "bench", slot=Slot.B, release=NEWER)
    machine.put("Boot0000", DEFAULT)
    machine.choice().try_once(Slot.B)
    machine.slot = Slot.B
    forget_entries(machine)
    bench.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=1))
    seconds = iter(range(0, 10_000, 100))
    bench.watching(choice=machine.choice(), monotonic=lambda: next(seconds), sleep=lambda _: None).run()
    assert bench.events() == ["trial_runs", "trial_given_up"]
    assert bench.restarts == [None]
    assert machine.choice().permanent() is None


def test_in_a_trial_whose_entries_the_firmware_forgets_the_slot_from_before_is_not_written_over(
    machine: Machine, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "bench", slot=Slot.B, release=NEWER)
    machine.slot = Slot.B
    bench.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=1))
    bench.put_bundle()
    bench.permit()
    bench.installing(choice=machine.choice()).run()
    assert bench.events() == ["update_waits"]
    assert bench.places.bundle.exists()


def test_a_trial_is_for_the_next_start_alone_and_the_slot_that_runs_stays_the_permanent_one(machine: Machine) -> None:
    machine.put("Boot0000", DEFAULT)
    machine.put("BootOrder", b"\x07\0\0\0" + struct.pack("<H", 0))
    machine.choice().try_once(Slot.B)
    assert machine.get("BootOrder") == b"\x07\0\0\0" + struct.pack("<3H", 1, 2, 0)
    assert machine.get("BootNext") == b"\x07\0\0\0" + struct.pack("<H", 2)
    shown = machine.efibootmgr()
    assert "BootNext: 0002" in shown
    assert "BootOrder: 0001,0002,0000" in shown
    for number, label in ((1, "boot-a"), (2, "boot-b")):
        line = next(line for line in shown.splitlines() if line.startswith(f"Boot000{number}*"))
        assert f"Mirrorcam {label[-1]}" in line
        assert f"HD({number + 1},GPT,{GUIDS[label]},{2048 * (number + 1):#x},0x40000)" in line
        assert f"File({STARTER})" in line

    (machine.variables / f"BootNext-{GLOBAL}").unlink()  # the firmware does, and starts it
    machine.slot = Slot.B
    assert machine.choice().permanent() is Slot.A


def test_a_confirmed_slot_is_first_in_the_order(machine: Machine) -> None:
    machine.put("Boot0000", DEFAULT)
    machine.put("BootOrder", b"\x07\0\0\0" + struct.pack("<H", 0))
    machine.choice().try_once(Slot.B)
    machine.slot = Slot.B
    machine.choice().make_permanent(Slot.B)
    assert machine.choice().permanent() is Slot.B
    assert machine.get("BootOrder") == b"\x07\0\0\0" + struct.pack("<3H", 2, 1, 0)


def test_what_is_so_already_is_not_written_again(machine: Machine) -> None:
    machine.choice().make_permanent(Slot.A)
    before = {file: file.stat().st_mtime_ns for file in machine.variables.iterdir()}
    machine.choice().make_permanent(Slot.A)
    assert {file: file.stat().st_mtime_ns for file in machine.variables.iterdir()} == before


def test_an_entry_of_a_card_that_was_written_anew_is_put_right(machine: Machine, tmp_path: Path) -> None:
    machine.choice().make_permanent(Slot.A)
    (tmp_path / "sys/mmcblk0p2/start").write_text("8192\n")
    machine.choice().make_permanent(Slot.A)
    assert f"HD(2,GPT,{GUIDS['boot-a']},0x2000,0x40000)" in machine.efibootmgr()
    assert len(list(machine.variables.iterdir())) == 3


def test_a_machine_without_variables_says_so_in_one_sentence(machine: Machine) -> None:
    shutil.rmtree(machine.variables)
    with pytest.raises(BootChoiceError, match=r"UEFI's variables \(No such file or directory\)"):
        machine.choice().permanent()
