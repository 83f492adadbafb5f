"""Restoring a dock from a backup: into an empty folder, after every digest was checked, and whole or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dock_station import audit, custody
from dock_station.backup import bag, databases
from dock_station.backup.bag import Bag, BagDamagedError
from dock_station.backup.contents import CATALOGUES, DOCK, FACTS, FILES, INDEX, KEYSLOTS, VAULT, Facts, Index
from dock_station.catalogue import alarms, bays, clips, deletions, enrolments, schema, uploads
from dock_station.catalogue.database import Catalogue
from dock_station.clock import utc_now
from dock_station.dock import Clock, Dock
from dock_station.settings import DockFolder, DockSettings
from dock_station.vault import CLIPS, INCOMING
from evidence.certificates import Authority, load_certificate
from evidence.durable import sync_folder
from evidence.errors import EnvironmentalError, ExitCode, MirrorcamError
from evidence.identifiers import NAME_PATTERN
from evidence.strict import SchemaError, read_json, read_settings, read_toml

STAGING = ".restoring"  # everything is put together in it, and moved out of it at the end
# What may be in a folder that counts as empty: the vault on its own disk, what mkfs left there, a restore that was cut.
_LEFT_ALONE = frozenset({"vault", "lost+found", STAGING})
_CLIP_FILE = re.compile(rf"{CLIPS}/[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}(\.mp4\.age|\.json|\.json\.sig)")


class NotEmptyError(MirrorcamError):
    """A folder that a dock is to be restored into holds something."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path} is not empty ({found} is there), and a restore overwrites nothing: name a folder that is empty "
            "but for a vault."
        )


class NewerBackupError(EnvironmentalError):
    """A backup was made by software that knew more than this one."""

    def __init__(self, software: str, revision: str) -> None:
        super().__init__(
            f"This backup was made by {software} with a catalogue of version {revision}, which this software does not "
            "know: install that version or a newer one first."
        )


class OtherDockError(MirrorcamError):
    """The settings are of another dock than the backup."""

    def __init__(self, wanted: str, found: str) -> None:
        super().__init__(f"These settings are of dock '{wanted}', and the backup is of '{found}': give that one's own.")
        self.exit_code = ExitCode.USAGE


@dataclass(frozen=True)
class Restored:
    """What was restored.

    `replaced` says which files of a vault that was there were not as they should be, and are now; `missing`, of which
    clips the vault has not what it should have.
    """

    facts: Facts
    entries: int
    clips: int
    replaced: tuple[str, ...]
    missing: tuple[str, ...]
    clock_is_trusted: bool


def restore(
    source: Path, folder: DockFolder, *, actor: str, settings: Path | None = None, clock: Clock = utc_now
) -> Restored:
    """Restore the backup `source` into `folder`; `settings` is a dock.toml to take instead of the one in it.

    The backup is read whole before the first byte is written; what was begun and could not be finished is taken back,
    or, after a power cut, by the next call. Raises BagDamagedError, NotEmptyError, NewerBackupError, OtherDockError,
    OtherDatabaseError, CatalogueThereError, CatalogueError, ToolMissingError, ToolFailedError, SettingsError, OSError.
    """
    with bag.reading(source) as found:
        facts = _facts(found)
        plan = _Plan(found, facts, folder, settings)
        plan.check()
        with _staging(folder.path) as staging:
            replaced = plan.unpack(staging)
            plan.catalogue_into(staging, actor=actor, clock=clock)
            plan.move_out(staging)
    return _examined(folder, facts, replaced, clock)


def _facts(found: Bag) -> Facts:
    try:
        facts = read_json(found.text(FACTS), Facts, "backup")
        read_json(found.text(INDEX), Index, "vault index")
    except SchemaError as error:
        raise BagDamagedError(found.path, f"its facts are not those of a backup ({error.reason})") from error
    return facts


@dataclass(frozen=True)
class _Plan:
    """One restore: a backup that is good, where it goes, and with which settings."""

    bag: Bag
    facts: Facts
    folder: DockFolder
    own_settings: Path | None

    def check(self) -> None:
        """Raise whatever stands against it, before anything is written."""
        if not schema.is_known(self.facts.revision):
            raise NewerBackupError(self.facts.software, self.facts.revision)
        self._check_places()
        _check_empty(self.folder.path)
        settings = self._settings()
        if settings.dock_id != self.facts.dock_id:
            raise OtherDockError(settings.dock_id, self.facts.dock_id)
        url = self.folder.catalogue_url(settings)
        with closing(Catalogue(url)) as catalogue:
            kind = catalogue.engine.url.get_backend_name()
            if kind != self.facts.database:
                raise databases.OtherDatabaseError(kind, self.facts.database)
            if settings.catalogue_url:  # else it is in the folder, which is empty
                databases.require_empty(catalogue)

    def _settings(self) -> DockSettings:
        if self.own_settings:
            return read_settings(self.own_settings, DockSettings)
        try:
            return read_toml(self.bag.text(f"{DOCK}dock.toml"), DockSettings, "dock.toml")
        except SchemaError as error:
            raise BagDamagedError(self.bag.path, f"its dock.toml cannot be used ({error.reason})") from error

    def _check_places(self) -> None:
        wanted = {FACTS, INDEX, CATALOGUES[self.facts.database], *(f"{DOCK}{name}" for name in FILES)}
        if missing := wanted - set(self.bag.places()):
            raise BagDamagedError(self.bag.path, f"it has no {min(missing)}")
        for place in set(self.bag.places()) - wanted:
            if not (_is_keyslot(place) or _is_clip_file(place)):
                raise BagDamagedError(self.bag.path, f"it holds {place!r}, which no backup has")

    def unpack(self, staging: Path) -> tuple[str, ...]:
        """Write all files into the folder where they are put together, but for clips' that the vault has already.

        Returns a sentence for each that the vault has otherwise: the backup's, which was held against the catalogue
        when it was made, takes its place.
        """
        for name in (KEYSLOTS, f"{VAULT}{CLIPS}"):
            (staging / name).mkdir(parents=True, mode=0o700)
        for place in self.bag.places(DOCK):
            target = staging / place.removeprefix(DOCK)
            if target.name == "dock.toml" and self.own_settings:
                shutil.copyfile(self.own_settings, target)
            else:
                self.bag.unpack(place, target)
        replaced = []
        for place in self.bag.places(VAULT):
            there = self.folder.path / place
            if self.bag.is_at(place, there):
                continue
            if os.path.lexists(there):
                replaced.append(f"{there} was changed or cut, or cannot be read: the backup's copy has replaced it.")
            self.bag.unpack(place, staging / place)
        return tuple(replaced)

    def catalogue_into(self, staging: Path, *, actor: str, clock: Clock) -> None:
        """Put the catalogue where the settings have it, bring tables up to date, and note the restore in its log."""
        inside = DockFolder(staging)
        with closing(Catalogue(inside.catalogue_url(inside.settings()))) as catalogue:
            self._load(catalogue, staging)
        with closing(Dock.open_unchecked(inside, clock)) as dock:
            schema.migrate(dock.catalogue)
            _drop_pending_words(dock)
            self._note(dock, actor)

    def _load(self, catalogue: Catalogue, staging: Path) -> None:
        place = CATALOGUES[self.facts.database]
        if self.facts.database == "sqlite":
            self.bag.unpack(place, Path(catalogue.engine.url.database or ""))
            return
        dump = staging / place
        self.bag.unpack(place, dump)
        databases.load(dump, catalogue)
        dump.unlink()

    def _note(self, dock: Dock, actor: str) -> None:
        """Write the restore into the custody log, and forget what was under way on the dock that is gone.

        The holds of since the backup are forgotten as well, so an alarm keeps retention from deleting what they held.
        """
        incoming = self.folder.vault / INCOMING
        with dock.catalogue.writing() as connection:
            bays.clear(connection)
            for upload in uploads.under_way(connection):
                part = incoming / f"{upload.upload_id}.part"
                if not part.exists() or part.stat().st_size < upload.offset_bytes:
                    uploads.remove(connection, upload.upload_id)
            dock.custody.append(
                connection,
                actor=actor,
                action="restored",
                subject=f"dock:{self.facts.dock_id}",
                details={"backup": self.bag.sha256, "made_at": f"{self.facts.made_at:%Y-%m-%dT%H:%M:%SZ}"},
            )
            alarms.raise_alarm(
                connection,
                kind=alarms.SET_BACK,
                subject=f"dock:{self.facts.dock_id}",
                sentence=_set_back(self.facts.made_at),
                at=dock.clock(),
            )

    def move_out(self, staging: Path) -> None:
        """Move everything to its place; the settings last, for without them a folder is no dock's."""
        target = self.folder.path
        for name in (INCOMING, CLIPS):
            (target / "vault" / name).mkdir(parents=True, mode=0o700, exist_ok=True)
        for file in sorted((staging / VAULT / CLIPS).iterdir()):
            file.rename(target / VAULT / CLIPS / file.name)
        sync_folder(target / VAULT / CLIPS)
        shutil.rmtree(staging / VAULT)
        _replace(staging / "keyslots", target / "keyslots")
        for file in sorted(staging.iterdir(), key=lambda each: each.name == "dock.toml"):
            sync_folder(target)
            _replace(file, target / file.name)
        sync_folder(target)
        staging.rmdir()
        _give_to_owner(target)


def _drop_pending_words(dock: Dock) -> None:
    """Have whoever was confirmed and had no certificate yet be confirmed anew: it may have got it, and been stolen."""
    with dock.catalogue.writing() as connection:
        enrolments.drop_unissued(connection, dock.clock())


def _set_back(made_at: datetime) -> str:
    return (
        f"This dock was set back to its backup of {made_at:%Y-%m-%d %H:%M} UTC: set the holds of since then again, and "
        "disable again the accounts that were disabled since; nothing is deleted until someone closes this alarm."
    )


def _is_keyslot(place: str) -> bool:
    name = place.removeprefix(f"{DOCK}{KEYSLOTS}")
    return place != name and name.endswith(".age") and re.fullmatch(NAME_PATTERN, name.removesuffix(".age")) is not None


def _is_clip_file(place: str) -> bool:
    return place.startswith(VAULT) and _CLIP_FILE.fullmatch(place.removeprefix(VAULT)) is not None


def _check_empty(path: Path) -> None:
    """Raise NotEmptyError unless a dock may be restored here; what a restore that was cut has left is no hindrance."""
    if not os.path.lexists(path):
        return
    there = {entry.name for entry in path.iterdir()}
    left_alone = _LEFT_ALONE
    if STAGING in there and "dock.toml" not in there:
        left_alone = left_alone | {"keyslots", CATALOGUES["sqlite"], *FILES}
    if others := sorted(there - left_alone):
        raise NotEmptyError(path, others[0])


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """Give the folder where a restore is put together; when the block fails, nothing of it is left."""
    is_new = not path.exists()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = path / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    try:
        yield staging
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if is_new and not any(path.iterdir()):
            path.rmdir()
        raise


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():  # of a restore that was cut
        shutil.rmtree(target)
    source.rename(target)


def _give_to_owner(folder: Path) -> None:
    """Give what was restored to whom the dock's folder belongs, if that is not who restores it."""
    owner = folder.stat()
    if owner.st_uid == os.geteuid():
        return
    places = [folder / name for name in (*FILES, CATALOGUES["sqlite"], "keyslots", "vault")]
    places += [*(folder / "keyslots").iterdir(), *(folder / "vault").iterdir(), *(folder / "vault" / CLIPS).iterdir()]
    for place in places:
        if os.path.lexists(place):
            os.chown(place, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _examined(folder: DockFolder, facts: Facts, replaced: tuple[str, ...], clock: Clock) -> Restored:
    """Check the whole custody log, and look for every clip's files; raises CustodyBrokenError."""
    with closing(Dock.open(folder, clock)) as dock, dock.catalogue.reading() as connection:
        head = custody.check(connection, Authority(load_certificate(folder.authority_file)), dock.settings.dock_id)
        going = {deletion.clip_id for deletion in deletions.unfinished(connection)}
        kept = [clip for clip in clips.kept(connection) if clip.clip_id not in going]
        missing = []
        for clip in sorted(kept, key=lambda each: each.clip_id):
            wrong = next(audit.disagreements(connection, dock.vault, clip), None)
            if wrong:
                missing.append(f"Clip {clip.clip_id}, from {clip.unit_id}: {wrong}.")
        return Restored(
            facts=facts,
            entries=head.entries if head else 0,
            clips=len(kept),
            replaced=replaced,
            missing=tuple(missing),
            clock_is_trusted=dock.custody.clock_is_trusted(connection),
        )
