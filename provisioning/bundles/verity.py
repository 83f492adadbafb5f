"""Whether a bundle's payload is the one that was signed: the hash tree of dm-verity, worked out anew to its root.

RAUC itself leaves this to the kernel of the unit that mounts the bundle. The form is the kernel's (its documentation,
admin-guide/device-mapper/verity): version 1, SHA-256, blocks of 4096 bytes, no superblock; behind the data stand the
levels of the tree, the root's first.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 4096
_PIECE = 256 * BLOCK


@dataclass(frozen=True)
class Verity:
    """What a manifest says of its payload: the tree's root and salt, and how many bytes the tree has."""

    root: bytes
    salt: bytes
    tree_bytes: int


def fits(file: BinaryIO, payload_bytes: int, verity: Verity) -> bool:
    """Say whether the first `payload_bytes` of a file, data and tree, are those that `verity` stands for."""
    data_bytes = payload_bytes - verity.tree_bytes
    if data_bytes < 2 * BLOCK or data_bytes % BLOCK or verity.tree_bytes % BLOCK:
        return False
    file.seek(0)
    levels = [_level(_blocks(file, data_bytes), verity.salt)]
    while len(levels[-1]) > BLOCK:
        levels.append(_level(_cut(levels[-1]), verity.salt))
    root = hashlib.sha256(verity.salt + levels[-1]).digest()
    return root == verity.root and file.read(verity.tree_bytes) == b"".join(reversed(levels))


def _level(blocks: Iterator[bytes], salt: bytes) -> bytes:
    digests = b"".join(hashlib.sha256(salt + block).digest() for block in blocks)
    return digests + bytes(-len(digests) % BLOCK)


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left and (piece := file.read(min(left, _PIECE))):
        left -= len(piece)
        yield from _cut(piece)


def _cut(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), BLOCK):
        yield content[at : at + BLOCK]
