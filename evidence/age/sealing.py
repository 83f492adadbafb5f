"""Sealing: plaintext goes in as it comes, and an age file comes out chunk by chunk."""

import io
import os
from collections.abc import Sequence

from evidence.age.header import FileKey, Header, Recipient
from evidence.age.stream import (
    CHUNK_SIZE,
    PAYLOAD_NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    BytesLike,
    Write,
    chunk_nonce,
    payload_cipher,
    write_all,
)


class SealingWriter:
    """Seals what is written to it, and hands the age file to ``write`` as it grows.

    - The header goes out before the constructor returns; then each call of ``write`` gets one whole sealed chunk.
      It copies what it keeps, because the buffer is used again; what it does not take is offered again.
    - A chunk goes out with the first byte written after it. What is held meanwhile is never more than one chunk.
    - Until `close`, what went out is a file cut short: it opens up to its last whole chunk and says that its end
      is missing. After `close` it is complete.
    - When ``write`` raises, the error passes through and nothing goes out any more: the file stays cut short.
    - One thread at a time. Pieces of 64 KiB or more are sealed without a copy.
    """

    def __init__(self, write: Write, recipients: Sequence[Recipient]) -> None:
        """Make a file key, and write the header. Raises RecipientsError or HeaderTooLongError."""
        file_key = FileKey.generate()
        payload_nonce = os.urandom(PAYLOAD_NONCE_SIZE)
        self.header = Header.seal(recipients, file_key)
        self.bytes_written = 0
        self._write = write
        self._cipher = payload_cipher(file_key, payload_nonce)
        self._index = 0
        self._sealed = bytearray(SEALED_CHUNK_SIZE)
        self._is_held = False
        self._partial = bytearray(CHUNK_SIZE)
        self._partial_size = 0
        self._is_closed = False
        self._emit(self.header.raw + payload_nonce)

    @property
    def header_size(self) -> int:
        """Bytes of the file before its payload."""
        return self.header.size

    def write(self, data: BytesLike) -> None:
        """Seal more. Raises what ``write`` raised, and ValueError when the writer is closed."""
        if self._is_closed:
            raise ValueError("this SealingWriter is closed")
        view = memoryview(data).cast("B")
        if not view:
            return
        start = 0
        if self._partial_size:
            start = self._keep(view)
            if self._partial_size < CHUNK_SIZE:
                return
            self._seal(self._partial)
            self._partial_size = 0
        rest = len(view) - (len(view) - start) % CHUNK_SIZE
        for at in range(start, rest, CHUNK_SIZE):
            self._seal(view[at : at + CHUNK_SIZE])
        if rest < len(view):
            self._release()
            self._keep(view[rest:])

    def close(self) -> None:
        """Seal the final chunk. A second call, and one after ``write`` raised, does nothing."""
        if self._is_closed:
            return
        if self._is_held:
            # The last chunk turned out to be a whole one, sealed already as if others followed.
            self._index -= 1
            plain = self._cipher.decrypt(chunk_nonce(self._index, final=False), self._sealed, None)
        else:
            plain = bytes(self._partial[: self._partial_size])
        self._emit(self._cipher.encrypt(chunk_nonce(self._index, final=True), plain, None))
        self._end()

    def _keep(self, view: memoryview) -> int:
        """Copy what fits into the partial chunk, and give how much that was."""
        size = min(CHUNK_SIZE - self._partial_size, len(view))
        self._partial[self._partial_size : self._partial_size + size] = view[:size]
        self._partial_size += size
        return size

    def _seal(self, chunk: BytesLike) -> None:
        """Seal a chunk as one that others follow, and hold it until that is certain."""
        self._release()
        self._cipher.encrypt_into(chunk_nonce(self._index, final=False), chunk, None, self._sealed)
        self._index += 1
        self._is_held = True

    def _release(self) -> None:
        """Let the held chunk go, now that there is more to come."""
        if self._is_held:
            self._emit(self._sealed)
            self._is_held = False

    def _emit(self, data: BytesLike) -> None:
        try:
            write_all(self._write, data)
        except BaseException:
            self._end()
            raise
        self.bytes_written += len(data)

    def _end(self) -> None:
        self._is_closed = True
        self._partial[:] = bytes(CHUNK_SIZE)


def seal_bytes(data: BytesLike, recipients: Sequence[Recipient]) -> bytes:
    """Seal something small in memory. Raises RecipientsError or HeaderTooLongError."""
    sealed = io.BytesIO()
    writer = SealingWriter(sealed.write, recipients)
    writer.write(data)
    writer.close()
    return sealed.getvalue()
