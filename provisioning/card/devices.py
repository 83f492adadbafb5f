"""The disks of this computer, as lsblk tells of them, and which of them may be written over."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from evidence.errors import EnvironmentalError, MirrorcamError
from provisioning.stock_programs import output

_COLUMNS = "NAME,PATH,TYPE,SIZE,RO,RM,TRAN,VENDOR,MODEL,SERIAL,LOG-SEC,MOUNTPOINTS"
_BUILT_IN_SLOT = "mmcblk"  # how the kernel names a card in such a slot; no disk on USB is ever named so
SECTOR = 512  # bytes; what the image's partition table counts in
# What a computer does not run without; a disk with one of these anywhere on it is the system's.
_SYSTEM_PLACES = ("/", "/boot", "/usr", "/var", "/home", "[SWAP]")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One block device of `lsblk --json --bytes`, and what lies on it: partitions, encryption, volumes."""

    name: str
    path: str
    type: str
    size: int
    ro: bool
    rm: bool
    log_sec: int = msgspec.field(name="log-sec")
    tran: str | None = None
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    mountpoints: tuple[str | None, ...] = ()
    children: tuple["Node", ...] = ()

    def places(self) -> list[str]:
        """Return where this device and all that lies on it is mounted."""
        return [place for node in self.walk() for place in node.mountpoints if place]

    def walk(self) -> Iterator["Node"]:
        """Yield this device and all that lies on it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def is_system(self) -> bool:
        """Whether the running system is on it."""
        return any(place in _SYSTEM_PLACES or place.startswith("/boot/") for place in self.places())

    @property
    def is_card(self) -> bool:
        """Whether it is of a kind that a card is: removable, on USB, or in an SD slot."""
        return self.type == "disk" and (self.rm or self.tran in {"usb", "mmc"} or self.name.startswith(_BUILT_IN_SLOT))

    @property
    def label(self) -> str:
        """The maker's words for it."""
        return " ".join(word.strip() for word in (self.vendor, self.model) if word and word.strip()) or "no name"


class _Listing(msgspec.Struct, frozen=True):
    blockdevices: tuple[Node, ...]


class NoSuchDeviceError(EnvironmentalError):
    """There is no disk of this name."""

    def __init__(self, device: str) -> None:
        super().__init__(f"There is no disk {device} here: put the card in, and see its name with 'lsblk'.")
        self.device = device


class NotADiskError(MirrorcamError):
    """What was named is a part of a disk, or lies on one."""

    def __init__(self, device: str, disk: str) -> None:
        super().__init__(f"{device} is only a part of a disk: an image takes the whole of {disk}, so name that.")
        self.device, self.disk = device, disk


class NotACardError(MirrorcamError):
    """The disk is built into this computer."""

    def __init__(self, device: str) -> None:
        super().__init__(f"{device} is no card: it is neither removable, nor on USB, nor in an SD slot; name the card.")
        self.device = device


class SystemDiskError(MirrorcamError):
    """The running system is on the disk."""

    def __init__(self, device: str) -> None:
        super().__init__(f"{device} holds the system of this computer and is never written over: name the card.")
        self.device = device


class MountedError(MirrorcamError):
    """Something on the disk is in use."""

    def __init__(self, device: str, place: str) -> None:
        super().__init__(f"{device} is in use ({place}): look whether it is the card, then unmount it and try again.")
        self.device, self.place = device, place


class NoCardError(EnvironmentalError):
    """There is no disk that could be a card, or the reader is empty."""

    def __init__(self, place: str) -> None:
        super().__init__(f"There is no card in {place}: put one in, and unmount it where the desktop has mounted it.")


class OtherCardError(MirrorcamError):
    """The card that was named is not in the reader any more."""

    def __init__(self, device: str) -> None:
        super().__init__(f"{device} is another card now than the one that was named: nothing was written; start again.")
        self.device = device


class OtherReaderError(MirrorcamError):
    """A disk has the name that the reader had before."""

    def __init__(self, device: str) -> None:
        super().__init__(
            f"{device} is another device now than the reader that was named: it is not written; take it out and plug "
            "that reader in again, or press Ctrl-C and start anew."
        )
        self.device = device


class ReadOnlyCardError(EnvironmentalError):
    """The card does not let itself be written."""

    def __init__(self, device: str) -> None:
        super().__init__(f"{device} is write-protected: push the switch at the card's edge towards its contacts.")
        self.device = device


class SectorSizeError(MirrorcamError):
    """The disk counts in sectors that the image was not made for."""

    def __init__(self, device: str, size: int) -> None:
        super().__init__(
            f"{device} has sectors of {size} bytes, the image is for {SECTOR}: take another card or reader."
        )
        self.device = device


class NotPermittedError(EnvironmentalError):
    """Disks belong to root."""

    def __init__(self, device: str) -> None:
        super().__init__(f"{device} may be written by root alone: run this with sudo.")
        self.device = device


class CardTooSmallError(MirrorcamError):
    """The image does not fit onto the card."""

    def __init__(self, device: str, size: int, needed: int) -> None:
        has, needs = megabytes(size), megabytes(needed)
        if has == needs:  # cards of one label differ by a little
            has, needs = f"{size} bytes", f"{needed} bytes"
        super().__init__(f"{device} is too small: it has {has}, the image needs {needs}; take a larger card.")
        self.device, self.size, self.needed = device, size, needed


def disks() -> tuple[Node, ...]:
    """Return all disks with what lies on them; raises ProgramMissingError or ProgramFailedError."""
    return parse(output("lsblk", "--json", "--bytes", "--output", _COLUMNS))


def parse(listing: bytes) -> tuple[Node, ...]:
    """Read what lsblk printed."""
    return msgspec.json.decode(listing, type=_Listing).blockdevices


def candidates(found: tuple[Node, ...]) -> list[Node]:
    """Return the cards that may be written: with a size, nothing on them in use."""
    return [disk for disk in found if disk.is_card and disk.size and not disk.is_system and not disk.places()]


def find(device: str, found: tuple[Node, ...]) -> Node:
    """Return the disk of this name (`sdb`, or a path to it); raises NoSuchDeviceError or NotADiskError."""
    path = str((Path("/dev") / device).resolve())
    for disk in found:
        for node in disk.walk():
            if node.path == path and node is not disk:
                raise NotADiskError(device, disk.path)
        if disk.path == path:
            return disk
    raise NoSuchDeviceError(device)


def check(disk: Node) -> None:
    """Refuse a disk that must not, or cannot, be written over.

    Raises SystemDiskError, MountedError, NotACardError, NoCardError, ReadOnlyCardError, SectorSizeError or
    NotPermittedError. A loop device passes: somebody has set it up by hand, to write an image into a file.
    """
    if disk.is_system:
        raise SystemDiskError(disk.path)
    if disk.places():
        raise MountedError(disk.path, f"mounted at {disk.places()[0]}")
    if not disk.is_card and disk.type != "loop":
        raise NotACardError(disk.path)
    if not disk.size:
        raise NoCardError(disk.path)
    if disk.ro:
        raise ReadOnlyCardError(disk.path)
    if disk.log_sec != SECTOR:
        raise SectorSizeError(disk.path, disk.log_sec)
    if not os.access(disk.path, os.R_OK | os.W_OK):
        raise NotPermittedError(disk.path)


def check_again(disk: Node, found: tuple[Node, ...]) -> None:
    """Refuse a disk that is another one meanwhile, or in use; raises OtherCardError, or as `find` and `check` do."""
    now = find(disk.path, found)
    check(now)
    if (now.size, now.vendor, now.model, now.serial) != (disk.size, disk.vendor, disk.model, disk.serial):
        raise OtherCardError(disk.path)


def check_same_reader(disk: Node, before: Node) -> None:
    """Refuse a disk that has got the name of another reader; raises OtherReaderError.

    On USB a reader tells who it is, and the same whichever card is in it. A built-in slot tells of the card, and no
    disk on USB can get its name.
    """
    if before.name.startswith(_BUILT_IN_SLOT):
        return
    if (disk.tran, disk.vendor, disk.model, disk.serial) != (before.tran, before.vendor, before.model, before.serial):
        raise OtherReaderError(disk.path)


def check_fits(disk: Node, size: int) -> None:
    """Raise CardTooSmallError where an image of `size` bytes does not fit."""
    if disk.size < size:
        raise CardTooSmallError(disk.path, disk.size, size)


def megabytes(size: int) -> str:
    """Return a size as it stands on a card: in units of ten."""
    return f"{size / 1e9:.1f} GB" if size >= 1_000_000_000 else f"{size / 1e6:.1f} MB"
