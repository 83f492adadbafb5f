"""The mark in each picture: which one it is and when it was taken, in blocks of black and white."""

import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Even at a few hundred kbit/s x264 leaves a block of a whole macroblock what it was.
BLOCK = 16
COLUMNS, ROWS = 10, 8
MAGIC = 0b1110010110
BLACK, WHITE = 16, 235

Pixels = npt.NDArray[np.uint8]


class Stamp(NamedTuple):
    """A picture's number since the camera was started (24 bit), and its capture moment on the monotonic clock."""

    sequence: int
    moment_ms: int


def bits(stamp: Stamp) -> npt.NDArray[np.bool_]:
    """Return the stamp's blocks, True for white: one row that is always the same, then number, moment and check."""
    content = (stamp.sequence & 0xFFFFFF) << 32 | stamp.moment_ms & 0xFFFFFFFF
    whole = (MAGIC << 56 | content) << 14 | check(content)
    count = COLUMNS * ROWS
    return np.array([whole >> (count - 1 - bit) & 1 for bit in range(count)], bool).reshape(ROWS, COLUMNS)


def check(content: int) -> int:
    """Return what the last 14 bits have to be."""
    return zlib.crc32(content.to_bytes(7, "big")) & 0x3FFF


def place(width: int, height: int) -> tuple[int, int]:
    """Return where the stamp's left upper corner is: on a quarter of the way, where no screen crops and nobody writes.

    Both are even, so that the colours of a 4:2:0 picture have the same blocks.
    """
    left = min(width // 8, width // 2 - COLUMNS * BLOCK)
    return max(0, left) // 2 * 2, (height - ROWS * BLOCK) // 4 * 2


def draw(luma: Pixels, blue: Pixels, red: Pixels, stamp: Stamp) -> None:
    """Draw the stamp into a 4:2:0 picture's planes."""
    height, width = luma.shape
    left, top = place(width, height)
    blocks = np.where(bits(stamp), np.uint8(WHITE), np.uint8(BLACK)).repeat(BLOCK, 0).repeat(BLOCK, 1)
    luma[top : top + blocks.shape[0], left : left + blocks.shape[1]] = blocks
    for colour in (blue, red):
        colour[top // 2 : (top + blocks.shape[0]) // 2, left // 2 : (left + blocks.shape[1]) // 2] = 128


def flash(luma: Pixels, blue: Pixels, red: Pixels) -> None:
    """Make the right lower quarter of the picture white."""
    for plane, value in ((luma, WHITE), (blue, 128), (red, 128)):
        height, width = plane.shape
        plane[height // 2 :, width // 2 :] = value
