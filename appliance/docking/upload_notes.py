"""Where uploads were begun, remembered over a cut cable and a restart, so that they go on and do not begin anew."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from evidence.durable import write_durably
from evidence.strict import SchemaError, read_json, write_json


class _Begun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An upload that was begun at a dock."""

    dock_id: str
    path: str


class _Notes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """uploads.json: the newest upload of each clip that is still here, by clip id."""

    schema: Literal["mirrorcam/uploads/1"] = "mirrorcam/uploads/1"
    begun: dict[str, _Begun] = {}


class UploadNotes:
    """Knows where each waiting clip's upload is.

    A note may be wrong or lost: the dock is asked before anything is sent, and without a note the upload begins anew.
    So a storage that takes none, as a full one, keeps no clip from the dock.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._begun = _read(file)

    def find(self, clip_id: str, dock_id: str) -> str | None:
        """Return the path of a clip's upload at this dock, None where none was begun there."""
        begun = self._begun.get(clip_id)
        return begun.path if begun and begun.dock_id == dock_id else None

    def keep(self, clip_id: str, dock_id: str, path: str) -> None:
        """Remember where a clip's upload was begun."""
        self._write({**self._begun, clip_id: _Begun(dock_id=dock_id, path=path)})

    def forget_all_but(self, clip_ids: Collection[str]) -> None:
        """Forget the uploads of clips that are not here any more."""
        left = {clip_id: begun for clip_id, begun in self._begun.items() if clip_id in clip_ids}
        if left != self._begun:
            self._write(left)

    def _write(self, begun: dict[str, _Begun]) -> None:
        self._begun = begun
        with suppress(OSError):
            write_durably(self._file, write_json(_Notes(begun=begun)), mode=0o600)


def _read(file: Path) -> dict[str, _Begun]:
    try:
        return read_json(file.read_bytes(), _Notes, "file uploads.json").begun
    except (OSError, SchemaError):
        return {}
