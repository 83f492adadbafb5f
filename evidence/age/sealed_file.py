"""Random access to the plaintext of an age file on disk, whole or cut short."""

import io
import os
import threading

from evidence.age.errors import (
    AgeError,
    ChunkCorruptedError,
    DataAfterEndError,
    NonceCutError,
    PayloadCutError,
    PayloadError,
)
from evidence.age.header import FileKey, Header
from evidence.age.stream import (
    CHUNK_SIZE,
    PAYLOAD_NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    ChunkOpener,
    payload_cipher,
)

# A power cut can leave chunks near the end that have their length but not their bytes, and whole ones behind them.
# 64 MiB is far more than any writer that syncs can lose; a break further back means that something else is wrong.
MAX_BROKEN_CHUNKS = 1024


class SealedFile:
    """The plaintext of an age file as far as it can be opened, read anywhere without reading the rest.

    - ``size`` bytes can be read: to the end, or when the end is missing, up to the first chunk that does not open of
      the last MAX_BROKEN_CHUNKS. What follows a gap that a power cut has left is not part of it, even where it opens.
    - ``damage`` is None when a valid final chunk ends the file; else the error that says what comes after ``size``.
    - Nothing is returned that does not authenticate. A chunk that was changed elsewhere shows when it is read.
    - The file is looked at as long as it was on construction; one that has grown needs a new SealedFile.
    - Any number of threads. The file's own position is neither used nor moved; it is not closed here.
    """

    def __init__(self, file: io.BufferedIOBase, header: Header, file_key: FileKey) -> None:
        """Find the end of a file that begins with a header.

        Raises ChunkCorruptedError when the end is missing and the first of the last MAX_BROKEN_CHUNKS does not open.
        """
        self._file = file
        self._chunks_start = header.size + PAYLOAD_NONCE_SIZE
        self._lock = threading.Lock()
        self._sealed = memoryview(bytearray(SEALED_CHUNK_SIZE))
        self._plain = memoryview(bytearray(CHUNK_SIZE))
        self._plain_index: int | None = None
        self._final_index: int | None = None
        self.size = 0
        self.damage: AgeError | None = NonceCutError()
        payload_nonce = os.pread(file.fileno(), PAYLOAD_NONCE_SIZE, header.size)
        if len(payload_nonce) == PAYLOAD_NONCE_SIZE:
            self._opener = ChunkOpener(payload_cipher(file_key, payload_nonce))
            self.size, self.damage = self._find_end()

    @property
    def complete(self) -> bool:
        """Whether the file ends as it was sealed. Chunks before the end are checked when they are read."""
        return self.damage is None

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to length bytes of plaintext; fewer only at the end of what can be opened.

        Raises ChunkCorruptedError or PayloadCutError with the number of the chunk, and then returns nothing.
        """
        buffer = bytearray(max(0, min(length, self.size - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill a buffer from an offset of the plaintext, and give how many bytes that were.

        Raises as `read_at`; the buffer then holds nothing that does not authenticate.
        """
        if offset < 0:
            raise ValueError(f"an offset is not negative, as {offset} is")
        wanted = max(0, min(len(buffer), self.size - offset))
        done = 0
        with self._lock:
            while done < wanted:
                done += self._read_from_chunk(offset + done, buffer[done:wanted])
        return done

    def _read_from_chunk(self, offset: int, buffer: memoryview) -> int:
        """Fill a buffer from an offset up to the end of the chunk there, and give the bytes filled."""
        index, skipped = divmod(offset, CHUNK_SIZE)
        chunk_size = min(CHUNK_SIZE, self.size - index * CHUNK_SIZE)
        size = min(chunk_size - skipped, len(buffer))
        final = index == self._final_index
        if self._plain_index != index:
            if size == chunk_size:
                self._opener.open(index, self._load(index, chunk_size), buffer[:size], final=final)
                return size
            self._plain_index = None
            self._opener.open(index, self._load(index, chunk_size), self._plain[:chunk_size], final=final)
            self._plain_index = index
        buffer[:size] = self._plain[skipped : skipped + size]
        return size

    def _load(self, index: int, plain_size: int) -> memoryview:
        """Read a sealed chunk from the file. Raises PayloadCutError when the file has become shorter."""
        sealed = self._sealed[: plain_size + TAG_SIZE]
        position = self._chunks_start + index * SEALED_CHUNK_SIZE
        done = 0
        while done < len(sealed):
            count = os.preadv(self._file.fileno(), [sealed[done:]], position + done)
            if count == 0:
                raise PayloadCutError(index, done)
            done += count
        return sealed

    def _find_end(self) -> tuple[int, AgeError | None]:
        """Give how much can be opened, and what is wrong with the end."""
        payload_size = os.fstat(self._file.fileno()).st_size - self._chunks_start
        whole, leftover = divmod(payload_size, SEALED_CHUNK_SIZE)
        if not leftover:
            ended = whole > 0 and self._ends_with(whole - 1)
            return (whole * CHUNK_SIZE, None) if ended else self._find_first_broken(whole, PayloadCutError(whole, 0))
        try:
            size = self._opener.open_short(whole, self._load(whole, leftover - TAG_SIZE), self._plain)
        except PayloadError as damage:
            return self._find_first_broken(whole, damage)
        self._final_index = self._plain_index = whole
        return whole * CHUNK_SIZE + size, None

    def _ends_with(self, index: int) -> bool:
        """Tell whether the last chunk, of full length, was sealed as the final one."""
        try:
            self._opener.open(index, self._load(index, CHUNK_SIZE), self._plain, final=True)
        except ChunkCorruptedError:
            return False
        self._final_index = self._plain_index = index
        return True

    def _find_first_broken(self, count: int, damage: PayloadError) -> tuple[int, AgeError | None]:
        """Find what opens without a gap of so many chunks of full length; the damage given is what follows them."""
        start = max(0, count - MAX_BROKEN_CHUNKS)
        for index in range(start, count):
            try:
                final = self._opener.open_whole(index, self._load(index, CHUNK_SIZE), self._plain, last=False)
            except ChunkCorruptedError as error:
                if index == start > 0:
                    raise
                return index * CHUNK_SIZE, error
            if final:
                self._final_index = index
                return (index + 1) * CHUNK_SIZE, DataAfterEndError(index)
        return count * CHUNK_SIZE, damage
