"""Makes the unit what it is on a USB cable: one network card and nothing else (kernel: usb/gadget_configfs.rst)."""

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from evidence.errors import EnvironmentalError

GADGETS = Path("/sys/kernel/config/usb_gadget")
CONTROLLERS = Path("/sys/class/udc")

_NAME = "mirrorcam"
_FUNCTION = "ncm.usb0"
_ENGLISH = "strings/0x409"
_PATIENCE = 30.0  # seconds that a controller may take to appear: its driver loads after the root file system is there
_LOOK_EVERY = 0.2


class GadgetsMissingError(EnvironmentalError):
    """The kernel makes no USB devices."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing: load the kernel module libcomposite, and mount configfs.")


class NoControllerError(EnvironmentalError):
    """The board has no USB port that can be a device, or not the one that was named."""

    def __init__(self, wanted: str | None, seconds: float) -> None:
        which = f"named {wanted} " if wanted else ""
        super().__init__(
            f"No USB device controller {which}came within {seconds:g} s: "
            "have the board's USB port driven as a device (dtoverlay=dwc2 on a Raspberry Pi)."
        )


class SeveralControllersError(EnvironmentalError):
    """Nobody has said at which port the cable will be."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"There are several USB device controllers: name one of {', '.join(names)} by --udc.")


def address_of(end: str, unit_id: str) -> str:
    """Return the MAC of one `end` of the cable, `unit` or `dock`: always the same, and locally administered."""
    octets = bytearray(hashlib.sha256(f"mirrorcam {end} {unit_id}".encode()).digest()[:6])
    octets[0] = octets[0] & 0xFE | 0x02  # no multicast address, and none of a manufacturer: IEEE 802 §8.2
    return octets.hex(":")


def _make_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


class Gadget:
    """One unit's USB device: one configuration with one function, CDC-NCM.

    Contract: `up` leaves exactly this device at its controller. Where it is there already, nothing is touched, and no
    cable notices; what a crash has left half made is taken away first, and made anew. `down` leaves nothing.
    """

    def __init__(
        self,
        unit_id: str,
        *,
        controller: str | None = None,
        gadgets: Path = GADGETS,
        controllers: Path = CONTROLLERS,
        make: Callable[[Path], None] = _make_folder,
        remove: Callable[[Path], None] = Path.rmdir,
        patience: float = _PATIENCE,
    ) -> None:
        """Describe the device; `make` and `remove` do to a folder what configfs makes of mkdir(2) and rmdir(2)."""
        self._wanted = controller
        self._gadgets = gadgets
        self._controllers = controllers
        self._make_folder = make
        self._remove = remove
        self._patience = patience
        self._root = gadgets / _NAME
        self._attributes = {
            "idVendor": "0x1d6b",
            "idProduct": "0x0104",
            "bcdDevice": "0x0100",
            f"{_ENGLISH}/manufacturer": "Mirrorcam",
            f"{_ENGLISH}/product": "Mirrorcam unit",
            f"{_ENGLISH}/serialnumber": unit_id,
            "configs/c.1/MaxPower": "500",
            f"configs/c.1/{_ENGLISH}/configuration": "Network",
            f"functions/{_FUNCTION}/dev_addr": address_of("unit", unit_id),
            f"functions/{_FUNCTION}/host_addr": address_of("dock", unit_id),
        }

    def up(self) -> None:
        """Be that device. Raises GadgetsMissingError, NoControllerError, SeveralControllersError or OSError."""
        if not self._gadgets.is_dir():
            raise GadgetsMissingError(self._gadgets)
        controller = self._find_controller()
        if self._is_whole(controller):
            return
        self.down()
        self._make()
        self._bind(controller)

    def down(self) -> None:
        """Be no device any more; harmless when there is none. Raises OSError."""
        if not self._root.is_dir():
            return
        if self._read("UDC"):
            self._bind("")
        for link in self._within("configs/*/*"):
            if link.is_symlink():
                link.unlink()
        for kind in ("configs/*/strings/*", "configs/*", "functions/*", "strings/*"):
            for folder in self._within(kind):
                self._remove(folder)
        self._remove(self._root)

    def _make(self) -> None:
        for name, value in self._attributes.items():
            attribute = self._root / name
            self._make_folder(attribute.parent)
            attribute.write_text(f"{value}\n", encoding="ascii")
        pattern = self._root / "functions" / _FUNCTION / "ifname"
        if pattern.exists():  # from Linux 5.14 on, which takes no name but a pattern for one
            pattern.write_text("usb%d\n", encoding="ascii")
        (self._root / "configs/c.1" / _FUNCTION).symlink_to(self._root / "functions" / _FUNCTION)

    def _bind(self, controller: str) -> None:
        (self._root / "UDC").write_text(f"{controller}\n", encoding="ascii")

    def _is_whole(self, controller: str) -> bool:
        wanted = {**self._attributes, "UDC": controller}
        functions = [path.name for path in self._within("configs/*/*") if path.is_symlink()]
        return functions == [_FUNCTION] and all(self._read(name) == value for name, value in wanted.items())

    def _read(self, name: str) -> str:
        try:
            return (self._root / name).read_text(encoding="ascii").strip("\n\0")
        except FileNotFoundError:
            return ""

    def _within(self, pattern: str) -> Iterator[Path]:
        return iter(sorted(path for path in self._root.glob(pattern) if path.is_symlink() or path.is_dir()))

    def _find_controller(self) -> str:
        deadline = time.monotonic() + self._patience
        while not (found := self._fitting()):
            if time.monotonic() >= deadline:
                raise NoControllerError(self._wanted, self._patience)
            time.sleep(_LOOK_EVERY)
        if len(found) > 1:
            raise SeveralControllersError(found)
        return found[0]

    def _fitting(self) -> list[str]:
        names = sorted(path.name for path in self._controllers.glob("*"))
        return [name for name in names if self._wanted in (None, name)]
