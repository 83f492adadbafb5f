"""Reads the virtual camera's stamp: from decoded pictures, from what a screen shows, and from raw memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.virtual_pi.rig.mirrorcam_rig.stamp import BLOCK, COLUMNS, MAGIC, ROWS, Stamp, bits, check, place

__all__ = ["Stamp", "is_flashing", "read_stamp", "stamps_in_memory"]

_BRIGHT = 128
_DARK, _LIGHT = 0x60, 0xA0
_AT_A_TIME = 16 << 20


def read_stamp(
    picture: "npt.NDArray[Any]", *, size: tuple[int, int] | None = None, mirrored: bool = False
) -> Stamp | None:
    """Return the stamp of a picture, rows of luma or RGB; None where there is none that can be read.

    `size` is the camera's where the picture covers something of another shape: a screen, which crops what is too much.
    """
    luma = _luma(picture)[:, ::-1] if mirrored else _luma(picture)
    height, width = luma.shape
    own_width, own_height = size or (width, height)
    scale = max(width / own_width, height / own_height)
    left, top = place(own_width, own_height)
    rows = (top + BLOCK * (np.arange(ROWS) + 0.5)) * scale - (own_height * scale - height) / 2
    columns = (left + BLOCK * (np.arange(COLUMNS) + 0.5)) * scale - (own_width * scale - width) / 2
    reach = max(1, int(BLOCK * scale / 4))
    found = [[_mean(luma, row, column, reach) > _BRIGHT for column in columns] for row in rows]
    return _stamp(np.array(found))


def is_flashing(picture: "npt.NDArray[Any]") -> bool:
    """Tell whether a decoded picture's right lower quarter is white."""
    luma = _luma(picture)
    height, width = luma.shape
    quarter = luma[height // 2 + 8 :, width // 2 + 8 :]
    return bool(quarter.min() > 150 and quarter.mean() > 200)


def stamps_in_memory(
    memory: bytes, *, stride: int, pixel_bytes: int = 1, mirrored: bool = False
) -> Iterator[tuple[int, Stamp]]:
    """Yield each whole stamp in raw memory and where it is: a plane of luma, or pixels of `pixel_bytes` bytes.

    The picture has the camera's own size there; `stride` is the bytes from one of its rows to the next. The same stamp
    may be found more than once, a row or some pixels apart.
    """
    row_bytes = COLUMNS * BLOCK * pixel_bytes
    content = np.frombuffer(memory, np.uint8)
    for start in _places_of_magic(content, pixel_bytes, mirrored=mirrored):
        if start + (ROWS * BLOCK - 1) * stride + row_bytes > len(content):
            continue
        # The place may be in any of the block's own rows: those of the first are tried.
        centres = [start + (row * BLOCK + BLOCK // 2) * stride for row in range(ROWS)]
        lines = np.array([content[centre : centre + row_bytes : pixel_bytes] for centre in centres])
        blocks = lines[:, BLOCK // 2 :: BLOCK] > _BRIGHT
        stamp = _stamp(blocks[:, ::-1] if mirrored else blocks)
        if stamp is not None:
            yield start, stamp


def _places_of_magic(content: "npt.NDArray[np.uint8]", pixel_bytes: int, *, mirrored: bool) -> Iterator[int]:
    """Yield where a row of pixels may begin that goes through the first row of blocks, by two pixels of each block."""
    white = [bool(MAGIC >> (COLUMNS - 1 - column) & 1) for column in range(COLUMNS)]
    wanted = [
        ((column * BLOCK + pixel) * pixel_bytes, is_white)
        for column, is_white in enumerate(reversed(white) if mirrored else white)
        for pixel in (BLOCK // 4, BLOCK * 3 // 4)
    ]
    row_bytes = COLUMNS * BLOCK * pixel_bytes
    for first in range(0, len(content), _AT_A_TIME):
        piece = content[first : first + _AT_A_TIME + row_bytes]
        light, dark = piece >= _LIGHT, piece < _DARK
        found = np.ones(max(0, len(piece) - row_bytes), bool)
        for offset, is_white in wanted:
            found &= (light if is_white else dark)[offset : offset + len(found)]
        yield from (first + int(place) for place in np.flatnonzero(found))


def _stamp(blocks: "npt.NDArray[np.bool_]") -> Stamp | None:
    whole = int("".join("01"[int(block)] for block in blocks.ravel()), 2)
    content = whole >> 14 & (1 << 56) - 1
    stamp = Stamp(content >> 32, content & 0xFFFFFFFF)
    is_whole = whole >> 70 == MAGIC and whole & 0x3FFF == check(content)
    return stamp if is_whole and bool((bits(stamp) == blocks).all()) else None


def _luma(picture: "npt.NDArray[Any]") -> "npt.NDArray[np.float64]":
    if picture.ndim == 2:
        return picture.astype(np.float64)
    return np.asarray(picture[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def _mean(luma: "npt.NDArray[np.float64]", row: float, column: float, reach: int) -> float:
    top, left = round(row) - reach, round(column) - reach
    if top < 0 or left < 0:
        return 0.0
    return float(luma[top : top + 2 * reach, left : left + 2 * reach].mean() if top < luma.shape[0] else 0.0)
