"""The image file: whether it is whole, whether it is ours, and its bytes from the first to the last."""

import hashlib
import lzma
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from evidence.errors import EnvironmentalError, NotGenuineError
from provisioning.card.table import Partition, TableError, read_table
from provisioning.tools import ToolMissingError, environment

_COMPRESSED = {".xz", ".zst"}
PIECE = 4 << 20  # bytes; the erase blocks of SD cards are as large or a part of it

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many bytes of how many (0: nobody knows) are done."""


class ImageMissingError(EnvironmentalError):
    """There is no such image, or no digest beside it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read ({reason}): give an image that 'make image' made, with its .sha256.")
        self.path = path


class ImageChangedError(NotGenuineError):
    """The image is not the one that its digest was taken of."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not what its .sha256 says: it was changed or cut on the way; fetch both again.")
        self.path = path


class NotAnImageError(NotGenuineError):
    """The file is whole, and no Mirrorcam image."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is no Mirrorcam image: {reason}; give one that 'make image' made.")
        self.path = path


@dataclass(frozen=True)
class Image:
    """An image whose digest was found good: its partitions, and size and SHA-256 of its unpacked bytes."""

    path: Path
    size: int
    sha256: str
    partitions: tuple[Partition, ...]

    @property
    def data(self) -> Partition:
        """The data partition."""
        return self.partitions[-1]

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield the unpacked bytes with their offsets, as the digest covers them; raises ImageChangedError.

        The image is held against its digest each time anew, so one that is changed meanwhile is never taken for good.
        """
        digest, offset = hashlib.sha256(), 0
        for piece in _unpacked(self.path):
            digest.update(piece)
            yield offset, piece
            offset += len(piece)
        if digest.hexdigest() != self.sha256:
            raise ImageChangedError(self.path)


def check_image(path: Path, progress: Progress) -> Image:
    """Return the image if its bytes have the published digest and its partitions are ours.

    Raises ImageMissingError, ImageChangedError, NotAnImageError, ToolMissingError.
    """
    try:
        expected = published_digest(path)
        if _digest(path, progress) != expected:
            raise ImageChangedError(path)
        return _survey(path, progress)
    except OSError as error:
        raise ImageMissingError(path, error.strerror or str(error)) from error


def digest_file(path: Path) -> Path:
    """Return where an image's digest stands: beside it, as `sha256sum` writes it."""
    return path.with_name(f"{path.name}.sha256")


def published_digest(path: Path) -> str:
    """Return the digest beside an image; raises ImageMissingError or OSError."""
    words = digest_file(path).read_bytes()[:4096].decode("ascii", errors="replace").split()
    if not words or not re.fullmatch(r"[0-9a-f]{64}", words[0]):
        raise ImageMissingError(digest_file(path), "it holds no SHA-256")
    return words[0]


def _digest(path: Path, progress: Progress) -> str:
    size, done = path.stat().st_size, 0
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            done += len(piece)
            progress("Checking the image", done, size)
    return digest.hexdigest()


def _survey(path: Path, progress: Progress) -> Image:
    """Unpack an image once, keeping nothing but its table, its size and its digest."""
    digest, size, head = hashlib.sha256(), 0, b""
    total = 0 if path.suffix in _COMPRESSED else path.stat().st_size
    for piece in _unpacked(path):
        head = head or piece
        digest.update(piece)
        size += len(piece)
        progress("Reading the image", size, total)
    try:
        return Image(path, size, digest.hexdigest(), read_table(head, size))
    except TableError as error:
        raise NotAnImageError(path, str(error)) from error


def _unpacked(path: Path) -> Iterator[bytes]:
    with _opened(path) as file:
        try:
            while piece := file.read(PIECE):
                yield piece
        except (lzma.LZMAError, EOFError) as error:
            raise NotAnImageError(path, "it cannot be unpacked") from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path.suffix == ".zst":
        with _zstd(path) as file:
            yield file
    elif path.suffix == ".xz":
        with lzma.open(path) as file:
            yield cast(BinaryIO, file)
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def _zstd(path: Path) -> Iterator[BinaryIO]:
    program = shutil.which("zstd", path=environment()["PATH"])
    if program is None:
        raise ToolMissingError("zstd")
    command = [program, "--decompress", "--stdout", "--quiet", "--", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield cast(BinaryIO, process.stdout)
        if process.wait() != 0:
            raise NotAnImageError(path, "it cannot be unpacked")
