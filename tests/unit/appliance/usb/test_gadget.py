"""The unit's USB device in a folder that is as strict as configfs: what is made, in which order, and what is left."""

import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from appliance.usb.gadget import (
    Gadget,
    GadgetsMissingError,
    NoControllerError,
    SeveralControllersError,
    address_of,
)
from evidence.identifiers import NAME_PATTERN, NEW_UNIT
from tests.unit_process import call

OWN_FOLDERS = {"configs", "functions", "strings"}  # what configfs makes by itself in each gadget, and takes away


class Configfs:
    """A plain folder in which is removed only what configfs would let go."""

    def __init__(self, path: Path) -> None:
        self.gadgets = path / "usb_gadget"
        self.controllers = path / "udc"
        self.gadgets.mkdir()
        self.controllers.mkdir()
        self.removed: list[str] = []
        self.names_cards = False  # as kernels since 5.14

    @property
    def root(self) -> Path:
        return self.gadgets / "mirrorcam"

    def add_controller(self, name: str) -> None:
        (self.controllers / name).mkdir()

    def gadget(self, controller: str | None = None, patience: float = 0.0) -> Gadget:
        return Gadget(
            "unit-7",
            controller=controller,
            gadgets=self.gadgets,
            controllers=self.controllers,
            make=self.make,
            remove=self.remove,
            patience=patience,
        )

    def make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if self.names_cards and folder.name == "ncm.usb0":
            (folder / "ifname").write_text("(unnamed net_device)\n")

    def remove(self, folder: Path) -> None:
        """Refuse what is bound, linked to, or has folders in it that are not configfs' own (EBUSY, ENOTEMPTY)."""
        assert self.read("UDC") == "", "it is bound"
        linked = [link.resolve() for link in self.root.glob("configs/*/*") if link.is_symlink()]
        assert folder.resolve() not in linked, f"{folder} is linked"
        inside = [path for path in folder.iterdir() if path.is_dir()]
        assert all(path.name in OWN_FOLDERS and not any(path.iterdir()) for path in inside), f"{folder} is not empty"
        self.removed.append(folder.relative_to(self.gadgets).as_posix())
        shutil.rmtree(folder)

    def read(self, name: str) -> str:
        path = self.root / name
        return path.read_text().strip() if path.exists() else ""

    def content(self) -> dict[str, str]:
        """Return all that is there: attributes with their values, links with where they lead."""
        return {
            path.relative_to(self.root).as_posix(): (
                path.readlink().relative_to(self.root).as_posix() if path.is_symlink() else path.read_text().strip()
            )
            for path in self.root.rglob("*")
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture
def configfs(tmp_path: Path) -> Configfs:
    configfs = Configfs(tmp_path)
    configfs.add_controller("dummy_udc.0")
    return configfs


def test_the_device_is_one_network_card_with_the_units_names(configfs: Configfs) -> None:
    configfs.gadget().up()
    assert configfs.content() == {
        "idVendor": "0x1d6b",
        "idProduct": "0x0104",
        "bcdDevice": "0x0100",
        "strings/0x409/manufacturer": "Mirrorcam",
        "strings/0x409/product": "Mirrorcam unit",
        "strings/0x409/serialnumber": "unit-7",
        "configs/c.1/MaxPower": "500",
        "configs/c.1/strings/0x409/configuration": "Network",
        "configs/c.1/ncm.usb0": "functions/ncm.usb0",
        "functions/ncm.usb0/dev_addr": address_of("unit", "unit-7"),
        "functions/ncm.usb0/host_addr": address_of("dock", "unit-7"),
        "UDC": "dummy_udc.0",
    }


def test_where_the_kernel_lets_the_card_be_named_it_is_told_a_pattern(configfs: Configfs) -> None:
    configfs.names_cards = True
    configfs.gadget().up()
    assert configfs.read("functions/ncm.usb0/ifname") == "usb%d"


def test_being_up_again_touches_nothing(configfs: Configfs) -> None:
    configfs.gadget().up()
    before = {path: path.lstat().st_mtime_ns for path in configfs.root.rglob("*")}
    configfs.gadget().up()
    assert {path: path.lstat().st_mtime_ns for path in configfs.root.rglob("*")} == before
    assert configfs.removed == []


def test_down_removes_all_from_the_inside_out(configfs: Configfs) -> None:
    gadget = configfs.gadget()
    gadget.up()
    gadget.down()
    assert list(configfs.gadgets.iterdir()) == []
    assert configfs.removed == [
        "mirrorcam/configs/c.1/strings/0x409",
        "mirrorcam/configs/c.1",
        "mirrorcam/functions/ncm.usb0",
        "mirrorcam/strings/0x409",
        "mirrorcam",
    ]
    gadget.down()


def test_whatever_a_crash_left_half_made_is_made_whole(configfs: Configfs, monkeypatch: pytest.MonkeyPatch) -> None:
    configfs.gadget().up()
    whole = configfs.content()
    steps = 0
    for step in range(1, 40):
        configfs.gadget().down()
        if crashes_at(step, configfs, monkeypatch):
            steps = step
            configfs.gadget().up()
        assert configfs.content() == whole
    assert steps == len(whole)


def crashes_at(step: int, configfs: Configfs, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make the gadget, and die at the `step`-th thing that is written; False when it was finished before."""
    written = 0

    def dying(method: Callable[..., object]) -> Callable[..., object]:
        def write(*arguments: object, **options: object) -> object:
            nonlocal written
            written += 1
            if written == step:
                raise KeyboardInterrupt
            return method(*arguments, **options)

        return write

    with monkeypatch.context() as patch:
        for name in ("write_text", "symlink_to"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        try:
            configfs.gadget().up()
        except KeyboardInterrupt:
            return True
        return False


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("strings/0x409/serialnumber", "unit-8"),
        ("functions/ncm.usb0/dev_addr", "02:00:00:00:00:01"),
        ("UDC", ""),
        ("UDC", "dummy_udc.1"),
    ],
)
def test_a_device_that_is_not_this_units_is_made_anew(configfs: Configfs, attribute: str, value: str) -> None:
    configfs.gadget().up()
    whole = configfs.content()
    (configfs.root / attribute).write_text(f"{value}\n")
    configfs.gadget().up()
    assert configfs.content() == whole
    assert configfs.removed[-1] == "mirrorcam"


def test_another_function_than_the_network_card_does_not_stay(configfs: Configfs) -> None:
    configfs.gadget().up()
    whole = configfs.content()
    disk = configfs.root / "functions/mass_storage.0"
    disk.mkdir()
    (configfs.root / "configs/c.1/mass_storage.0").symlink_to(disk)
    configfs.gadget().up()
    assert configfs.content() == whole


def test_a_controller_whose_driver_loads_late_is_waited_for(configfs: Configfs) -> None:
    (configfs.controllers / "dummy_udc.0").rmdir()
    late = threading.Timer(0.5, configfs.add_controller, ["late.usb"])
    late.start()
    configfs.gadget(patience=30).up()
    late.join()
    assert configfs.read("UDC") == "late.usb"


def test_a_board_without_a_controller_is_told_in_one_sentence_and_nothing_is_left(configfs: Configfs) -> None:
    (configfs.controllers / "dummy_udc.0").rmdir()
    with pytest.raises(NoControllerError, match=r"^No USB device controller came within 0 s: have the board's"):
        configfs.gadget().up()
    assert not configfs.root.exists()


def test_of_several_controllers_the_named_one_is_taken(configfs: Configfs) -> None:
    configfs.add_controller("dummy_udc.1")
    with pytest.raises(SeveralControllersError, match=r"name one of dummy_udc\.0, dummy_udc\.1 by --udc"):
        configfs.gadget().up()
    configfs.gadget("dummy_udc.1").up()
    assert configfs.read("UDC") == "dummy_udc.1"
    with pytest.raises(NoControllerError, match=r"controller named dummy_udc\.2 came"):
        configfs.gadget("dummy_udc.2").up()


def test_a_kernel_that_makes_no_usb_devices_is_told(tmp_path: Path) -> None:
    with pytest.raises(GadgetsMissingError, match="load the kernel module libcomposite"):
        Gadget("unit-7", gadgets=tmp_path / "none", controllers=tmp_path).up()


def test_addresses_are_stable_local_and_different_at_each_end_and_of_each_unit() -> None:
    addresses = {address_of(end, f"unit-{number}") for number in range(100) for end in ("unit", "dock")}
    assert len(addresses) == 200
    assert all(int(address[:2], 16) & 3 == 2 for address in addresses)
    assert address_of("unit", "unit-7") == "7e:5b:bb:19:d6:62"


def test_the_command_needs_the_units_settings_and_no_key(tmp_path: Path) -> None:
    (tmp_path / "unit.toml").write_text('unit_id = "unit-7"\ndock_url = "https://[fd6d:6972:726f::1]:8444"\n')
    assert call("gadget", "down", "--folder", tmp_path).returncode == 0
    refused = call("gadget", "up", "--folder", tmp_path)
    assert refused.returncode == 5
    assert refused.stderr.startswith("mirrorcam-unit: /sys/kernel/config/usb_gadget is missing: load the kernel module")


def test_a_unit_to_be_has_a_name_of_its_own_that_gives_no_machine_id_away(tmp_path: Path) -> None:
    card = UnitFolder(tmp_path)
    card.enrolment_file.write_text('dock_url = "https://[fd6d:6972:726f::1]:8445"\n')
    names = set()
    for number in range(100):
        machine_id = tmp_path / f"machine-id-{number}"
        machine_id.write_text(f"{number:032x}\n")
        names.add(card.name_on_cable(machine_id))
    assert len(names) == 100
    assert all(re.fullmatch(NAME_PATTERN, name) and name.startswith(NEW_UNIT) for name in names)
    card.settings_file.write_text('unit_id = "unit-7"\ndock_url = "https://[fd6d:6972:726f::1]:8444"\n')
    assert card.name_on_cable(tmp_path / "nowhere") == "unit-7"
