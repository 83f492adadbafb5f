"""Opening: a whole age file from its beginning to its end, as ``age -d`` does."""

import io
from collections.abc import Callable, Iterator, Sequence

from evidence.age import armor
from evidence.age.errors import DataAfterEndError, NonceCutError, PayloadCutError
from evidence.age.header import FileKey, Identity, read_header
from evidence.age.stream import (
    CHUNK_SIZE,
    PAYLOAD_NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    BytesLike,
    ChunkOpener,
    payload_cipher,
)


def open_stream(file: io.BufferedIOBase, identities: Sequence[Identity], write: Callable[[BytesLike], object]) -> int:
    """Open a file, binary or armored, from its position to its end, and give the bytes of its plaintext.

    ``write`` gets each chunk as soon as it is authenticated, and copies what it keeps: the buffer is used again.
    The file must be able to seek.

    Raises HeaderError, HeaderMacError, NoIdentityMatchesError or ArmorError before anything is written;
    PayloadError or ArmorError after what precedes the fault was.
    """
    source = armor.binary(file)
    file_key = read_header(source).unwrap(identities)
    return _open_payload(source, file_key, write)


def open_bytes(sealed: BytesLike, identities: Sequence[Identity]) -> bytes:
    """Open something small in memory, binary or armored: all of it, or nothing. Raises AgeError."""
    plain = io.BytesIO()
    open_stream(io.BytesIO(sealed), identities, plain.write)
    return plain.getvalue()


def _open_payload(source: io.BufferedIOBase, file_key: FileKey, write: Callable[[BytesLike], object]) -> int:
    payload_nonce = source.read(PAYLOAD_NONCE_SIZE)
    if len(payload_nonce) < PAYLOAD_NONCE_SIZE:
        raise NonceCutError
    opener = ChunkOpener(payload_cipher(file_key, payload_nonce))
    plain = memoryview(bytearray(CHUNK_SIZE))
    for index, sealed, last in _pieces(source):
        if len(sealed) < SEALED_CHUNK_SIZE:
            size = opener.open_short(index, sealed, plain)
            write(plain[:size])
            return index * CHUNK_SIZE + size
        final = opener.open_whole(index, sealed, plain, last=last)
        write(plain)
        if final and not last:
            raise DataAfterEndError(index)
    if not final:
        raise PayloadCutError(index + 1, 0)
    return (index + 1) * CHUNK_SIZE


def _pieces(source: io.BufferedIOBase) -> Iterator[tuple[int, memoryview, bool]]:
    """Yield each chunk with its index and whether nothing follows it. One is read ahead to know that."""
    sealed, ahead = memoryview(bytearray(SEALED_CHUNK_SIZE)), memoryview(bytearray(SEALED_CHUNK_SIZE))
    size = _fill(source, sealed)
    index = 0
    while True:
        size_ahead = _fill(source, ahead) if size == SEALED_CHUNK_SIZE else 0
        yield index, sealed[:size], size_ahead == 0
        if size_ahead == 0:
            return
        sealed, ahead, size = ahead, sealed, size_ahead
        index += 1


def _fill(source: io.BufferedIOBase, buffer: memoryview) -> int:
    """Read until a buffer is full or the source ends, and give the bytes read."""
    size = 0
    while size < len(buffer) and (count := source.readinto(buffer[size:])):
        size += count
    return size
