"""Files put into an image's data partition (ext4) by debugfs: in a file beside, so nothing is ever mounted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evidence.errors import NotGenuineError
from provisioning.card.image import Image, NotAnImageError
from provisioning.card.public_side import AUTHORITY_NAME, PublicSide
from provisioning.tools import ToolFailedError, run

_NAME = "data.ext4"


class OtherAuthorityError(NotGenuineError):
    """The image was made for another town."""

    def __init__(self, path: Path, town: str) -> None:
        super().__init__(
            f"{path} already holds another authority than that of {town}: take an image without one, or its authority. "
            "Nothing was written."
        )
        self.path = path


@dataclass(frozen=True)
class PreparedImage:
    """An image whose data partition is replaced by one that holds the authority's public side."""

    image: Image
    data_file: Path

    @property
    def size(self) -> int:
        """How many bytes are to be written."""
        return self.image.size

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield all bytes with their offsets; raises as `Image.pieces` does."""
        data = self.image.data
        with self.data_file.open("rb") as file:
            for offset, piece in self.image.pieces():
                start, end = max(offset, data.start), min(offset + len(piece), data.end)
                if start < end:
                    file.seek(start - data.start)
                    between = file.read(end - start)
                    yield offset, piece[: start - offset] + between + piece[end - offset :]
                else:
                    yield offset, piece


def prepare(image: Image, public_side: PublicSide, folder: Path) -> PreparedImage:
    """Return the image with the authority's public side in it; `folder` keeps a copy of the data partition.

    Raises OtherAuthorityError, NotAnImageError, ToolMissingError, ToolFailedError or OSError.
    """
    copy = folder / _NAME
    _copy_out(image, copy)
    _check_file_system(image, folder)
    files = public_side.files()
    if _read(folder, AUTHORITY_NAME) not in {b"", files[AUTHORITY_NAME]}:
        raise OtherAuthorityError(image.path, public_side.town)
    for name, content in files.items():
        _write(folder, name, content)
    _check_file_system(image, folder)
    return PreparedImage(image, copy)


def _copy_out(image: Image, copy: Path) -> None:
    data = image.data
    with copy.open("wb") as file:
        for offset, piece in image.pieces():
            start, end = max(offset, data.start), min(offset + len(piece), data.end)
            if start < end:
                file.write(piece[start - offset : end - offset])


def _check_file_system(image: Image, folder: Path) -> None:
    try:
        run("e2fsck", "-f", "-n", _NAME, folder=folder)
    except ToolFailedError as error:
        raise NotAnImageError(image.path, "its data partition holds no whole ext4 file system") from error


def _write(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    # debugfs ends with 0 whatever happens: what it did is read back.
    for command in (f"rm {name}", f"write {name} {name}", f"set_inode_field {name} mode 0100644"):
        run("debugfs", "-w", "-R", command, _NAME, folder=folder)
    if _read(folder, name) != content:
        raise ToolFailedError("debugfs", f"{name} did not fit into the data partition")


def _read(folder: Path, name: str) -> bytes:
    return run("debugfs", "-R", f"cat {name}", _NAME, folder=folder)
