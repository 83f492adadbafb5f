"""The initial RAM disk has the one device that the kernel opens itself, though nobody had to be root to make it."""

from pathlib import Path

from provisioning.image.initramfs import write_initramfs
from tests.cards import run


def test_the_console_is_in_an_archive_of_its_own(tmp_path: Path) -> None:
    modules = tmp_path / "tree/usr/lib/modules/6.12"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("")
    (tmp_path / "tree/usr/bin").mkdir()
    (tmp_path / "tree/usr/bin/busybox").write_bytes(b"busybox")
    write_initramfs(tmp_path / "tree", tmp_path / "initrd", init="#!/bin/busybox sh\n", modules=(), epoch=1_000_000_000)
    archive = (tmp_path / "initrd").read_bytes()
    listed = run("cpio", "--list", "--quiet", data=archive).decode().split()
    assert {"dev", "init", "bin/busybox", "bin/sh", "modules/order"} <= set(listed)
    assert "dev/console" not in listed
    second = archive.index(b"070701", archive.index(b"TRAILER!!!"))
    assert second % 4 == 0  # where the kernel looks for the next archive
    console = run("cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet", data=archive[second:]).decode().split()
    assert console[:6] == ["crw-------", "1", "0", "0", "5,", "1"]
    assert console[-1] == "dev/console"
