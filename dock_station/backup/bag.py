"""A bag in a tar: written beside and put in place whole, and read only where every digest in it is right."""

import hashlib
import io
import os
import secrets
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from evidence.durable import sync_folder
from evidence.errors import MirrorcamError, NotGenuineError

PIECE = 1 << 20  # bytes copied and hashed at a time
DECLARATION, MANIFEST = "bagit.txt", "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"  # the digest of the manifest: the last file, so that a cut bag has none
_DECLARED = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"  # RFC 8493 §2.1.1
_TAGS = frozenset({DECLARATION, MANIFEST, TAG_MANIFEST})
MAX_TEXT = 1 << 28  # bytes of one text that is read whole: some million clips


class BagTakenError(MirrorcamError):
    """Something is where a backup should be written to."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is there already, and a backup overwrites nothing: name a file that is not there yet."
        )


class BagDamagedError(NotGenuineError):
    """A backup is not what was written: changed, cut, or never a backup."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is refused: {reason}; nothing was written, take another copy of it.")
        self.path = path
        self.reason = reason


class BagWriter:
    """Adds one file after the other to a bag, and keeps their digests."""

    def __init__(self, tar: tarfile.TarFile, name: str, at: datetime) -> None:
        self._tar = tar
        self._name = name
        self._at = at
        self._digests: dict[str, str] = {}

    def add(self, place: str, source: BinaryIO) -> str:
        """Add an open file under `data/<place>`, from where it stands to its end, and return its SHA-256 (hex)."""
        size = os.fstat(source.fileno()).st_size - source.tell()
        hashed = _Hashed(source)
        self._put(f"data/{place}", size, hashed)
        digest = hashed.digest.hexdigest()
        self._digests[f"data/{place}"] = digest
        return digest

    def add_text(self, place: str, content: bytes) -> None:
        """Add what is in memory under `data/<place>`."""
        self._put(f"data/{place}", len(content), io.BytesIO(content))
        self._digests[f"data/{place}"] = hashlib.sha256(content).hexdigest()

    def count(self, prefix: str, suffix: str) -> int:
        """Return how many files were added whose name below `data/` begins and ends so."""
        return sum(place.startswith(f"data/{prefix}") and place.endswith(suffix) for place in self._digests)

    def finish(self) -> str:
        """Add the digests of all files, and return the digest of these, which stands for the whole bag."""
        manifest = _listed(self._digests)
        tags = {DECLARATION: hashlib.sha256(_DECLARED).hexdigest(), MANIFEST: hashlib.sha256(manifest).hexdigest()}
        for place, content in ((DECLARATION, _DECLARED), (MANIFEST, manifest), (TAG_MANIFEST, _listed(tags))):
            self._put(place, len(content), io.BytesIO(content))
        return tags[MANIFEST]

    def _put(self, place: str, size: int, source: "_Hashed | io.BytesIO") -> None:
        entry = tarfile.TarInfo(f"{self._name}/{place}")
        entry.size, entry.mode, entry.mtime = size, 0o600, int(self._at.timestamp())
        self._tar.addfile(entry, source)


class _Hashed:
    """Reads a file, and hashes what was read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self.digest.update(piece)
        return piece


@contextmanager
def writing(target: Path, name: str, at: datetime) -> Iterator[BagWriter]:
    """Give a bag that is at `target`, whole and for its owner alone, when the block has ended, or else not at all.

    `name` is the folder that it unpacks to. Raises BagTakenError, or OSError where the disk refuses.
    """
    if os.path.lexists(target):
        raise BagTakenError(target)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield BagWriter(tar, name, at)
            file.flush()
            os.fsync(file.fileno())
        target.hardlink_to(beside)
    except FileExistsError as error:
        raise BagTakenError(target) from error
    finally:
        beside.unlink()
    sync_folder(target.parent)


@dataclass(frozen=True)
class _Place:
    """Where a file lies in the tar, and what its bytes must hash to."""

    offset: int
    size: int
    sha256: str


class Bag:
    """A bag whose every digest was right when it was opened; a file that is taken out is hashed once more."""

    def __init__(self, path: Path, file: BinaryIO, places: dict[str, _Place], sha256: str) -> None:
        self._path = path
        self._file = file
        self._places = places
        self.sha256 = sha256  # of the manifest, which stands for the whole bag

    @property
    def path(self) -> Path:
        """The file that it is."""
        return self._path

    def places(self, prefix: str = "") -> list[str]:
        """Return the names of the files below `data/` that begin with `prefix`, in the order of the bag."""
        return [place for place in self._places if place.startswith(prefix)]

    def text(self, place: str) -> bytes:
        """Return what is in a file; raises BagDamagedError, also where there is no such file."""
        pieces: list[bytes] = []
        self._copy(place, pieces.append)
        return b"".join(pieces)

    def unpack(self, place: str, target: Path) -> None:
        """Write a file durably to `target`, which must not be there, for its owner alone."""
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            self._copy(place, file.write)
            file.flush()
            os.fsync(file.fileno())

    def is_at(self, place: str, target: Path) -> bool:
        """Say whether `target` is a file that can be read to its end and has the very bytes of a file in the bag."""
        try:
            with target.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self._places[place].sha256
        except OSError:
            return False

    def _copy(self, place: str, take: Callable[[bytes], object]) -> None:
        if place not in self._places:
            raise BagDamagedError(self._path, f"it has no {place}")
        found = self._places[place]
        digest = hashlib.sha256()
        for piece in _pieces(self._file, found.offset, found.size):
            digest.update(piece)
            take(piece)
        if digest.hexdigest() != found.sha256:
            raise BagDamagedError(self._path, f"{place} was changed while it was read")


@contextmanager
def reading(path: Path) -> Iterator[Bag]:
    """Give the bag at `path` after reading every byte of it once; raises BagDamagedError or OSError."""
    with path.open("rb") as file:
        try:
            found = _places(path, file)
        except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
            raise BagDamagedError(path, "it is no whole tar file, as a backup is") from error
        yield _checked(path, file, found)


def _places(path: Path, file: BinaryIO) -> dict[str, _Place]:
    """Return all files of the tar by their place in the bag, each with the digest that its bytes have."""
    found: dict[str, _Place] = {}
    with closing(tarfile.open(fileobj=file, mode="r:")) as tar:
        top: str | None = None
        for entry in tar:
            folder, _, place = entry.name.partition("/")
            top = top or folder
            if not entry.isreg() or entry.issparse() or folder != top or not place or place in found:
                raise BagDamagedError(path, "it holds something that no backup has")
            digest = hashlib.sha256()
            back = file.tell()
            for piece in _pieces(file, entry.offset_data, entry.size):
                digest.update(piece)
            file.seek(back)
            found[place] = _Place(entry.offset_data, entry.size, digest.hexdigest())
    return found


def _checked(path: Path, file: BinaryIO, found: dict[str, _Place]) -> Bag:
    if missing := sorted(_TAGS - found.keys()):
        raise BagDamagedError(path, f"its end is missing, or it never was a backup (it has no {missing[0]})")
    tags = {place: found[place] for place in (DECLARATION, MANIFEST)}
    _compare(path, _read(path, file, found[TAG_MANIFEST]), tags)
    payload = {place: entry for place, entry in found.items() if place not in _TAGS}
    _compare(path, _read(path, file, found[MANIFEST]), payload)
    places = {place.removeprefix("data/"): entry for place, entry in payload.items()}
    return Bag(path, file, places, found[MANIFEST].sha256)


def _compare(path: Path, listing: bytes, found: dict[str, _Place]) -> None:
    if listing == _listed({place: entry.sha256 for place, entry in found.items()}):
        return
    lines = set(listing.decode("utf-8", "replace").splitlines())
    for place, entry in found.items():
        if f"{entry.sha256}  {place}" not in lines:
            raise BagDamagedError(path, f"{place} is not what was written into it")
    raise BagDamagedError(path, "a file that it lists is missing")


def _listed(digests: dict[str, str]) -> bytes:
    return "".join(f"{digest}  {place}\n" for place, digest in digests.items()).encode()


def _read(path: Path, file: BinaryIO, place: _Place) -> bytes:
    if place.size > MAX_TEXT:
        raise BagDamagedError(path, "its list of digests is too long")
    return b"".join(_pieces(file, place.offset, place.size))


def _pieces(file: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    """Yield `size` bytes from `offset` on; raises EOFError where the file ends before."""
    file.seek(offset)
    while size > 0:
        piece = file.read(min(PIECE, size))
        if not piece:
            raise EOFError
        size -= len(piece)
        yield piece
