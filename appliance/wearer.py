"""To whom the unit is issued: the pseudonym that a dock last gave, remembered over a restart, and never logged."""

from pathlib import Path
from typing import Literal

import msgspec

from evidence.durable import write_durably
from evidence.manifest import Pseudonym
from evidence.strict import SchemaError, read_json, write_json

# What a manifest says of a unit that was issued to nobody: its clips are kept all the same.
NOBODY = "not-issued"


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """wearer.json: what the dock said last."""

    schema: Literal["mirrorcam/wearer/1"] = "mirrorcam/wearer/1"
    wearer: Pseudonym | None


class Wearer:
    """Knows for whom clips are recorded; a pseudonym `given` at the start wins over the dock's."""

    def __init__(self, note: Path, *, given: str | None = None) -> None:
        self._note = note
        self._given = given
        self._issued = _read(note)

    def current(self) -> str:
        """Return the pseudonym for the next clip."""
        return self._given or self._issued or NOBODY

    def learn(self, issued: str | None) -> None:
        """Remember to whom a dock says that the unit is issued, None for nobody; raises OSError."""
        if issued != self._issued:
            write_durably(self._note, write_json(_Note(wearer=issued)), mode=0o600)
            self._issued = issued


def _read(note: Path) -> str | None:
    try:
        return read_json(note.read_bytes(), _Note, "file wearer.json").wearer
    except (OSError, SchemaError):
        return None  # the next dock says it anew
