"""Keys and files that the tests of age share."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from evidence.age import SealedFile, SealingWriter, X25519Identity, read_header

OpenSealed = Callable[[bytes], SealedFile]


@pytest.fixture(scope="session")
def identity() -> X25519Identity:
    """One key pair for all tests: what it protects is random."""
    return X25519Identity.generate()


@pytest.fixture(scope="session")
def three_chunks() -> bytes:
    """Plaintext of two whole chunks and a short one."""
    return os.urandom(2 * 65536 + 100)


@pytest.fixture
def open_sealed(identity: X25519Identity, tmp_path: Path) -> Iterator[OpenSealed]:
    """Puts the bytes of an age file on disk and opens it for random access."""
    with ExitStack() as stack:

        def open_it(sealed: bytes) -> SealedFile:
            path = tmp_path / "sealed.age"
            path.write_bytes(sealed)
            file = stack.enter_context(path.open("rb"))
            header = read_header(file)
            return SealedFile(file, header, header.unwrap([identity]))

        yield open_it


@pytest.fixture
def seal_pieces(identity: X25519Identity) -> Callable[[list[bytes]], bytes]:
    """Seals pieces as they come and gives the age file."""

    def seal(pieces: list[bytes]) -> bytes:
        sealed = bytearray()
        writer = SealingWriter(sealed.extend, [identity.recipient])
        for piece in pieces:
            writer.write(piece)
        writer.close()
        return bytes(sealed)

    return seal
