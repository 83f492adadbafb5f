"""Opening a clip into a file or a pipe, with the key file of one who may."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from evidence.age import (
    CHUNK_SIZE,
    AgeError,
    Identity,
    ScryptIdentity,
    SealedFile,
    open_bytes,
    parse_identities,
    read_header,
)
from evidence.age.errors import KeyTextError, NoIdentityMatchesError, PassphraseMemoryError, PayloadError
from evidence.clip_files import MissingFileError
from evidence.durable import sync_folder
from evidence.errors import EnvironmentalError, KeyDoesNotFitError, MirrorcamError, NotGenuineError

MAX_KEY_FILE = 1 << 20  # bytes; a key file with all a town's identities has a few thousand
_READ_BYTES = 1 << 20
_AGE_FILE = b"age-encryption.org/"
_ARMORED = b"-----BEGIN AGE"


class BadFileError(NotGenuineError):
    """A sealed file is not what was sealed, or no sealed file at all."""

    def __init__(self, path: Path, error: AgeError) -> None:
        super().__init__(f"{path.name}: {error}")


class WrongKeyError(KeyDoesNotFitError):
    """A key file holds no key, or a passphrase or key opens nothing here."""

    def __init__(self, path: Path, error: AgeError) -> None:
        super().__init__(f"{path.name}: {error}")


class NotTextError(KeyDoesNotFitError):
    """A key file holds something that is neither text nor an age file."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path.name} is no key file: use one that begins with AGE-SECRET-KEY-, or a keyslot.")


class UnreadableError(EnvironmentalError):
    """The medium does not give a file back."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be read ({error.strerror or error}): try again from a copy of it.")


class NoMemoryError(EnvironmentalError):
    """This machine has not the memory that trying a passphrase takes."""

    def __init__(self, error: PassphraseMemoryError) -> None:
        super().__init__(str(error))


class OutputExistsError(MirrorcamError):
    """The file that would be written is there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already and is kept as it is: choose another name.")
        self.path = path


class OutputError(EnvironmentalError):
    """What was opened cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"{path} cannot be written ({reason}): free room or choose another place; nothing was kept.")
        self.path = path


class CutClipError(NotGenuineError):
    """A clip is damaged somewhere, or its end is missing; all that could be opened before that was written."""

    def __init__(self, name: str, plain_bytes: int, error: AgeError) -> None:
        super().__init__(f"{name} is not whole: {plain_bytes} bytes of it were opened and kept. {error}")
        self.plain_bytes = plain_bytes


class Sink(Protocol):
    """What takes a clip's plain bytes."""

    def write(self, data: memoryview, /) -> object:
        """Take all of it; raises OSError."""


def read_identities(path: Path, passphrase: Callable[[], str]) -> Sequence[Identity]:
    """Read a key file: plain, or an age file under a passphrase, binary or armored; `passphrase` asks for it.

    Raises MissingFileError, WrongKeyError, NotTextError, BadFileError, NoMemoryError or OSError.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE)
    except FileNotFoundError as error:
        raise MissingFileError(path, "name the key file of somebody to whom the clip is sealed") from error
    with _explained(path):
        if content.startswith(_AGE_FILE) or content.lstrip().startswith(_ARMORED):
            content = open_bytes(content, [ScryptIdentity(passphrase())])
        try:
            return parse_identities(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise NotTextError(path) from error


class OpenClip:
    """A clip that a key fits: its plain bytes, as far as they can be opened.

    `size` is how many bytes of MP4 that seem to be; `copy_to` makes it fewer where it comes upon a changed chunk.
    """

    def __init__(self, path: Path, sealed: SealedFile) -> None:
        self.size = sealed.size
        self._damage = sealed.damage
        self._path = path
        self._sealed = sealed

    def copy_to(self, sink: Sink, advance: Callable[[int], None]) -> None:
        """Write the plain bytes up to the end or a changed chunk; `advance` is told how many went.

        Each is authenticated before it goes out. Raises BadFileError where there is none, and whatever the sink raises.
        """
        buffer = memoryview(bytearray(_READ_BYTES))
        done = 0
        while done < self.size:
            size = self._read(done, buffer)
            sink.write(buffer[:size])
            done += size
            advance(size)
        self.require_content()

    def check_end(self) -> None:
        """Raise CutClipError unless all was copied, up to the end as it was sealed."""
        if self._damage:
            raise CutClipError(self._path.name, self.size, self._damage)

    def require_content(self) -> None:
        """Raise BadFileError where nothing at all can be opened."""
        if self._damage and not self.size:
            raise BadFileError(self._path, self._damage)

    def _read(self, offset: int, buffer: memoryview) -> int:
        """Read what opens; where a chunk does not, the clip ends before it from now on."""
        with _explained(self._path):
            while True:
                try:
                    return self._sealed.read_into(offset, buffer[: max(0, self.size - offset)])
                except PayloadError as damage:
                    self.size, self._damage = damage.chunk * CHUNK_SIZE, damage


@contextmanager
def opened(path: Path, identities: Sequence[Identity]) -> Iterator[OpenClip]:
    """Open a sealed clip; raises BadFileError, WrongKeyError, MissingFileError or OSError."""
    with path.open("rb") as file:
        with _explained(path):
            header = read_header(file)
            sealed = SealedFile(file, header, header.unwrap(identities))
        yield OpenClip(path, sealed)


def write_new_file(path: Path, fill: Callable[[Sink], object]) -> None:
    """Write a file that is not there yet, readable by its owner alone: whole and durable, or not at all.

    Raises OutputExistsError, OutputError, or what `fill` raises.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise OutputError(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        # Not by a hard link, which would close the gap: a USB stick's file system has none.
        require_absent(path)
        beside.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def require_absent(path: Path) -> None:
    """Raise OutputExistsError where there is something of this name."""
    if os.path.lexists(path):
        raise OutputExistsError(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the age library says into errors with an exit code and the name of the file."""
    try:
        yield
    except PassphraseMemoryError as error:
        raise NoMemoryError(error) from error
    except (KeyTextError, NoIdentityMatchesError) as error:
        raise WrongKeyError(path, error) from error
    except AgeError as error:
        raise BadFileError(path, error) from error
    except OSError as error:
        raise UnreadableError(path, error) from error
