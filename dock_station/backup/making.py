"""Making a backup while the dock works: one state of the catalogue, the dock's own files, and its clips if wanted."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from dock_station import audit, custody
from dock_station.backup import bag, contents
from dock_station.backup.bag import BagWriter
from dock_station.backup.contents import CATALOGUES, DOCK, FACTS, FILES, INDEX, KEYSLOTS, VAULT, Database, Facts, Index
from dock_station.backup.databases import frozen
from dock_station.catalogue import clips, deletions
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.database import Catalogue
from dock_station.catalogue.schema import revision_of
from dock_station.dock import Dock
from dock_station.settings import NotSetUpError
from dock_station.vault import MANIFEST, SEALED, SIGNATURE, VaultError
from evidence.strict import write_json

Follow = Callable[[list[Clip]], Iterable[Clip]]


@dataclass(frozen=True)
class Made:
    """A backup that was made; `wrong` says of which clips it has no copy although it should, and why."""

    sha256: str
    entries: int
    keyslots: int
    indexed: int
    copied: int
    first_due: datetime | None
    wrong: tuple[str, ...]


def make_backup(dock: Dock, target: Path, *, actor: str, with_clips: bool, follow: Follow = iter) -> Made:
    """Write a backup to `target`, which is there whole or not at all; the dock may be at work meanwhile.

    `follow` is handed the clips that are to be copied, and yields them. Raises BagTakenError, CatalogueDamagedError,
    CopyFailedError, ToolMissingError, ToolFailedError, NotSetUpError, VaultError or OSError.
    """
    at = dock.clock()
    name = f"mirrorcam-{dock.settings.dock_id}-{at:%Y%m%dT%H%M%SZ}"
    with bag.writing(target, name, at) as writer, TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
        with dock.catalogue.writing() as connection:
            dock.custody.append(
                connection,
                actor=actor,
                action="backup-begun",
                subject=f"dock:{dock.settings.dock_id}",
                details={"with_clips": with_clips},
            )
        database: Database = "sqlite" if dock.catalogue.engine.url.get_backend_name() == "sqlite" else "postgresql"
        copy = Path(folder) / CATALOGUES[database]
        with frozen(dock.catalogue, copy) as connection:
            facts = _facts(connection, dock, database, at, with_clips=with_clips)
            kept = _kept(connection)
            _add_small_files(writer, dock, facts, kept)
            with copy.open("rb") as file:
                writer.add(copy.name, file)
            wrong = tuple(_add_clips(writer, connection, dock, follow(kept))) if with_clips else ()
        return Made(
            sha256=writer.finish(),
            entries=facts.custody.entries if facts.custody else 0,
            keyslots=len(_keyslots(dock)),
            indexed=len(kept),
            copied=writer.count(VAULT, SEALED),
            first_due=min((clip.due_at for clip in kept), default=None),
            wrong=wrong,
        )


def _facts(connection: Connection, dock: Dock, database: Database, at: datetime, *, with_clips: bool) -> Facts:
    return Facts(
        dock_id=dock.settings.dock_id,
        made_at=at,
        software=f"mirrorcam {version('mirrorcam')}",
        database=database,
        revision=revision_of(connection) or "",
        custody=custody.head(connection),
        with_clips=with_clips,
    )


def _kept(connection: Connection) -> list[Clip]:
    """Return the clips that stay, in order; one whose deletion was begun is as good as gone."""
    going = {deletion.clip_id for deletion in deletions.unfinished(connection)}
    return sorted((clip for clip in clips.kept(connection) if clip.clip_id not in going), key=lambda each: each.clip_id)


def _add_small_files(writer: BagWriter, dock: Dock, facts: Facts, kept: list[Clip]) -> None:
    writer.add_text(FACTS, write_json(facts))
    writer.add_text(INDEX, write_json(Index(clips=tuple(map(contents.indexed, kept)))))
    for file in [*(dock.folder.path / name for name in FILES), *_keyslots(dock)]:
        try:
            content = file.read_bytes()
        except FileNotFoundError as error:
            raise NotSetUpError(file) from error
        writer.add_text(f"{DOCK}{file.relative_to(dock.folder.path).as_posix()}", content)


def _keyslots(dock: Dock) -> list[Path]:
    return sorted(dock.folder.path.glob(f"{KEYSLOTS}*.age"))


def _add_clips(writer: BagWriter, connection: Connection, dock: Dock, wanted: Iterable[Clip]) -> Iterator[str]:
    """Add the files of every clip that is as it was taken in, and yield a sentence for each other one."""
    for clip in wanted:
        wrong = _add_clip(writer, connection, dock, clip)
        # Retention may have been at it meanwhile.
        if wrong and not _is_gone(dock.catalogue, clip):
            yield f"Clip {clip.clip_id} was not copied: {wrong}."


def _add_clip(writer: BagWriter, connection: Connection, dock: Dock, clip: Clip) -> str | None:
    """Add a clip's three files, or say why not; they are open before they are looked at, and so outlive a deletion."""
    with ExitStack() as opened:
        try:
            files = {
                suffix: opened.enter_context((dock.folder.vault / f"{clip.vault_key}{suffix}").open("rb"))
                for suffix in (SEALED, MANIFEST, SIGNATURE)
            }
        except OSError as error:
            return f"one of its files cannot be read ({error.strerror})"
        wrong = next(audit.disagreements(connection, dock.vault, clip), None) or audit.content_disagrees(
            dock.vault, clip
        )
        if wrong:
            return wrong
        digests = {suffix: writer.add(f"{VAULT}{clip.vault_key}{suffix}", file) for suffix, file in files.items()}
    if (digests[SEALED], digests[MANIFEST]) != (clip.ciphertext_sha256, clip.manifest_sha256):
        raise VaultError(f"clip {clip.clip_id} was read twice and was not the same")
    return None


def _is_gone(catalogue: Catalogue, clip: Clip) -> bool:
    with catalogue.reading() as connection:
        now = clips.find(connection, clip.clip_id)
        return now is None or now.deleted_at is not None or deletions.find(connection, clip.clip_id) is not None
