"""The chunks of an age payload: a STREAM of 64 KiB pieces, each sealed on its own ("Payload" in C2SP age)."""

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from evidence.age.errors import ChunkCorruptedError, FinalChunkEmptyError, PayloadCutError
from evidence.age.header import FileKey

CHUNK_SIZE = 64 * 1024
TAG_SIZE = 16
SEALED_CHUNK_SIZE = CHUNK_SIZE + TAG_SIZE
# The random bytes that begin a payload, and that its key is derived from.
PAYLOAD_NONCE_SIZE = 16

BytesLike = bytes | bytearray | memoryview
# Takes bytes, and keeps a copy at most: the buffer is used again. Gives None when it took all of them, or how
# many it took, as unbuffered files do on a disk that becomes full.
Write = Callable[[BytesLike], object]


def payload_cipher(file_key: FileKey, payload_nonce: bytes) -> ChaCha20Poly1305:
    """Make the cipher that all chunks of one payload share."""
    return ChaCha20Poly1305(file_key.derive(salt=payload_nonce, info=b"payload"))


def chunk_nonce(index: int, *, final: bool) -> bytes:
    """Give the nonce of a chunk: its place in the payload, and whether the payload ends with it."""
    return index.to_bytes(11, "big") + (b"\x01" if final else b"\x00")


def write_all(write: Write, data: BytesLike) -> None:
    """Offer bytes until all are taken. Raises what ``write`` raises."""
    taken = write(data)
    while isinstance(taken, int) and taken < len(data):
        data = memoryview(data)[taken:]
        taken = write(data)


class ChunkOpener:
    """Opens the chunks of one payload into a buffer, and leaves nothing there that does not authenticate."""

    def __init__(self, cipher: ChaCha20Poly1305) -> None:
        self._cipher = cipher

    def open(self, index: int, sealed: memoryview, plain: memoryview, *, final: bool) -> None:
        """Open a chunk that is known to be final or not. Raises ChunkCorruptedError."""
        try:
            self._cipher.decrypt_into(chunk_nonce(index, final=final), sealed, None, plain)
        except InvalidTag:
            # Decryption comes before authentication, so the buffer now holds what nobody vouches for.
            plain[:] = bytes(len(plain))
            raise ChunkCorruptedError(index) from None

    def open_whole(self, index: int, sealed: memoryview, plain: memoryview, *, last: bool) -> bool:
        """Open a chunk of full length, and tell whether it was sealed as the final one.

        The last of a file is most likely final, and the others are not: that is tried first.
        Raises ChunkCorruptedError.
        """
        try:
            self.open(index, sealed, plain, final=last)
        except ChunkCorruptedError:
            self.open(index, sealed, plain, final=not last)
            return not last
        return last

    def open_short(self, index: int, sealed: memoryview, plain: memoryview) -> int:
        """Open what follows the last whole chunk, which must be final, and give the bytes opened.

        Raises PayloadCutError, because a cut leaves such a piece, or FinalChunkEmptyError.
        """
        size = len(sealed) - TAG_SIZE
        if size < 0:
            raise PayloadCutError(index, len(sealed))
        try:
            self.open(index, sealed, plain[:size], final=True)
        except ChunkCorruptedError:
            raise PayloadCutError(index, len(sealed)) from None
        # The last chunk can be short, but not empty unless it is the first and only one.
        if size == 0 and index > 0:
            raise FinalChunkEmptyError(index)
        return size
