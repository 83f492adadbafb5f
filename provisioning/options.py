"""Options that mean the same in several commands of `mirrorcam-provision`."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

AuthorityOption = Annotated[Path, typer.Option("--authority", metavar="DIR", help="The authority's folder.")]
ImageArgument = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="What 'make image' made: .img, .img.xz or .img.zst.")
]
PublisherOption = Annotated[
    Path | None,
    typer.Option(
        "--publisher", metavar="FILE.crt", help="Whose signature the image must have; else the authority's, if any."
    ),
]


def dock_url(text: str | None) -> str | None:
    """Refuse what is no address of a dock (for typer's callbacks); none at all passes."""
    if text is None:
        return None
    try:
        url = urlsplit(text)
        is_good = (url.scheme, url.path) == ("https", "") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port beyond 65535, or brackets that do not close
        is_good = False
    if not is_good or not re.fullmatch(r"https://[A-Za-z0-9.:\[\]-]+", text):
        raise typer.BadParameter("give its address alone, as in https://dock.example:8444")
    return text
