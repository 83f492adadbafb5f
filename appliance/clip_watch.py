"""Tells the journal when a clip is really durable, and when it is really closed: by its files, not by hope."""

from collections.abc import Callable
from pathlib import Path

from appliance.journal import Journal
from appliance.recorder import RecorderStatus
from appliance.writing.clip_files import ClipFiles
from evidence import manifest as manifests
from evidence.manifest import Manifest
from evidence.strict import SchemaError


class ClipWatch:
    """Follows each clip from the touch to its signature; looks are cheap, and are to come often.

    What the storage does not give back is not told, and never stops the unit.
    """

    def __init__(self, folder: Path, journal: Journal, monotonic: Callable[[], float]) -> None:
        self._folder = folder
        self._journal = journal
        self._monotonic = monotonic
        self._begun: list[str] = []
        self._durable: set[str] = set()

    @property
    def awaits_first_bytes(self) -> bool:
        """Whether a clip has begun of which nothing is durable yet."""
        return any(clip_id not in self._durable for clip_id in self._begun)

    def begun(self, clip_id: str) -> None:
        """Follow a clip from now on."""
        self._begun.append(clip_id)

    def look(self, status: RecorderStatus, *, all_closed: bool) -> None:
        """Tell what has come about; `all_closed`, asked for before this, says that no file will change any more."""
        for clip_id in tuple(self._begun):
            if clip_id == status.clip_id:
                self._look_at_running(clip_id, status)
            else:
                self._look_at_ended(clip_id)
        if all_closed:
            self._begun.clear()  # those that are left never got a file, or one that the closer will close
            self._durable.clear()

    def _look_at_running(self, clip_id: str, status: RecorderStatus) -> None:
        if clip_id in self._durable or not status.ciphertext_bytes or status.started is None:
            return
        self._tell_durable(clip_id, after=self._monotonic() - status.started)

    def _tell_durable(self, clip_id: str, *, after: float) -> None:
        stated = self._stated(clip_id)
        if stated is None:
            return
        self._durable.add(clip_id)
        self._journal.recording_started(clip_id, pre_record_seconds=stated.pre_record_seconds)
        self._journal.first_durable(clip_id, seconds=after)

    def _look_at_ended(self, clip_id: str) -> None:
        files = ClipFiles(self._folder, clip_id)
        try:
            if files.draft.exists() or not files.signature.exists():
                return
            closed = manifests.decode(files.manifest.read_bytes())
        except (OSError, SchemaError):
            return
        self._begun.remove(clip_id)
        self._durable.discard(clip_id)
        self._journal.recording_ended(closed)

    def _stated(self, clip_id: str) -> Manifest | None:
        files = ClipFiles(self._folder, clip_id)
        for path in (files.manifest, files.draft):
            try:
                return manifests.decode(path.read_bytes())
            except (OSError, SchemaError):
                continue
        return None
