"""The commands `gadget` and `cable` of mirrorcam-unit: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.settings import UnitFolder
from appliance.usb.cable import INTERFACE, SOCKET, be_the_cable
from appliance.usb.cable_journal import CableJournal
from appliance.usb.gadget import Gadget
from evidence.commandline import group

usb_app = group("""Be a unit's end of the dock's cable.""")
gadget_app = group("""Be a USB network card at the end of the dock's cable, and nothing else (as root).""")
usb_app.add_typer(gadget_app, name="gadget")

FolderOption = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help="The unit's folder, as enrolment has set it up.")
]
ControllerOption = Annotated[
    str | None, typer.Option("--udc", metavar="NAME", help="The USB device controller, where there are several.")
]


@gadget_app.command("up")
def gadget_up(folder: FolderOption, udc: ControllerOption = None) -> None:
    """Make the card, whose serial number is the unit's id; where it is there already nothing is touched.

    A unit that is still to be enrolled calls itself `new-` and twelve digits of its own.

    Of the unit's folder it reads the settings only.
    """
    Gadget(UnitFolder(folder).name_on_cable(), controller=udc).up()


@gadget_app.command("down")
def gadget_down(folder: FolderOption, udc: ControllerOption = None) -> None:
    """Take the card away, whatever has become of it."""
    Gadget(UnitFolder(folder).name_on_cable(), controller=udc).down()


@usb_app.command()
def cable(
    folder: FolderOption,
    interface: Annotated[str, typer.Option(metavar="NAME", help="The network card at the cable.")] = INTERFACE,
    socket: Annotated[
        Path, typer.Option(metavar="PATH", help="The socket at which the unit's programs call.")
    ] = SOCKET,
) -> None:
    """Forward from a socket to the dock over the cable, and cut all connections when the cable goes.

    It is the only program of the unit that needs a network, and it needs no key: of the unit's folder it reads the
    settings only. What happens is written to standard output, as by `mirrorcam-unit run`. SIGTERM ends it.
    """
    be_the_cable(UnitFolder(folder), interface, socket, CableJournal())
