"""`python -m provisioning.image PROFILE`: builds an image under build/image, as `make image` does."""

import os
import sys
from pathlib import Path

import typer

from evidence.commandline import run
from provisioning.image.build import build_image
from provisioning.image.profiles import load_profile


def main() -> None:
    """Build the image of the profile that is named, into the folder that is named."""
    name, folder = sys.argv[1:3]
    os.umask(0o022)  # what is in a root is for all of its users, whoever builds it
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mirrorcam/image"
    built = build_image(load_profile(name, os.environ), Path(folder), cache, typer.echo)
    typer.echo(f"{built.image}\n  SHA-256     {built.sha256}\n  components  {built.components}")


run(main, "make image")
