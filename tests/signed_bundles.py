"""Small RAUC bundles of random slots, really signed by a test's authority, as a unit meets them on its dock."""

import os
import subprocess
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from evidence.certificates import Holder, Role
from tests.pki import Pki

OLDER, RUNS, NEWER = "0.1.0+20261101T000000Z", "0.1.0+20261120T000000Z", "0.2.0+20261201T000000Z"
COMPATIBLE = "mirrorcam-debian"


def make_bundle(
    path: Path, pki: Pki, *, release: str = NEWER, compatible: str = COMPATIBLE, role: Role = Role.UPDATE_SIGNER
) -> Path:
    """Make a bundle of the verity format; a signer of another role has no purpose in its certificate."""
    usage = ExtendedKeyUsageOID.CODE_SIGNING if role is Role.UPDATE_SIGNER else ExtendedKeyUsageOID.CLIENT_AUTH
    identity = pki._issue(Holder(role, "some-release"), ec.generate_private_key(ec.SECP256R1()), usage=usage)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = folder / "content"
        content.mkdir()
        identity.write(folder / "key.pem", folder / "cert.pem")
        for image in ("boot.vfat", "root.squashfs"):
            (content / image).write_bytes(os.urandom(1 << 16))
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible={compatible}\nversion={release}\n[bundle]\nformat=verity\n"
            "[image.boot]\nfilename=boot.vfat\n[image.rootfs]\nfilename=root.squashfs\n"
        )
        options = ("--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem"))
        subprocess.run(["rauc", *options, "bundle", str(content), str(path)], check=True, capture_output=True)
    return path


def rauc_config(path: Path, authority: Path) -> Path:
    """Write the configuration that the image has, with another authority file."""
    recipe = Path(__file__).parents[1] / "provisioning/image/recipe/overlay/etc/rauc/system.conf"
    text = recipe.read_text().replace("@COMPATIBLE@", COMPATIBLE)
    text = text.replace("/var/lib/mirrorcam/unit/authority.crt", str(authority))
    path.write_text(text)
    return path
