"""`python -m provisioning.image`: what `make image`, `make image-layers` and the layers themselves call."""

import os
import sys
from pathlib import Path

import typer

from evidence.commandline import run
from provisioning.image.as_root import go_on_as_root
from provisioning.image.build import build_image
from provisioning.image.layers import write_layers, write_parts
from provisioning.image.profiles import load_profile


def main() -> None:
    """Build the image of a profile; or write its layers; or, for a layer, the partitions of rpi-image-gen's root."""
    os.umask(0o022)  # what is in a root is for all of its users, whoever builds it
    match sys.argv[1:]:
        case ["layers", profile, folder]:
            layers = write_layers(load_profile(profile, os.environ), Path(folder))
            typer.echo(f"rpi-image-gen build -S {layers.absolute()} -c mirrorcam.yaml")
        case ["parts", profile, tree, folder, name]:
            write_parts(load_profile(profile, os.environ), Path(tree), Path(folder), name)
        case arguments:
            profile, folder = arguments
            _build(profile, Path(folder))


def _build(profile: str, folder: Path) -> None:
    go_on_as_root()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mirrorcam/image"
    built = build_image(load_profile(profile, os.environ), folder, cache, typer.echo)
    typer.echo(f"{built.image}\n  SHA-256     {built.sha256}\n  components  {built.components}")


run(main, "make image")
