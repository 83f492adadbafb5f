"""Opening: a whole age file from its beginning to its end, as ``age -d`` does."""

import io
from collections.abc import Iterator, Sequence

from evidence.age import armor
from evidence.age.errors import DataAfterEndError, NonceCutError, PayloadCutError
from evidence.age.header import FileKey, Identity, read_header
from evidence.age.stream import (
    CHUNK_SIZE,
    PAYLOAD_NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    BytesLike,
    ChunkOpener,
    Write,
    payload_cipher,
    write_all,
)

# Reading 1 MiB at a time costs a tenth less CPU than a chunk at a time.
_BLOCK_SIZE = 16 * SEALED_CHUNK_SIZE


def open_stream(file: io.BufferedIOBase, identities: Sequence[Identity], write: Write) -> int:
    """Open a file, binary or armored, from its position to its end, and give the bytes of its plaintext.

    ``write`` gets each chunk once it is authenticated, and copies what it keeps: the buffer is used again.
    The file must be able to seek.

    Raises HeaderError, HeaderMacError or NoIdentityMatchesError before anything is written; PayloadError after
    all that precedes the fault was; ArmorError at any time.
    """
    source = armor.binary(file)
    file_key = read_header(source).unwrap(identities)
    return _open_payload(source, file_key, write)


def open_bytes(sealed: BytesLike, identities: Sequence[Identity]) -> bytes:
    """Open something small in memory, binary or armored: all of it, or nothing. Raises AgeError."""
    plain = io.BytesIO()
    open_stream(io.BytesIO(sealed), identities, plain.write)
    return plain.getvalue()


def _open_payload(source: io.BufferedIOBase, file_key: FileKey, write: Write) -> int:
    payload_nonce = source.read(PAYLOAD_NONCE_SIZE)
    if len(payload_nonce) < PAYLOAD_NONCE_SIZE:
        raise NonceCutError
    opener = ChunkOpener(payload_cipher(file_key, payload_nonce))
    plain = memoryview(bytearray(CHUNK_SIZE))
    for index, sealed, last in _pieces(source):
        if len(sealed) < SEALED_CHUNK_SIZE:
            size = opener.open_short(index, sealed, plain)
            write_all(write, plain[:size])
            return index * CHUNK_SIZE + size
        final = opener.open_whole(index, sealed, plain, last=last)
        write_all(write, plain)
        if final and not last:
            raise DataAfterEndError(index)
    if not final:
        raise PayloadCutError(index + 1, 0)
    return (index + 1) * CHUNK_SIZE


def _pieces(source: io.BufferedIOBase) -> Iterator[tuple[int, memoryview, bool]]:
    """Yield each sealed chunk with its index and whether nothing follows it; a block is read ahead to know that."""
    block, ahead = memoryview(bytearray(_BLOCK_SIZE)), memoryview(bytearray(_BLOCK_SIZE))
    size = _fill(source, block)
    index = 0
    while True:
        size_ahead = _fill(source, ahead) if size == _BLOCK_SIZE else 0
        for start in range(0, max(size, 1), SEALED_CHUNK_SIZE):
            end = min(start + SEALED_CHUNK_SIZE, size)
            yield index, block[start:end], end == size and not size_ahead
            index += 1
        if not size_ahead:
            return
        block, ahead, size = ahead, block, size_ahead


def _fill(source: io.BufferedIOBase, buffer: memoryview) -> int:
    """Read until a buffer is full or the source ends, and give the bytes read."""
    size = 0
    while size < len(buffer) and (count := source.readinto(buffer[size:])):
        size += count
    return size
