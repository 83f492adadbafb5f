"""The command `mirrorcam-clip`: parse, call, print."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from evidence import commandline, unsealing
from evidence.clip_files import ClipFiles
from evidence.commandline import examples, group, secret
from evidence.inspection import Layout
from evidence.inspection import inspect as inspect_clip
from evidence.manifest import Manifest
from evidence.memory import forbid_core_dumps
from evidence.verification import Trust, check_clip

_STANDARD = Path("-")


app = group("""Look at a clip, verify it, open it.

A clip is three files of one name: the sealed recording (`.mp4.age`), the manifest (`.json`) that says what it is, and
the unit's signature over the manifest (`.json.sig`). Name any of them, or the name without its ending.

    mirrorcam-clip inspect 019344a0-1111-7abc-8def-0123456789ab.json
    mirrorcam-clip verify 019344a0-1111-7abc-8def-0123456789ab --authority authority.crt --unit-certificate unit.crt
    mirrorcam-clip open 019344a0-1111-7abc-8def-0123456789ab --identity keyslots/a-example.age --output clip.mp4

Exit codes: 0 all is well; 2 wrong usage; 3 the clip is not what it should be, or its end is missing; 4 the key or the
passphrase does not fit; 5 a file is missing, or the disk refuses; 1 anything else.
""")

ClipArgument = Annotated[
    Path, typer.Argument(metavar="CLIP", help="Any file of the clip, or the name that its files share.")
]


@app.command(epilog=examples("mirrorcam-clip inspect 019344a0-1111-7abc-8def-0123456789ab.mp4.age"))
def inspect(clip: ClipArgument) -> None:
    """Say what a clip is, without any key: who recorded it, when, to how many keys it is sealed, how it ended.

    Works on the sealed file alone, and says more with the manifest beside it. Nothing of it is verified: that is what
    `mirrorcam-clip verify` does.
    """
    found = inspect_clip(ClipFiles.named(clip))
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for name, value in (*_stated(found.manifest), *_sealed(found.layout), ("Its end", found.end)):
        console.print(f"{name:<18}{value}", markup=False)
    console.print("\nThis is what the clip says of itself; whether it is true, 'mirrorcam-clip verify' finds out.")


@app.command(
    epilog=examples(
        "mirrorcam-clip verify CLIP --authority authority.crt --unit-certificate unit.crt",
        "mirrorcam-clip verify CLIP --authority town/authority.crt --previous clip-before.json --receipt receipt.json",
    )
)
def verify(
    clip: ClipArgument,
    authority: Annotated[
        Path, typer.Option(metavar="FILE.crt", help="The certificate of the authority that you trust, PEM.")
    ],
    unit_certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.crt",
            help="The unit's certificate, PEM. Else it is looked for beside the authority's: units/UNIT.crt, unit.crt.",
        ),
    ] = None,
    revocations: Annotated[
        Path | None, typer.Option(metavar="FILE.pem", help="The authority's list of revoked certificates.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="The manifest of the unit's clip before this one.")
    ] = None,
    receipt: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="The dock's signed receipt, as it answered it.")
    ] = None,
) -> None:
    """Check that a clip is what a unit of this authority recorded, and that no bit of it was changed.

    No key is needed: what is verified is the sealed file. Ends with exit code 3 and one sentence at the first thing
    that does not fit.

    A unit that was revoked later is refused with `--revocations`. Whether a clip is older than that, a receipt shows:
    verify without the list and with `--receipt`, and compare the days.
    """
    files = ClipFiles.named(clip)
    trust = Trust(authority, unit_certificate, revocations, previous, receipt)
    with _progress("Reading", files.sealed.stat().st_size) as advance:
        verified = check_clip(files, trust, advance)
    manifest = verified.manifest
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print(f"Clip {manifest.clip_id} is genuine.", style="bold")
    for finding in verified.findings:
        console.print("[green]good[/]", end=" ")
        console.print(f"{finding.what}: {finding.detail}", markup=False)
    if not manifest.complete:
        console.print(f"Its end is missing, as its unit states: {manifest.ended_by}.")
    for what in verified.not_checked:
        console.print(f"Not checked: {what}", style="dim", markup=False)


@app.command(
    "open",
    epilog=examples(
        "mirrorcam-clip open CLIP --identity key.txt --output clip.mp4",
        "mirrorcam-clip open CLIP --identity keyslots/a-example.age --output - | ffplay -",
    ),
)
def open_clip(
    clip: ClipArgument,
    identity: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="A key file of age, plain or under a passphrase, armored or not: a keyslot, say. May be repeated.",
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="FILE.mp4", help="Where to write the video; '-' is standard output.")],
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the passphrase from its first line ('-': standard input)."),
    ] = None,
) -> None:
    """Open a clip with a key, into a file that is not there yet.

    A passphrase is asked for where the key file needs one; it is never an argument, because those are seen by others.
    A clip whose end is missing is opened up to the last whole piece (64 KiB): the file is kept, and the exit code is 3.
    A piece that was changed before the end is never written.

    What is written is not sealed any more. Opening shows that nothing was changed since it was sealed, and not who
    sealed it: that is what `mirrorcam-clip verify` is for.
    """
    forbid_core_dumps()
    files = ClipFiles.named(clip)
    if output != _STANDARD:
        unsealing.require_absent(output)
    identities = [
        key for path in identity for key in unsealing.read_identities(path, partial(_passphrase, path, passphrase_file))
    ]
    with unsealing.opened(files.sealed, identities) as opened:
        opened.require_content()
        with _progress("Opening", opened.size) as advance:
            if output == _STANDARD:
                opened.copy_to(sys.stdout.buffer, advance)
                sys.stdout.buffer.flush()
            else:
                unsealing.write_new_file(output, lambda sink: opened.copy_to(sink, advance))
        opened.check_end()
    if output != _STANDARD:
        Console(highlight=False, soft_wrap=True, emoji=False).print(f"{output} has the whole clip.", markup=False)


def _passphrase(key_file: Path, file: Path | None) -> str:
    return secret(f"Passphrase of {key_file.name}", "--passphrase-file", file)


def _stated(manifest: Manifest | None) -> list[tuple[str, str]]:
    if manifest is None:
        return [("Manifest", "none beside it")]
    error = manifest.clock.estimated_error_seconds
    ended = f"{manifest.ended_at:%Y-%m-%d %H:%M:%S} UTC, " if manifest.ended_at else ""
    frames = "not known" if manifest.frames_written is None else f"{manifest.frames_written}"
    return [
        ("Clip", manifest.clip_id),
        ("Recorded by", f"unit {manifest.unit_id}, worn by {manifest.wearer}, its clip number {manifest.sequence}"),
        ("Touched", f"{manifest.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Clock", "never set by a dock" if error is None else f"estimated to be right within {error:g} s"),
        ("Before the touch", f"{manifest.pre_record_seconds:g} s"),
        ("Ended", f"{ended}by: {manifest.ended_by}"),
        ("Pictures", frames if manifest.frames_lost is None else f"{frames}, {manifest.frames_lost} lost"),
        ("Sound", "recorded" if manifest.has_audio else "none"),
        ("Marked moments", f"{len(manifest.markers)}"),
        ("Policy", f"{manifest.policy_id}, SHA-256 {manifest.policy_sha256}"),
        *(("Recipient", _shortened(recipient)) for recipient in manifest.recipients),
        ("Software", manifest.software),
    ]


def _shortened(recipient: str) -> str:
    """Return enough of a key of up to 2000 characters to compare it with another."""
    return recipient if len(recipient) < 100 else f"{recipient[:32]}…{recipient[-16:]}"


def _sealed(layout: Layout) -> list[tuple[str, str]]:
    keys = ", ".join(f"{count} of kind {kind}" for kind, count in layout.kinds.items())
    size = f"{layout.sealed_bytes} bytes: {layout.plain_bytes} bytes of video in {layout.chunks} chunks of 64 KiB"
    return [("Sealed to", f"{keys} (header of {layout.header_bytes} bytes)"), ("Sealed file", size)]


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and give what moves it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda size: progress.advance(task, size)


def main() -> NoReturn:
    """Run the command line."""
    commandline.run(app, "mirrorcam-clip")


if __name__ == "__main__":
    main()
