"""The command `mirrorcam-provision bundle`: parse, call, print."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dock_station.settings import DockFolder
from evidence.commandline import examples, group
from evidence.release import NotAReleaseError, Release
from provisioning.authority import AuthorityFolder
from provisioning.bundles.making import make_bundle
from provisioning.bundles.publishing import publish_bundle, withdraw_bundle
from provisioning.bundles.revoking import revoke_release, withdraw_release
from provisioning.card.image import check_image
from provisioning.card.public_side import check_publisher
from provisioning.dock import check_own_dock, update_dock
from provisioning.options import AuthorityOption, ImageArgument, PublisherOption
from provisioning.printing import print_steps, progress_bars, say, say_image_is_whole

bundle_app = group("Updates: a bundle of an image, signed by the authority, which docks hand on to their units.")


def _release(text: str) -> Release:
    try:
        return Release.parse(text)
    except NotAReleaseError as error:
        raise typer.BadParameter("name a release as a unit's image does, as in 0.1.0+20261120T000000Z") from error


IntoDocks = Annotated[
    list[Path], typer.Option("--into", metavar="DOCKDIR", help="The dock's folder; may be given repeatedly.")
]


@bundle_app.command(
    "make",
    epilog=examples(
        "mirrorcam-provision bundle make mirrorcam-debian-0.1.0.img --authority town",
        "mirrorcam-provision bundle make mirrorcam-debian-0.1.0.img.zst --authority town --into bundles",
    ),
)
def _bundle_make(
    image: ImageArgument,
    authority: AuthorityOption,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="FOLDER", help="Where the bundle is to be; else beside the image.")
    ] = None,
    publisher: PublisherOption = None,
) -> None:
    """Make a bundle of an image: one slot of it, signed by a signer that the authority certifies for this bundle alone.

    The image's digest is checked, and its signature where it has one. The signer's key is in memory only, as long as
    the bundle is being made; the authority's key stays where it is.
    """
    folder = AuthorityFolder(authority)
    folder.issuer()  # before work that takes long
    is_signed = check_publisher(image, publisher, folder)
    with progress_bars() as progress:
        checked = check_image(image, progress)
    say_image_is_whole(is_signed=is_signed)
    print_steps(make_bundle(checked, folder, into or image.parent, _now()))


@bundle_app.command(
    "publish",
    epilog=examples(
        "mirrorcam-provision bundle publish mirrorcam-debian-0.1.0+20261120T000000Z.raucb --authority town --into dock"
    ),
)
def _bundle_publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What 'bundle make' made.")],
    authority: AuthorityOption,
    into: IntoDocks,
) -> None:
    """Offer a bundle to the units of a dock; they take it when they have handed their clips over.

    Its signature and every bit of it are checked. Of the authority no more than `authority.crt` is needed, so on a
    dock itself `--authority` may name the dock's folder.
    """
    folder = AuthorityFolder(authority)
    for dock in into:
        check_own_dock(DockFolder(dock), folder)
    for dock in into:
        print_steps(publish_bundle(bundle, folder, DockFolder(dock), _now()))


@bundle_app.command("withdraw", epilog=examples("mirrorcam-provision bundle withdraw --into dock"))
def _bundle_withdraw(into: IntoDocks) -> None:
    """End a dock's offer. Units that have the bundle already go on with it."""
    for dock in into:
        was_offered = withdraw_bundle(DockFolder(dock))
        say(f"The dock in {dock} offers no bundle{' any more' if was_offered else '; it offered none before'}.")


@bundle_app.command(
    "revoke",
    epilog=examples(
        "mirrorcam-provision bundle revoke 0.1.0+20261120T000000Z --authority town --into dock",
    ),
)
def _bundle_revoke(
    release: Annotated[
        Release, typer.Argument(metavar="RELEASE", parser=_release, help="As in 0.1.0+20261120T000000Z.")
    ],
    authority: AuthorityOption,
    into: IntoDocks,
) -> None:
    """Take the trust in a release away, for good: a bundle of it should never have been signed, say.

    No dock takes or offers a bundle of it any more. Units that run it, or have fetched it, need a later release.
    """
    folder = AuthorityFolder(authority)
    docks = [DockFolder(dock) for dock in into]
    for dock in docks:
        check_own_dock(dock, folder)
    setup = revoke_release(folder, release, _now())
    for dock in docks:
        setup.steps += update_dock(dock, folder, _now()).steps
    print_steps(setup)
    for dock in docks:
        if withdraw_release(dock, release):
            say(f"The dock in {dock.path} offers no bundle any more.")


def _now() -> datetime:
    return datetime.now(UTC)
