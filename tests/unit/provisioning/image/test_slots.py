"""A slot's root has of a tree what a unit needs, and of the rest the empty folders."""

from pathlib import Path

from provisioning.image.profiles import load_profile
from provisioning.image.slots import write_root
from tests.cards import run


def test_what_building_leaves_behind_is_not_in_a_root(tmp_path: Path) -> None:
    kept = ("etc/hostname", "usr/bin/program", "usr/lib/boot/kept", "var/lib/dpkg/status", ".hidden")
    left = (
        "boot/vmlinuz",
        "boot/.hidden",
        "var/cache/apt/one.deb",
        "tmp/.X11-unix/one",
        "etc/resolv.conf",
        "usr/lib/raspi-firmware/one.elf",
        "usr/lib/firmware/brcm/brcmfmac43456-sdio.bin",
    )
    for name in (*kept, *left):
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    write_root(load_profile("debian", {}), tmp_path / "tree", tmp_path / "root.squashfs")
    run("unsquashfs", "-quiet", "-no-progress", "-dest", str(tmp_path / "root"), str(tmp_path / "root.squashfs"))
    there = {str(place.relative_to(tmp_path / "root")) for place in (tmp_path / "root").rglob("*") if place.is_file()}
    assert there == set(kept)
    assert [(tmp_path / "root" / name).is_dir() for name in ("boot", "var/cache", "tmp")] == [True, True, True]
    assert list((tmp_path / "root/boot").iterdir()) == []
