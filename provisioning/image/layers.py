"""A unit's image as layers of rpi-image-gen: of the same packages, files and partitions as `make image`."""

import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from provisioning.image.alike import make_alike, put
from provisioning.image.bootstrap import FETCH_KERNEL, LEFT_OUT
from provisioning.image.partitions import card_config, write_data
from provisioning.image.profiles import RECIPE, Profile
from provisioning.image.python_packages import SITE, install_checkout, install_locked
from provisioning.image.slots import write_boot, write_firmware, write_root
from provisioning.image.tree import RADIOS, clamp_times, put_our_files

_FILES = "files"  # not below layer/ as others' are: rpi-image-gen takes every YAML file in there for a layer


def write_layers(profile: Profile, folder: Path) -> Path:
    """Write what `rpi-image-gen build -S` takes into a folder of its own in `folder`, and return that one.

    It appears whole or not at all, and takes the place of an older one. Raises NotAReleaseError or ProgramFailedError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"rpi-image-gen-{profile.name}"
    with TemporaryDirectory(prefix=".unfinished-", dir=folder) as name:
        work = Path(name) / done.name
        write_texts(profile, work)
        write_files(profile, work / _FILES)
        make_alike(work, profile.epoch)
        if done.exists():
            shutil.rmtree(done)
        work.rename(done)
    return done


def write_texts(profile: Profile, folder: Path) -> None:
    """Write the layers, their configuration and their hooks, filled with what the profile says, into a new folder."""
    put(RECIPE / "rpi-image-gen", folder)
    facts = _facts(profile)
    for file in (*folder.rglob("*.yaml"), *folder.rglob("*.sh")):
        text = file.read_text(encoding="utf-8")
        for key, value in facts.items():
            text = text.replace(f"@{key}@", value)
        file.write_text(text, encoding="utf-8")


def write_files(profile: Profile, folder: Path) -> None:
    """Write what is laid over the packages into a new folder: this checkout, its locked packages, files and services.

    Raises NotAReleaseError or ProgramFailedError.
    """
    folder.mkdir(parents=True)
    install_locked(folder, "arm64", RECIPE / "requirements.lock")
    install_checkout(folder)
    put_our_files(profile, folder)


def write_parts(profile: Profile, tree: Path, folder: Path, name: str) -> None:
    """Write the partitions of a card made of `tree`, and what genimage makes `name`.img of them by, into `folder`.

    Raises ProgramFailedError.
    """
    clamp_times(tree, profile.epoch)
    write_root(profile, tree, folder / "root.squashfs")
    write_boot(profile, tree, folder / "boot.vfat")
    write_firmware(profile, tree, folder / "firmware.vfat")
    write_data(profile, folder / "data.ext4")
    # By "genimage.cfg" rpi-image-gen would describe the card to Raspberry Pi's provisioner, which knows no squashfs.
    (folder / "genimage.mirrorcam.cfg").write_text(card_config(name), encoding="utf-8")


def _facts(profile: Profile) -> Mapping[str, str]:
    packages = profile.packages
    places = (*LEFT_OUT, *packages.left_out)
    return {
        "NAME": f"mirrorcam-{profile.name}-{version('mirrorcam')}",
        "PROFILE": profile.name,
        "PYTHON": shlex.quote(sys.executable),
        "SNAPSHOT": profile.snapshot,
        "EPOCH": str(profile.epoch),
        "SUITE": packages.suite,
        # rpi-image-gen has each archive's key beside it, and tells apt so.
        "MIRRORS": _items(line for archive in profile.archives for line in archive.lines(signed_by=False)),
        "PACKAGES": _items(packages.names),
        "LEFT_OUT": _items(f"path-exclude={place}" for place in places),
        "PREFERENCES": packages.preferences.strip().replace("\n", "\n" + 6 * " "),
        "FETCH_KERNEL": FETCH_KERNEL.format(kernel=packages.kernels["arm64"]),
        "RADIOS": " ".join(RADIOS),
        "SITE": f"/{SITE}",
    }


def _items(values: Iterable[str]) -> str:
    """Return a list of YAML, as an entry of "mmdebstrap" has it."""
    return "\n    ".join(f"- {value.strip()}" for value in values)
