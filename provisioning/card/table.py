"""The partition table of an image: a GPT (UEFI specification 2.10 §5.3) with the partitions of a unit."""

import struct
import zlib
from dataclasses import dataclass

from evidence.errors import NotGenuineError

SECTOR = 512
NAMES = ("firmware", "boot-a", "boot-b", "root-a", "root-b", "data")
_MAGIC = b"EFI PART"
# Signature, revision, header size, header CRC, reserved, this and the other header's sector, first and last usable
# sector, disk GUID, then first sector, number, size and CRC of the entries (table 5-5).
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
# Type GUID, partition GUID, first and last sector, attributes, name in UTF-16 (table 5-6).
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MOST_ENTRIES = 1024


class TableError(NotGenuineError):
    """A partition table is not that of a unit's image; the text completes the sentence of whoever reads the image."""


@dataclass(frozen=True)
class Partition:
    """One partition: its name, and where it is, in bytes."""

    name: str
    start: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


def read_table(head: bytes, size: int) -> tuple[Partition, ...]:
    """Return the partitions of an image of `size` bytes that begins with `head`; raises TableError."""
    partitions, whole = _partitions(head)
    names = tuple(partition.name for partition in partitions)
    if names != NAMES:
        raise TableError(f"its partitions are {', '.join(names) or 'none'}, not {', '.join(NAMES)}")
    if size != whole or any(partition.size <= 0 or partition.end > size for partition in partitions):
        raise TableError("its partition table is for another size")
    return tuple(partitions)


def _partitions(head: bytes) -> tuple[list[Partition], int]:
    """Return the partitions, and how many bytes the table says that there are: its copy is in the last sector."""
    try:
        fields = _HEADER.unpack_from(head, SECTOR)
    except struct.error as error:
        raise TableError("it is too short to hold anything") from error
    magic, _, header_size, checksum, _, _, copy, _, _, _, first, count, width, entries_checksum = fields
    header = bytearray(head[SECTOR : SECTOR + header_size])
    header[16:20] = bytes(4)  # the CRC is taken with its own field zero
    if magic != _MAGIC or zlib.crc32(header) != checksum:
        raise TableError("it begins with no partition table (GPT)")
    entries = head[first * SECTOR : first * SECTOR + count * width]
    if count > _MOST_ENTRIES or width < _ENTRY.size or zlib.crc32(entries) != entries_checksum:
        raise TableError("its partition table is damaged")
    used = [entries[at : at + _ENTRY.size] for at in range(0, count * width, width)]
    return [_partition(entry) for entry in used if any(entry[:16])], (copy + 1) * SECTOR


def _partition(entry: bytes) -> Partition:
    _, _, first, last, _, name = _ENTRY.unpack(entry)
    text = name.decode("utf-16-le", errors="replace").partition("\0")[0]
    return Partition(text, first * SECTOR, (last + 1 - first) * SECTOR)
