"""The dock's USB ports by pyudev: the units that are there, and their coming and going, with what each says it is."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyudev

from evidence.errors import EnvironmentalError

# How a unit's USB gadget names itself; udev writes an underscore for each blank.
GADGET = {"ID_VENDOR_ID": "1d6b", "ID_MODEL_ID": "0104", "ID_VENDOR": "Mirrorcam"}
SERIAL = "ID_SERIAL_SHORT"
UDEV_AT_WORK = Path("/run/udev/control")  # the socket of udev's own process


class NoUdevError(EnvironmentalError):
    """This computer has no udev."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The bays cannot be watched ({reason}): nobody sees which bay holds which unit.")


class UsbFailsError(EnvironmentalError):
    """Udev does not tell what it should."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"Udev tells nothing of the bays any more ({error}); it is asked anew.")


@dataclass(frozen=True)
class Plugged:
    """A unit's USB device: where it is in the system, in which port, its serial number, and since when (monotonic)."""

    sys_path: str
    port: str
    serial: str
    began: float


@dataclass(frozen=True)
class Unplugged:
    """Some USB device that is gone; udev tells no more of it than where in the system it was."""

    sys_path: str


class Usb(Protocol):
    """What tells of units in the dock's USB ports."""

    def present(self) -> list[Plugged]:
        """Return the units that are there; raises UsbFailsError."""

    def wait(self, seconds: float) -> Plugged | Unplugged | None:
        """Return what happens next, None where nothing does for so long; raises UsbFailsError."""


class Udev:
    """Usb by udev.

    It listens before it first looks, so that nothing can come or go unseen in between; what is then heard of twice is
    the same both times.
    """

    def __init__(self, context: Any, monitor: Any) -> None:
        self._context = context
        self._monitor = monitor

    def present(self) -> list[Plugged]:
        """Return the units that are there; raises UsbFailsError."""
        try:
            found = self._context.list_devices(subsystem="usb", DEVTYPE="usb_device")
            # One that udev has not yet dealt with has no such properties: its coming is heard of when it has.
            return [_plugged(device) for device in found if is_gadget(device.properties)]
        except (OSError, pyudev.DeviceNotFoundError) as error:
            raise UsbFailsError(error) from error

    def wait(self, seconds: float) -> Plugged | Unplugged | None:
        """Return what happens next, None where nothing does for so long; raises UsbFailsError."""
        try:
            device = self._monitor.poll(timeout=seconds)
            if device is None or device.device_type != "usb_device":
                return None
            if device.action == "remove":
                return Unplugged(device.sys_path)
            return _plugged(device) if device.action == "add" and is_gadget(device.properties) else None
        except (OSError, pyudev.DeviceNotFoundError) as error:
            raise UsbFailsError(error) from error


def is_gadget(properties: Mapping[str, str]) -> bool:
    """Say whether a USB device names itself as our units do; whoever wants to can, so this proves nothing."""
    return all(properties.get(name) == value for name, value in GADGET.items())


def require_udev(at_work: Path = UDEV_AT_WORK) -> None:
    """Raise NoUdevError where there is no udev, or its process does not run."""
    try:
        pyudev.Context()
    except (ImportError, OSError) as error:
        raise NoUdevError(str(error)) from error
    if not at_work.exists():
        raise NoUdevError(f"{at_work} is missing, so udev does not run here")


@contextmanager
def udev() -> Iterator[Udev]:
    """Listen to udev as long as the block runs; raises UsbFailsError."""
    try:
        context = pyudev.Context()
        monitor = pyudev.Monitor.from_netlink(context)
        monitor.filter_by("usb", "usb_device")
        monitor.start()
    except OSError as error:
        raise UsbFailsError(error) from error
    yield Udev(context, monitor)


def _plugged(device: Any) -> Plugged:
    serial = device.properties.get(SERIAL, "")
    began = time.monotonic() - device.time_since_initialized.total_seconds()
    return Plugged(device.sys_path, device.sys_name, serial, began)
