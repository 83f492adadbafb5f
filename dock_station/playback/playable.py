"""Playing a sealed clip: a virtual MP4 that players can jump about in, made from the few chunks that are asked for."""

import io
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dock_station.beginning import beginning_sha256
from dock_station.opening.opener import Opener, seconds_since_boot
from dock_station.opening.unlocks import LockedError
from dock_station.playback.virtual_mp4 import VirtualMp4
from evidence.age import AgeError, FileKey, SealedFile, read_header
from evidence.errors import EnvironmentalError, MirrorcamError, NotGenuineError

MAX_BODY = 1 << 19  # bytes of one answer: a player that wants more asks again, one that jumps wastes less
MAX_OPEN = 32  # clips at a time, for all people together

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")


class ClipDamagedError(NotGenuineError):
    """A clip does not open where it was read: changed after it was sealed, or not an age file at all."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"This clip was damaged or changed on the dock's disk. {sentence}")


class ClipUnreadableError(EnvironmentalError):
    """The disk does not give a clip's file out."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The dock's vault fails: this clip's file cannot be read ({reason}); have IT look at it.")


class RangeError(MirrorcamError):
    """A range begins behind the end; `size` is what there is."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"The range asked for begins behind the end of the clip, which has {size} bytes.")


@dataclass(frozen=True)
class Part:
    """A part of a virtual file: from `start` up to, and not with, `end`."""

    start: int
    end: int

    def content_range(self, size: int) -> str:
        """Return the value of the header Content-Range (RFC 9110 §14.4)."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def part_of(range_header: str | None, size: int) -> Part | None:
    """Return the part that a Range header asks for, at most MAX_BODY of it.

    None where there is no header or none that is understood, several ranges included: the answer is then the whole
    (RFC 9110 §14.2). Raises RangeError where nothing of the range is there: answer 416 with `bytes */<size>`.
    """
    found = _RANGE.fullmatch(range_header.strip()) if range_header else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeError(size)
    return Part(start, min(end, start + MAX_BODY))


class Playable:
    """The virtual file `ftyp moov sidx fragments` of one sealed clip; for any number of threads.

    - Only what authenticates is given out: a changed byte raises ClipDamagedError where it is read.
    - `complete` is False for a clip whose end is missing: it plays `seconds`, up to its last whole fragment, and
      `damage` says what is wrong. Whether that was so when the clip came, its manifest says.
    - `beginning_sha256` says of which clip it is, as `dock_station.beginning` has it.
    - The stored file is only read; without its index at the end, each fragment's beginning is read once.
    """

    def __init__(self, file: io.BufferedReader, file_key: bytes) -> None:
        """Take over an open sealed file; raises ClipDamagedError, ClipUnreadableError or NotPlayableError."""
        self._file = file
        weakref.finalize(self, file.close)
        self._lock = threading.Lock()
        with _told():
            self.beginning_sha256 = beginning_sha256(file)
            file.seek(0)
            self._sealed = SealedFile(file, read_header(file), FileKey(file_key))
            self._film = VirtualMp4(self._sealed)
        self.size = self._film.size
        self.seconds = self._film.seconds
        self.damage = None if self._sealed.damage is None else str(self._sealed.damage)

    @property
    def complete(self) -> bool:
        """Whether the clip has the end that it was sealed with."""
        return self.damage is None

    def read(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes of the virtual file, fewer only at its end.

        Raises ClipDamagedError, ClipUnreadableError, or LockedError once the clip was closed.
        """
        with self._lock, _told():
            if self._file.closed:
                raise LockedError
            return self._film.read(start, length)

    def pieces(self, part: Part) -> Iterator[bytes]:
        """Yield a part of the virtual file, MAX_BODY at a time; raises as `read`."""
        for start in range(part.start, part.end, MAX_BODY):
            yield self.read(start, min(MAX_BODY, part.end - start))

    def close(self) -> None:
        """Let go of the file and of what opens it; again it does nothing."""
        with self._lock:
            self._file.close()


@dataclass(frozen=True)
class _Kept:
    playable: Playable
    ends_at: float


class Playables:
    """The clips that are open now, each under the token that opened it; for any number of threads.

    Contract: nothing is given out under a token whose time is over or that was locked here. At most MAX_OPEN clips
    are kept; the one not read for longest is closed first, and opened again when somebody goes on with it.
    """

    def __init__(
        self, opener: Opener, limit: int = MAX_OPEN, seconds: Callable[[], float] = seconds_since_boot
    ) -> None:
        self._opener = opener
        self._limit = limit
        self._seconds = seconds
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, token: str, clip_id: str, sealed_file: Path) -> Playable:
        """Return a clip to play under a token of the opener.

        Raises LockedError, NotForThisStationError, HeaderRefusedError, OpenerNotRunningError, ClipDamagedError,
        ClipUnreadableError or NotPlayableError.
        """
        with self._lock:
            self._expire()
            kept = self._kept.get((token, clip_id))
            if kept:
                self._kept.move_to_end((token, clip_id))
                return kept.playable
        ends_at = self._seconds() + self._opener.seconds_left(token)
        playable = self._opened(token, sealed_file)
        with self._lock:
            kept = self._kept.setdefault((token, clip_id), _Kept(playable, ends_at))
            if kept.playable is not playable:  # another request was quicker
                playable.close()
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)  # not closed: somebody may be reading; its file goes with it
        return kept.playable

    def lock(self, token: str) -> None:
        """Let the token open nothing more, here and at the opener; raises OpenerNotRunningError."""
        self._close([key for key in list(self._kept) if key[0] == token])
        self._opener.lock(token)

    def close_clip(self, clip_id: str) -> None:
        """Close a clip for everyone, as when it was deleted."""
        self._close([key for key in list(self._kept) if key[1] == clip_id])

    def close(self) -> None:
        """Close all clips."""
        self._close(list(self._kept))

    def _opened(self, token: str, sealed_file: Path) -> Playable:
        with _told():
            file = sealed_file.open("rb")
        try:
            with _told():
                header = read_header(file).raw
                file.seek(0)
            return Playable(file, self._opener.file_key(token, header))
        except BaseException:
            file.close()
            raise

    def _expire(self) -> None:
        now = self._seconds()
        for key in [key for key, kept in self._kept.items() if kept.ends_at <= now]:
            self._kept.pop(key).playable.close()

    def _close(self, keys: list[tuple[str, str]]) -> None:
        with self._lock:
            for key in keys:
                kept = self._kept.pop(key, None)
                if kept:
                    kept.playable.close()


@contextmanager
def _told() -> Iterator[None]:
    """Turn what reading a sealed file raises into a sentence for the person who wanted to see the clip."""
    try:
        yield
    except AgeError as error:
        raise ClipDamagedError(str(error)) from error
    except OSError as error:
        raise ClipUnreadableError(str(error.strerror)) from error
