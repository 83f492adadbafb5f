"""`mirrorcam-dock clips` and `custody`: what is kept, and what was done to it."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.table import Table

from dock_station import audit, custody, decisions, kept_head
from dock_station.catalogue import clips, deletions, entries, holds
from dock_station.catalogue.clips import Clip, ListedClip, Wanted
from dock_station.catalogue.entries import Entry
from dock_station.commands.common import (
    FolderOption,
    ReasonOption,
    actor,
    console,
    followed,
    moment,
    one_line,
    opened,
    print_rows,
    say,
    size,
)
from dock_station.dock import Dock
from evidence.certificates import Authority, load_certificate
from evidence.commandline import examples, group
from evidence.errors import NotGenuineError

clips_app = group("The clips that this dock keeps, and the records of those it has deleted.")
custody_app = group("The custody log: everything that anyone did to a clip, each entry chained to the one before.")


class ClipsDifferError(NotGenuineError):
    """Files in the vault are not those that the catalogue knows."""

    def __init__(self, bad: int, looked_at: int) -> None:
        super().__init__(
            f"{bad} of {looked_at} clips are not what was taken in; keep the vault as it is and call the auditor."
        )


@clips_app.command("list")
def _list_clips(
    folder: FolderOption,
    unit_id: Annotated[str | None, typer.Option("--unit", metavar="UNIT", help="Of this unit only.")] = None,
    wearer: Annotated[str | None, typer.Option("--wearer", metavar="PSEUDONYM", help="Of this wearer only.")] = None,
    held: Annotated[bool, typer.Option("--held", help="Only those that are held.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="The records of deleted ones instead.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 100,
) -> None:
    """List the clips, the newest first."""
    wanted = Wanted(unit_id=unit_id, wearer=wearer, held=True if held else None, deleted=deleted)
    with opened(folder) as dock, dock.catalogue.reading() as connection:
        found, count = clips.listed(connection, wanted, limit=limit), clips.count(connection, wanted)
    headings = ("Clip", "Unit", "Wearer", "Began (UTC)", "Size", "Went (UTC)" if deleted else "Goes (UTC)")
    rows = [_row(each, deleted=deleted) for each in found]
    if rows:
        print_rows(headings, rows)
    else:
        say("There is no such clip.")
    if count > len(found):
        say(f"{count - len(found)} older ones are not shown; --limit shows more.")


def _row(each: ListedClip, *, deleted: bool) -> tuple[str, ...]:
    clip = each.clip
    goes = "held" if each.held and not deleted else moment(clip.deleted_at or clip.due_at)
    return clip.clip_id, clip.unit_id, clip.wearer, moment(clip.started_at), size(clip.ciphertext_bytes), goes


@clips_app.command("show")
def _show_clip(
    clip_id: Annotated[str, typer.Argument(metavar="ID", help="The clip, as 'clips list' shows it.")],
    folder: FolderOption,
) -> None:
    """Show all that is known of one clip: what its manifest states, its holds, its end, and who did what to it."""
    with opened(folder) as dock, dock.catalogue.reading() as connection:
        clip = clips.find(connection, clip_id)
        if clip is None:
            raise decisions.ClipUnknownError(clip_id)
        its_holds, deletion = holds.of_clip(connection, clip_id), deletions.find(connection, clip_id)
        trail = entries.of_subject(connection, f"clip:{clip_id}")
    console().print(_facts(clip, deletion))
    for hold in its_holds:
        state = f"released {moment(hold.released_at)} by {hold.released_by}" if hold.released_at else "in force"
        say(f"Hold {hold.hold_id}, {state}: case {hold.case_number}, review on {hold.review_on}; set by {hold.set_by}")
    say("Custody:")
    for entry in trail:
        say(_line(entry))


@clips_app.command(
    "hold",
    epilog=examples(
        "mirrorcam-dock clips hold 019344a0-1111-7abc-8def-0123456789ab --case 2026/17 --reason evidence "
        "--review 2027-03-01 --folder dock"
    ),
)
def _hold_clip(
    clip_id: Annotated[str, typer.Argument(metavar="ID", help="The clip, as 'clips list' shows it.")],
    folder: FolderOption,
    case_number: Annotated[str, typer.Option("--case", metavar="NUMBER", callback=one_line, help="The case's number.")],
    reason: ReasonOption,
    review: Annotated[
        datetime, typer.Option("--review", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="When to look at it again.")
    ],
) -> None:
    """Keep a clip from deletion: it stays until the hold is released, whatever the policy says."""
    today = datetime.now(UTC).date()
    review_on: date = review.date()
    if not today < review_on <= today + decisions.LONGEST_REVIEW:
        raise typer.BadParameter("choose a day after today and within ten years", param_hint="--review")
    if len(case_number) > decisions.LONGEST_CASE_NUMBER:
        raise typer.BadParameter(f"{decisions.LONGEST_CASE_NUMBER} characters at most", param_hint="--case")
    with opened(folder) as dock:
        hold_id = decisions.hold(
            dock, clip_id, actor=actor(), case_number=case_number, reason=reason, review_on=review_on
        )
    say(f"Clip {clip_id} is held (hold {hold_id}), to be looked at again on {review_on}.")


@clips_app.command("verify")
def _verify_clips(folder: FolderOption) -> None:
    """Read every clip in the vault again and compare it with what was taken in; exit code 3 if one differs.

    It reads the whole vault: count on about a minute for each 10 GB. It needs no passphrase and opens no clip.
    """
    bad = 0
    with opened(folder) as dock:
        with dock.catalogue.reading() as connection:
            kept = sorted(clips.kept(connection), key=lambda clip: clip.clip_id)
        for clip in followed(kept, len(kept), "Reading the clips again"):
            wrong = _what_is_wrong(dock, clip)
            bad += bool(wrong)
            for sentence in wrong:
                say(f"{clip.clip_id}  {sentence}")
    if bad:
        raise ClipsDifferError(bad, len(kept))
    say(f"All {len(kept)} clips are what was taken in, byte for byte.")


@custody_app.command("verify")
def _verify_custody(folder: FolderOption) -> None:
    """Check the whole custody log: every hash and every signature; exit code 3 names the first bad entry.

    The head that it prints is the log's fingerprint at this moment: whoever noted an earlier head can see by
    `custody show` that its entry still stands, unchanged.
    """
    newest: Entry | None = None
    with opened(folder) as dock, dock.catalogue.reading() as connection:
        authority = Authority(load_certificate(dock.folder.authority_file))
        checked = custody.checked(connection, authority, dock.settings.dock_id)
        for entry in followed(checked, entries.count(connection), "Checking the custody log"):
            newest = entry
        kept_head.require(dock.folder.custody_head_file, connection)
    if newest is None:
        say("The custody log is empty.")
    else:
        say(f"All {newest.number} entries are good. Head: {newest.number} {newest.sha256}")


@custody_app.command(
    "show",
    epilog=examples(
        "mirrorcam-dock custody show --folder dock",
        "mirrorcam-dock custody show --clip 019344a0-1111-7abc-8def-0123456789ab --folder dock",
    ),
)
def _show_custody(
    folder: FolderOption,
    clip_id: Annotated[
        str | None, typer.Option("--clip", metavar="ID", help="Only what was done to this clip.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 50,
) -> None:
    """Show the newest entries, oldest of them first: number, moment, who, what, to what, details, hash."""
    with opened(folder) as dock, dock.catalogue.reading() as connection:
        if clip_id:
            found = entries.of_subject(connection, f"clip:{clip_id}")[-limit:]
        else:
            found = entries.latest(connection, limit=limit)[::-1]
    for entry in found:
        say(f"{_line(entry)}  {entry.sha256}")
    if not found:
        say("The custody log has no such entry.")


def _what_is_wrong(dock: Dock, clip: Clip) -> list[str]:
    content = audit.content_disagrees(dock.vault, clip)
    with dock.catalogue.reading() as connection:
        wrong = [*audit.disagreements(connection, dock.vault, clip), *([content] if content else [])]
        now = clips.find(connection, clip.clip_id)
        going = deletions.find(connection, clip.clip_id)
    # Retention may have been at it meanwhile.
    return [] if going or now is None or now.deleted_at else list(dict.fromkeys(wrong))


def _line(entry: Entry) -> str:
    details = "" if entry.details == "{}" else f"  {entry.details}"
    return f"{entry.number:>6}  {moment(entry.at)}  {entry.actor}  {entry.action}  {entry.subject}{details}"


def _facts(clip: Clip, deletion: deletions.Deletion | None) -> Table:
    table = Table(show_header=False, box=None)
    length = "unknown (cut)" if clip.duration_seconds is None else f"{clip.duration_seconds:.1f} s"
    rows = {
        "Clip": clip.clip_id,
        "Unit": f"{clip.unit_id}, number {clip.sequence}",
        "Wearer": clip.wearer,
        "Began": f"{moment(clip.started_at)} UTC",
        "Length": f"{length}, of it {clip.pre_record_seconds:.1f} s before the touch",
        "Ended by": clip.ended_by + ("" if clip.complete else "; its end is missing"),
        "Sound": "yes" if clip.has_audio else "no",
        "Size": size(clip.ciphertext_bytes),
        "SHA-256": clip.ciphertext_sha256,
        "Manifest": clip.manifest_sha256,
        "Policy": clip.policy_id,
        "Received": f"{moment(clip.received_at)} UTC",
        "Goes": f"{moment(clip.due_at)} UTC, unless it is held",
    }
    if deletion:
        rows["Goes"] = f"deletion begun {moment(deletion.intended_at)} UTC ({deletion.cause})"
    if clip.deleted_at:
        rows["Goes"] = f"deleted {moment(clip.deleted_at)} UTC"
    for name, value in rows.items():
        table.add_row(name, value)
    return table
