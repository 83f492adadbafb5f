"""USB ports of a test's own for the real libudev and pyudev, by umockdev: devices come and go as on a real machine.

It only works in a process that was started by `umockdev-wrapper`, which stands between libudev and the system.
"""

import ctypes
from collections.abc import Mapping

from dock_station.bays.usb import GADGET

Strings = ctypes.POINTER(ctypes.c_char_p)


class Bench:
    """A test bed of umockdev."""

    def __init__(self) -> None:
        self._library = library = ctypes.CDLL("libumockdev.so.0")
        library.umockdev_testbed_new.restype = ctypes.c_void_p
        add, remove = library.umockdev_testbed_add_devicev, library.umockdev_testbed_remove_device
        add.restype = ctypes.c_char_p
        add.argtypes = [ctypes.c_void_p, *3 * [ctypes.c_char_p], Strings, Strings]
        remove.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.umockdev_testbed_uevent.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
        self._bed = library.umockdev_testbed_new()

    def plug_in(self, port: str, properties: Mapping[str, str]) -> str:
        """Plug a USB device in, of which udev knows these properties, and return its place in the system."""
        known = _strings({"DEVTYPE": "usb_device", **properties})
        place: bytes = self._library.umockdev_testbed_add_devicev(
            self._bed, b"usb", port.encode(), None, _strings({}), known
        )
        return place.decode()

    def plug_in_unit(self, port: str, serial: str) -> str:
        """Plug in what names itself as a unit does."""
        return self.plug_in(port, {**GADGET, "ID_MODEL": "Mirrorcam_unit", "ID_SERIAL_SHORT": serial})

    def take_out(self, place: str) -> None:
        """Take a device out."""
        self._library.umockdev_testbed_uevent(self._bed, place.encode(), b"remove")
        self._library.umockdev_testbed_remove_device(self._bed, place.encode())


def _strings(pairs: Mapping[str, str]) -> "ctypes.Array[ctypes.c_char_p]":
    flat = [text.encode() for pair in pairs.items() for text in pair]
    return (ctypes.c_char_p * (len(flat) + 1))(*flat, None)
