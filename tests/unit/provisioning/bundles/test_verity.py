"""The hash tree that is worked out here is the one that RAUC has put behind a bundle's data."""

import configparser
import io
import os
from pathlib import Path

import pytest

from provisioning.bundles.verity import BLOCK, Verity, fits
from tests.bundles import rauc_manifest
from tests.cards import run


def verity_of(bundle: Path) -> tuple[bytes, Verity]:
    """Return a bundle's data and tree, and what its manifest says of them."""
    manifest = configparser.ConfigParser()
    manifest.read_string(rauc_manifest(bundle))
    said = manifest["bundle"]
    content = bundle.read_bytes()
    payload = content[: -8 - int.from_bytes(content[-8:], "big")]
    return payload, Verity(
        bytes.fromhex(said["verity-hash"]), bytes.fromhex(said["verity-salt"]), int(said["verity-size"])
    )


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("signer")
    files = folder / "s.crt", folder / "s.key"
    options = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test")
    run("openssl", "req", "-x509", *options, "-out", str(files[0]), "-keyout", str(files[1]))
    return files


# One level, two levels with a last block that is not full, two levels, three levels (128 digests fill a block).
@pytest.mark.parametrize("size", [8 * BLOCK, 127 * BLOCK, 200 * BLOCK, 16_300 * BLOCK, 16_500 * BLOCK])
def test_it_is_the_tree_that_rauc_makes(signer: tuple[Path, Path], tmp_path: Path, size: int) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "root.img").write_bytes(os.urandom(size))
    (content / "manifest.raucm").write_text(
        "[update]\ncompatible=x\nversion=1\n[bundle]\nformat=verity\n[image.rootfs]\nfilename=root.img\n"
    )
    certificate, key = signer
    run("rauc", f"--cert={certificate}", f"--key={key}", "bundle", str(content), str(tmp_path / "a.raucb"))
    payload, verity = verity_of(tmp_path / "a.raucb")
    assert fits(io.BytesIO(payload), len(payload), verity)
    for at in (0, len(payload) // 2, len(payload) - verity.tree_bytes - 1, len(payload) - 1):
        changed = bytearray(payload)
        changed[at] ^= 0x80
        assert not fits(io.BytesIO(changed), len(payload), verity)


@pytest.mark.parametrize("tree_bytes", [0, 1, BLOCK, 1 << 40, -BLOCK])
def test_a_tree_of_another_size_does_not_fit(older: Path, tree_bytes: int) -> None:
    payload, verity = verity_of(older)
    other = Verity(verity.root, verity.salt, tree_bytes)
    assert not fits(io.BytesIO(payload), len(payload), other)
