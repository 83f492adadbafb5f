"""What a clip is read through while it plays: its MP4, as far as that can be opened."""

from typing import Protocol


class Source(Protocol):
    """The clip's MP4 as far as it can be opened."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes, fewer only at the end."""
        ...
