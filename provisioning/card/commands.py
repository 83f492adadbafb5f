"""The commands `mirrorcam-provision card` and `image`: parse, call, print."""

import re
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evidence.commandline import examples, group
from provisioning.authority import AuthorityFolder
from provisioning.card import devices
from provisioning.card.choosing import Choice
from provisioning.card.data_partition import PreparedImage, prepare
from provisioning.card.devices import Node
from provisioning.card.image import check_image
from provisioning.card.public_side import PublicSide, check_publisher, read_public_side
from provisioning.card.repeating import Series
from provisioning.card.signing import sign_image
from provisioning.card.writing import write_card
from provisioning.dock import BAYS_ADDRESS
from provisioning.issuing import town_of
from provisioning.options import AuthorityOption, ImageArgument, PublisherOption, dock_url
from provisioning.printing import progress_bars, say, say_image_is_whole

# What appliance.settings takes as a screen.
_WIDEST, _HIGHEST = 1920, 1200
_NARROWEST, _LOWEST = 160, 120

# What it takes as a microphone; of pulse an image has none.
_MICROPHONE = r"alsa:[A-Za-z0-9_:,.=-]{1,100}"

# Where every dock's enrolment is, unless its dock.toml names another port.
ENROLMENT_URL = f"https://[{BAYS_ADDRESS}]:8445"

card_app = group("The cards that units start from.")
image_app = group("The images that cards are written from.")


def _screen(text: str | None) -> str | None:
    if text is not None:
        sides = re.fullmatch(r"([0-9]{3,4})x([0-9]{3,4})", text)
        fits = sides and _NARROWEST <= int(sides[1]) <= _WIDEST and _LOWEST <= int(sides[2]) <= _HIGHEST
        if not fits:
            raise typer.BadParameter(
                f"give width and height in pixels, as in 800x480, at least {_NARROWEST}x{_LOWEST} and at most "
                f"{_WIDEST}x{_HIGHEST}"
            )
    return text


def _microphone(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(_MICROPHONE, text):
        raise typer.BadParameter("give alsa:DEVICE, as in alsa:default or alsa:plughw:1,0, as 'arecord -L' names it")
    return text


@card_app.command(
    "write",
    epilog=examples(
        "sudo mirrorcam-provision card write mirrorcam-raspios-0.1.0.img --authority town",
        "sudo mirrorcam-provision card write mirrorcam-raspios-0.1.0.img.xz --authority town "
        "--device /dev/sdb --confirm sdb",
    ),
)
def _card_write(
    image: ImageArgument,
    authority: AuthorityOption,
    url: Annotated[
        str, typer.Option("--dock-url", callback=dock_url, help="Where the unit asks the dock to be enrolled.")
    ] = ENROLMENT_URL,
    screen: Annotated[
        str | None, typer.Option(callback=_screen, metavar="WxH", help="The unit's screen, as in 800x480.")
    ] = None,
    microphone: Annotated[
        str | None,
        typer.Option(callback=_microphone, metavar="WHICH", help="The unit's microphone, as in alsa:default."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="The card, as in /dev/sdb; else you are asked.")
    ] = None,
    confirm: Annotated[
        str | None, typer.Option(metavar="NAME", help="The card's name once more, as in sdb, for scripts.")
    ] = None,
    publisher: PublisherOption = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Write each card that is put into this reader, until Ctrl-C.")
    ] = False,
) -> None:
    """Put an image and the authority's public side on a card, and read it all back.

    Everything that was on the card is lost. A disk that is mounted, or that holds this computer's system, is never
    written. The partition table is written last, when everything else was read back and found equal: a card that was
    pulled, or that is worn out or fake, starts nowhere.

    With `--repeat` the name is asked once, and holds for every card that is put into the same reader afterwards; a disk
    that comes up under that name when the reader was unplugged is not written.
    """
    if confirm is not None and device is None:
        raise typer.BadParameter("give --device too: the name is typed twice", param_hint="--confirm")
    public_side = read_public_side(authority, url, _sides(screen), datetime.now(UTC), microphone=microphone)
    choice = Choice(device, confirm)
    disk = choice.disk()
    is_signed = check_publisher(image, publisher, AuthorityFolder(authority))
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(image, public_side, Path(folder), disk)
        say_image_is_whole(is_signed=is_signed)
        choice.confirmed(disk)
        label = image.name.partition(".img")[0]
        if repeat:
            _series(disk).run(partial(_write, prepared), label)
            return
        _write(prepared, disk)
    say(
        f"{disk.path} is ready for units of {public_side.town}: {prepared.size} bytes were written and read back. "
        f"Take it out, and label it {label}."
    )


@image_app.command(
    "sign", epilog=examples("mirrorcam-provision image sign mirrorcam-debian-0.1.0.img --authority town")
)
def _image_sign(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="What 'make image' made, with its .sha256 beside it.")],
    authority: AuthorityOption,
) -> None:
    """Sign an image that has the digest beside it, so that it can be given away and `card write` knows it again.

    What is signed is the `.sha256` file, by the key that signs policies; the signature is put beside it.
    """
    folder = AuthorityFolder(authority)
    town = town_of(folder.certificate())
    with progress_bars() as progress:
        signature = sign_image(image, folder, datetime.now(UTC), progress)
    say(f"{signature} is the signature of the policy signer of {town}: give it away with the image and its .sha256.")


def _write(prepared: PreparedImage, disk: Node) -> None:
    with progress_bars() as progress:
        write_card(prepared, Path(disk.path), progress)


def _series(disk: Node) -> Series:
    return Series(disk, devices.disks, time.sleep, say, _complain)


def _prepared(path: Path, public_side: PublicSide, folder: Path, disk: Node) -> PreparedImage:
    with progress_bars() as progress:
        image = check_image(path, progress)
    devices.check_fits(disk, image.size)
    return prepare(image, public_side, folder)


def _sides(screen: str | None) -> tuple[int, int] | None:
    if screen is None:
        return None
    width, _, height = screen.partition("x")
    return int(width), int(height)


def _complain(sentence: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(sentence, style="red", markup=False)
