"""Cards and images for tests: loop devices over files, and over a medium that fails or lies as the test says."""

import ctypes
import errno
import hashlib
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MIB = 1 << 20
BOOT, ROOT, DATA = 1 * MIB, 3 * MIB, 8 * MIB
IMAGE = 20 * MIB
CARD = 36 * MIB
NAMES = ("firmware", "boot-a", "boot-b", "root-a", "root-b", "data")
PARTS = (BOOT, BOOT, BOOT, ROOT, ROOT, DATA)
FIRST = MIB  # where sfdisk puts the first partition


def run(*command: str, data: bytes = b"") -> bytes:
    """Return what a stock program prints; raises CalledProcessError when it says no."""
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def make_image(path: Path, *, names: tuple[str, ...] = NAMES) -> Path:
    """Make an image as a unit's is: a GPT with FAT, two slots and ext4; its digest stands beside it."""
    path.write_bytes(b"")
    os.truncate(path, IMAGE)
    lines = [f"size={part // MIB}MiB, name={name}" for part, name in zip(PARTS, names, strict=False)]
    script = "label: gpt\n" + "\n".join(lines) + "\n"
    run("sfdisk", "--quiet", str(path), data=script.encode())
    part = path.with_suffix(".part")
    offset = FIRST
    for partition, command in zip(PARTS, (*(("mkfs.vfat",),) * 3, (), (), _EXT4), strict=True):
        part.write_bytes(b"" if command else os.urandom(partition))
        os.truncate(part, partition)
        if command:
            run(*command, str(part))
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(part.read_bytes())
        offset += partition
    part.unlink()
    publish(path)
    return path


_EXT4 = ("mkfs.ext4", "-q", "-L", "mc-unit")


def publish(path: Path) -> None:
    """Write the digest beside an image, as the stock program does."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


def data_partition(path: Path, into: Path) -> Path:
    """Copy the data partition out of an image or a card."""
    with path.open("rb") as file:
        file.seek(FIRST + 3 * BOOT + 2 * ROOT)
        into.write_bytes(file.read(DATA))
    return into


def read_file(partition: Path, name: str) -> bytes:
    """Return what a file of an ext4 partition holds, by the stock program."""
    return run("debugfs", "-R", f"cat {name}", str(partition))


@contextmanager
def loop_device(file: Path, *options: str) -> Iterator[Path]:
    """Make a file a real block device as long as the block runs."""
    assert os.geteuid() == 0, "run this as root: it sets up loop devices"
    device = run("losetup", "--find", "--show", *options, str(file)).decode().strip()
    try:
        yield Path(device)
    finally:
        run("losetup", "--detach", device)


def pull(device: Path, file: Path) -> None:
    """Take the medium out of a loop device's reader: it has no bytes from now on."""
    os.truncate(file, 0)
    run("losetup", "--set-capacity", str(device))


def put_in(device: Path, file: Path, content: bytes) -> None:
    """Put another medium into a loop device's reader from which one was pulled."""
    file.write_bytes(content)
    run("losetup", "--set-capacity", str(device))


class Medium:
    """What a card keeps; those that fail or lie override one of the two."""

    def __init__(self, file: Path, size: int = CARD) -> None:
        file.touch()
        os.truncate(file, size)
        self.size = size
        self._file = os.open(file, os.O_RDWR)

    def write(self, offset: int, content: bytes) -> None:
        os.pwrite(self._file, content, offset)

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        os.close(self._file)


class WrappingMedium(Medium):
    """A fake: behind its true size it begins again at the first byte."""

    true_size = CARD

    def write(self, offset: int, content: bytes) -> None:
        for at in range(0, len(content), 4096):
            super().write((offset + at) % self.true_size, content[at : at + 4096])

    def read(self, offset: int, size: int) -> bytes:
        pieces = [super(WrappingMedium, self).read((offset + at) % self.true_size, 4096) for at in range(0, size, 4096)]
        return b"".join(pieces)[:size]


class SwallowingMedium(Medium):
    """A fake: what is written behind its true size is taken and not kept."""

    true_size = CARD

    def write(self, offset: int, content: bytes) -> None:
        if offset < self.true_size:
            super().write(offset, content)


class WornMedium(Medium):
    """One bit of it has stopped changing."""

    bad_byte = -1

    def read(self, offset: int, size: int) -> bytes:
        content = bytearray(super().read(offset, size))
        if offset <= self.bad_byte < offset + size:
            content[self.bad_byte - offset] ^= 0x10
        return bytes(content)


class FailingMedium(Medium):
    """It reports an error for one byte, when it is written or when it is read; and fails altogether when it is told."""

    bad_write, bad_read, is_dead = -1, -1, False

    def write(self, offset: int, content: bytes) -> None:
        if self.is_dead or offset <= self.bad_write < offset + len(content):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().write(offset, content)

    def read(self, offset: int, size: int) -> bytes:
        if self.is_dead or offset <= self.bad_read < offset + size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(offset, size)


# linux/fuse.h, version 7.31: what a file system of one file needs.
_INIT, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS = 26, 3, 4, 14, 15, 16, 17
_FORGET, _BATCH_FORGET, _INTERRUPT, _DESTROY = 2, 42, 36, 38
_DONE = {18, 20, 25}  # release, fsync, flush
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_DIRECT_IO = 1
_MOST = 128 << 10  # bytes of one write


class _Served:
    """A file that the kernel asks this process for, call by call, by FUSE; it is mounted over an ordinary file."""

    def __init__(self, medium: Medium, place: Path) -> None:
        self._medium, self._place = medium, place
        self._kernel = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._kernel},rootmode=100000,user_id=0,group_id=0".encode()
        self._libc = ctypes.CDLL(None, use_errno=True)
        if self._libc.mount(b"mirrorcam-card", str(place).encode(), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._libc.umount2(str(self._place).encode(), 0)
        self._thread.join()
        os.close(self._kernel)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._kernel, _MOST + (64 << 10))
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                continue
            _, opcode, unique, *_ = _IN.unpack_from(request)
            if opcode in {_FORGET, _BATCH_FORGET, _INTERRUPT}:
                continue
            code, answer = self._answer(opcode, request[_IN.size :])
            with suppress(FileNotFoundError):  # the kernel asks no more: whoever waited was interrupted
                os.write(self._kernel, _OUT.pack(_OUT.size + len(answer), -code, unique) + answer)
            if opcode == _DESTROY:
                return

    def _answer(self, opcode: int, body: bytes) -> tuple[int, bytes]:
        try:
            if opcode == _INIT:
                return 0, struct.pack("<IIIIHHIIHHII24x", 7, 31, 0, 1 << 5, 12, 9, _MOST, 1, 32, 0, 0, 0)
            if opcode in {_GETATTR, _SETATTR}:
                return 0, struct.pack("<QII", 0, 0, 0) + self._attributes()
            if opcode == _OPEN:
                return 0, struct.pack("<QIi", 1, _DIRECT_IO, 0)
            if opcode == _STATFS:
                return 0, bytes(80)
            if opcode in {_READ, _WRITE}:
                return 0, self._transfer(opcode, body)
        except OSError as error:
            return error.errno or errno.EIO, b""
        return (0, b"") if opcode in _DONE | {_DESTROY} else (errno.ENOSYS, b"")

    def _transfer(self, opcode: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        if opcode == _READ:
            return self._medium.read(offset, size)
        self._medium.write(offset, body[40 : 40 + size])
        return struct.pack("<II", size, 0)

    def _attributes(self) -> bytes:
        blocks = self._medium.size // 512
        return struct.pack("<6Q10I", 1, self._medium.size, blocks, 0, 0, 0, 0, 0, 0, 0o100600, 1, 0, 0, 0, 4096, 0)


@contextmanager
def card_of(medium: Medium, place: Path) -> Iterator[Path]:
    """Put a medium into a reader: it is a real block device as long as the block runs."""
    assert os.geteuid() == 0, "run this as root: it mounts a file system of its own, under a loop device"
    place.touch()
    served = _Served(medium, place)
    try:
        with loop_device(place) as device:
            # One call of ours for each of the kernel's: loop takes a write that ended early for a good one.
            Path(f"/sys/block/{device.name}/queue/max_sectors_kb").write_text(f"{_MOST >> 10}\n")
            yield device
    finally:
        served.close()
        medium.close()
