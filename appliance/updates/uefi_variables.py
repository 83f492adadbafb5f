"""UEFI's boot variables, byte for byte (UEFI specification 2.10 §3.1.3, §3.3, §10.3), in the files of efivarfs."""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

EFIVARS = Path("/sys/firmware/efi/efivars")

_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # EFI_GLOBAL_VARIABLE, §3.3
# NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS, §8.2: efivarfs has them in front of each value, 32 bits.
_ATTRIBUTES = struct.pack("<I", 0x1 | 0x2 | 0x4)
_ACTIVE = 0x1  # LOAD_OPTION_ACTIVE, §3.1.3
_ENTRY = re.compile(rf"Boot([0-9A-F]{{4}})-{_GLOBAL}")

_HARD_DRIVE = (4, 1)  # media device path, §10.3.5.1
_FILE_PATH = (4, 4)  # §10.3.5.4
_END = b"\x7f\xff\x04\x00"  # end of the entire device path, §10.3.1
_GPT, _BY_GUID = 2, 2


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as a device path names it: its number, start and size in blocks of its disk, and its GPT id."""

    number: int
    start: int
    size: int
    guid: UUID


@dataclass(frozen=True, slots=True)
class LoadOption:
    """What a Boot#### variable says: a title, and the file of which partition is started."""

    title: str
    partition: Partition
    file: str

    def encode(self) -> bytes:
        """Return EFI_LOAD_OPTION; its device path is the short form that begins with the partition (§3.1.2)."""
        where = self.partition
        drive = (
            struct.pack("<IQQ", where.number, where.start, where.size) + where.guid.bytes_le + bytes((_GPT, _BY_GUID))
        )
        path = _node(_HARD_DRIVE, drive) + _node(_FILE_PATH, _text(self.file)) + _END
        return struct.pack("<IH", _ACTIVE, len(path)) + _text(self.title) + path


def partition_of(option: bytes) -> UUID | None:
    """Return the GPT id of the partition that a load option begins with, None where it begins with anything else."""
    try:
        _, length = struct.unpack_from("<IH", option)
        end = next(at for at in range(6, len(option) - 1, 2) if option[at : at + 2] == b"\0\0") + 2
        path = option[end : end + length]
        kind = (path[0], path[1])
        if kind != _HARD_DRIVE or path[41] != _BY_GUID:
            return None
        return UUID(bytes_le=path[24:40])
    except (struct.error, StopIteration, IndexError, ValueError):
        return None


class BootVariables:
    """The boot variables of this machine; all methods raise OSError.

    Each is written whole by one write(2): the firmware has the value from before, or the new one (§8.2).
    """

    def __init__(self, folder: Path = EFIVARS) -> None:
        self._folder = folder

    def entries(self) -> dict[int, bytes]:
        """Return the load option of each Boot#### that is there."""
        named = ((_ENTRY.fullmatch(file.name), file) for file in sorted(self._folder.iterdir()))
        return {int(match[1], 16): self._value(file) for match, file in named if match}

    def put_entry(self, number: int, option: bytes) -> None:
        """Write Boot#### of this number."""
        self._put(f"Boot{number:04X}", option)

    def order(self) -> list[int]:
        """Return BootOrder: the numbers of the entries, as the firmware tries them."""
        try:
            value = self._value(self._file("BootOrder"))
        except FileNotFoundError:
            return []
        return [number for (number,) in struct.iter_unpack("<H", value[: len(value) // 2 * 2])]

    def put_order(self, numbers: list[int]) -> None:
        """Write BootOrder."""
        self._put("BootOrder", struct.pack(f"<{len(numbers)}H", *numbers))

    def put_next(self, number: int) -> None:
        """Write BootNext: the firmware takes it away again before it starts that entry (§3.1.1)."""
        self._put("BootNext", struct.pack("<H", number))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}-{_GLOBAL}"

    @staticmethod
    def _value(file: Path) -> bytes:
        return file.read_bytes()[len(_ATTRIBUTES) :]

    def _put(self, name: str, value: bytes) -> None:
        file = self._file(name)
        content = _ATTRIBUTES + value
        if file.exists() and file.read_bytes() == content:
            return  # the firmware's memory wears out
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if os.write(descriptor, content) != len(content):
                raise OSError(f"{name} was not written as a whole")
        finally:
            os.close(descriptor)


def _node(kind: tuple[int, int], content: bytes) -> bytes:
    return struct.pack("<BBH", *kind, 4 + len(content)) + content


def _text(text: str) -> bytes:
    return f"{text}\0".encode("utf-16-le")
