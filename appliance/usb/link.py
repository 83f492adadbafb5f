"""Knows whether the cable's other end is there: the carrier of one network card, which may itself come and go."""

import contextlib
import fcntl
import socket
import struct
from types import TracebackType

import pyudev

_RTMGRP_LINK = 1  # linux/rtnetlink.h
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40  # netdevice(7)
_IFREQ = struct.Struct("16sH22x")  # a name, and flags out of a union that is as long as its longest member
_MESSAGE_BYTES = 1 << 16


class Link:
    """One network card, asked whenever something may have changed.

    The kernel's own answer (SIOCGIFFLAGS) is the truth. What udev and rtnetlink(7) tell is only when to ask again, so
    that nothing depends on what their messages say, nor on whether one got lost.
    """

    def __init__(self, interface: str) -> None:
        """Follow the card of this name, whether it is there or not yet; raises OSError."""
        self.interface = interface
        self._routing = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._routing.bind((0, _RTMGRP_LINK))
        # The kernel's own messages need no udev daemon, and come before it has renamed anything.
        self._devices = pyudev.Monitor.from_netlink(pyudev.Context(), "kernel")
        self._devices.filter_by("net")
        self._devices.start()

    def __enter__(self) -> "Link":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._routing.close()

    @property
    def bells(self) -> tuple[int, int]:
        """File descriptors that become readable when something may have changed; `listen` makes them quiet again."""
        return self._routing.fileno(), self._devices.fileno()

    def listen(self) -> None:
        """Take what the bells have to say."""
        with contextlib.suppress(OSError):  # ENOBUFS as well: messages got lost, and one asks anyhow
            while self._routing.recv(_MESSAGE_BYTES):
                pass
        with contextlib.suppress(OSError):
            while self._devices.poll(0) is not None:
                pass

    def has_carrier(self) -> bool:
        """Ask whether the card is there, switched on, and another end at its cable."""
        request = _IFREQ.pack(self.interface.encode(), 0)
        try:
            _, flags = _IFREQ.unpack(fcntl.ioctl(self._routing, _SIOCGIFFLAGS, request))
        except OSError:
            return False
        return bool(flags & _IFF_RUNNING)
