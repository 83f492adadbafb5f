"""The file spool.json and its twin: what of the clips must outlive them, the end of their chain above all."""

from pathlib import Path
from typing import Literal

import msgspec

from appliance.writing.disk import Disk
from evidence.chain import Link
from evidence.docking import SeenHead
from evidence.durable import write_durably
from evidence.errors import EnvironmentalError
from evidence.receipt import Receipt
from evidence.strict import SchemaError, read_json, write_json

_NAME, _TWIN = "spool.json", "spool.twin.json"


class SpoolDamagedError(EnvironmentalError):
    """The spool's own note of where the chain stands cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The spool's note {path.name} is damaged ({reason}); have IT look at this unit's storage.")
        self.path = path


class _Noted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    schema: Literal["mirrorcam/spool/1"] = "mirrorcam/spool/1"
    newest: Link | None = None
    heads: tuple[SeenHead, ...] = ()
    refusals: dict[str, str] = {}


def continue_chain(folder: Path, newest: Link) -> None:
    """Let a spool that is still to be made in `folder` go on with the chain of the unit that it takes the place of.

    Where a spool was at work already nothing is changed: its own chain is at least as long. Raises OSError.
    """
    notes_file = folder / _NAME
    if not (notes_file.exists() or (folder / _TWIN).exists()):
        write_durably(notes_file, write_json(_Noted(newest=newest)))


class SpoolNotes:
    """The newest link of the chain, the newest custody head of each dock, and why docks refused clips.

    What a method has noted is durable when it returns; where it raises OSError, nothing is noted. All is written twice,
    for one sector that cannot be read must not keep a unit from recording: the twin counts where the other is damaged
    or gone. It is written first, so that it is never behind. `damage` is what was found of that when it was read.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        """Read the notes in `folder`; raises SpoolDamagedError where neither file can be read."""
        self._file = folder / _NAME
        self._twin = folder / _TWIN
        self._disk = disk
        self._noted, self.damage = _read(self._file, self._twin)

    @property
    def newest(self) -> Link | None:
        """The newest closed clip's link; None before the first."""
        return self._noted.newest

    @property
    def heads(self) -> tuple[SeenHead, ...]:
        """The newest custody head seen from each dock."""
        return self._noted.heads

    @property
    def refusals(self) -> dict[str, str]:
        """Why clips were refused, by clip id."""
        return dict(self._noted.refusals)

    def closed(self, newest: Link) -> None:
        """Note the link of a clip that was closed."""
        self._write(newest=newest)

    def received(self, clip_id: str, receipt: Receipt) -> None:
        """Note a receipt's custody head; its clip is refused no more."""
        refusals = {other: reason for other, reason in self._noted.refusals.items() if other != clip_id}
        self._write(heads=_newest_heads(self._noted.heads, receipt), refusals=refusals)

    def refused(self, clip_id: str, reason: str) -> None:
        """Note why a clip was refused."""
        self._write(refusals={**self._noted.refusals, clip_id: reason})

    def _write(self, **changes: object) -> None:
        noted = msgspec.structs.replace(self._noted, **changes)
        for file in (self._twin, self._file):
            self._disk.write_durably(file, write_json(noted))
        self._noted = noted


def _read(*files: Path) -> tuple[_Noted, SpoolDamagedError | None]:
    """Return what the first whole file has noted, and how one is damaged; raises SpoolDamagedError where none is."""
    found = [_read_one(file) for file in files]
    noted = next((each for each in found if isinstance(each, _Noted)), None)
    damage = next((each for each in found if isinstance(each, SpoolDamagedError)), None)
    if damage and not noted:
        raise damage
    return noted or _Noted(), damage


def _read_one(file: Path) -> _Noted | SpoolDamagedError | None:
    """Return what is noted there, None where there is no such file, or how it is damaged."""
    try:
        return read_json(file.read_bytes(), _Noted, f"file {file.name}")
    except FileNotFoundError:
        return None
    except SchemaError as error:
        return SpoolDamagedError(file, error.reason)
    except OSError as error:
        return SpoolDamagedError(file, error.strerror or str(error))


def _newest_heads(seen: tuple[SeenHead, ...], receipt: Receipt) -> tuple[SeenHead, ...]:
    """Replace the head of the receipt's dock, unless a longer log of it was seen: that one is the evidence."""
    before = next((head for head in seen if head.dock_id == receipt.dock_id), None)
    if before and before.head.entries >= receipt.custody.entries:
        return seen
    others = tuple(head for head in seen if head.dock_id != receipt.dock_id)
    return (*others, SeenHead(dock_id=receipt.dock_id, head=receipt.custody))
