"""What is built of one checkout is the same everywhere: whoever builds, under whatever umask, in whatever time zone."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import tzset

import pytest

from provisioning.image import partitions
from provisioning.image.alike import make_alike, put
from provisioning.image.initramfs import write_initramfs
from provisioning.image.partitions import write_card, write_data
from provisioning.image.profiles import RECIPE, Profile, load_profile
from provisioning.image.slots import write_fat, write_root
from tests.cards import run

PROFILE = load_profile("debian", {})
OTHERS = ((0o077, 0o700, "Pacific/Auckland"), (0o002, 0o775, "America/St_Johns"))


@contextmanager
def somebody(monkeypatch: pytest.MonkeyPatch, umask: int, zone: str) -> Iterator[None]:
    before = os.umask(umask)
    monkeypatch.setenv("TZ", zone)
    tzset()
    try:
        yield
    finally:
        os.umask(before)
        monkeypatch.undo()
        tzset()


def checkout(folder: Path, mode: int) -> Path:
    """A checkout's files, under whatever umask it was made."""
    for name in ("etc/one.conf", "etc/two.d/two.conf", "usr/program"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        file.chmod(mode if name == "usr/program" else mode & ~0o111)
    for place in (folder, *folder.rglob("*")):
        if place.is_dir():
            place.chmod(mode)
    return folder


def state(folder: Path) -> list[tuple[str, int, int]]:
    places = [folder, *sorted(folder.rglob("*"))]
    return [(str(p.relative_to(folder)), p.lstat().st_mode, p.lstat().st_mtime_ns) for p in places]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(("umask", "mode", "zone"), OTHERS)
def test_our_files_are_as_open_and_as_old_from_whatever_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int, zone: str
) -> None:
    (tmp_path / "here").mkdir(mode=0o755)
    put(checkout(tmp_path / "first", 0o755), tmp_path / "here")
    make_alike(tmp_path / "here", PROFILE.epoch)
    with somebody(monkeypatch, umask, zone):
        put(checkout(tmp_path / "second", mode), tmp_path / "there")
        make_alike(tmp_path / "there", PROFILE.epoch)
    assert state(tmp_path / "here") == state(tmp_path / "there")
    assert [oct(mode & 0o777) for _, mode, _ in state(tmp_path / "there")] == [
        *("0o755", "0o755", "0o644", "0o755", "0o644"),
        *("0o755", "0o755"),
    ]


def test_a_folder_of_the_root_keeps_its_own_mode(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "etc").mkdir()
    tree.chmod(0o755)
    (tree / "etc").chmod(0o750)
    put(checkout(tmp_path / "checkout", 0o700), tree)
    assert [oct(place.stat().st_mode & 0o777) for place in (tree, tree / "etc")] == ["0o755", "0o750"]


def parts(folder: Path, profile: Profile = PROFILE) -> Path:
    """A card's partitions, small ones."""
    (folder / "parts").mkdir(parents=True)
    make_alike(checkout(folder / "tree", 0o755), profile.epoch)
    write_root(profile, folder / "tree", folder / "parts/root.squashfs")
    for name, bits in (("firmware", 16), ("boot", 16)):
        write_fat(
            folder / "tree", folder / f"parts/{name}.vfat", label="X", mebibytes=8, bits=bits, epoch=profile.epoch
        )
    write_data(profile, folder / "parts/data.ext4")
    return folder / "parts"


@pytest.mark.parametrize(("umask", "mode", "zone"), OTHERS)
def test_a_card_is_the_same_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int, zone: str
) -> None:
    monkeypatch.setattr(partitions, "ROOT_MIB", 2)
    first = write_card("card", parts(tmp_path / "first"), tmp_path / "first")
    before = digest(first)
    with somebody(monkeypatch, umask, zone):
        monkeypatch.setattr(partitions, "ROOT_MIB", 2)
        second = write_card("card", parts(tmp_path / "elsewhere/second"), tmp_path / "elsewhere/second")
        for part in sorted((tmp_path / "first/parts").iterdir()):
            assert digest(part) == digest(tmp_path / "elsewhere/second/parts" / part.name), part.name
    assert digest(second) == before


def test_an_initial_ram_disk_is_the_same_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    modules = tree / "usr/lib/modules/6.12"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("")
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/busybox").write_bytes(b"busybox")
    (tree / "usr/bin/busybox").chmod(0o755)
    init = (RECIPE / "init").read_text(encoding="utf-8")
    write_initramfs(tree, tmp_path / "first", init=init, modules=(), epoch=PROFILE.epoch)
    with somebody(monkeypatch, 0o077, "Pacific/Auckland"):
        write_initramfs(tree, tmp_path / "second", init=init, modules=(), epoch=PROFILE.epoch)
    assert digest(tmp_path / "first") == digest(tmp_path / "second")


def test_the_data_partition_alone_grows_to_the_end_of_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "ROOT_MIB", 2)
    card = write_card("card", parts(tmp_path), tmp_path)
    before = table(card)
    os.truncate(card, 256 << 20)
    run("systemd-repart", "--dry-run=no", f"--definitions={RECIPE / 'overlay/usr/lib/repart.d'}", str(card))
    after = table(card)
    assert after[:-1] == before[:-1]
    assert after[-1][:2] == before[-1][:2]
    assert after[-1][2] > (200 << 20) // 512


def table(card: Path) -> list[tuple[str, int, int]]:
    """Each partition's name, first sector, and number of sectors."""
    listed = json.loads(run("sfdisk", "--json", str(card)))["partitiontable"]["partitions"]
    return [(each["name"], each["start"], each["size"]) for each in listed]
