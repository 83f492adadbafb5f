"""The update that a town's dock offers: a bundle of the image under test, by IT's own commands."""

import subprocess
import sys
from pathlib import Path

from dock_station.settings import DockFolder
from provisioning.authority import AuthorityFolder
from provisioning.image.build import Built
from tests.pki import Pki

_PROVISION = Path(sys.executable).with_name("mirrorcam-provision")


def make_bundle(built: Built, pki: Pki, folder: Path) -> Path:
    """Return the bundle of an image, made and signed in `folder`, where the authority's folder is too."""
    authority = AuthorityFolder(folder / "town")
    authority.path.mkdir()
    authority.key_file.write_bytes(pki.key_pem)
    authority.certificate_file.write_bytes(pki.pem)
    authority.revocations_file.write_bytes(pki.revocations_pem())
    _provision("bundle", "make", str(built.image), "--authority", str(authority.path), "--into", str(folder))
    (bundle,) = folder.glob("*.raucb")
    return bundle


def offer(bundle: Path, dock: DockFolder) -> None:
    """Have a dock offer a bundle."""
    _provision("bundle", "publish", str(bundle), "--authority", str(bundle.parent / "town"), "--into", str(dock.path))


def _provision(*words: str) -> None:
    subprocess.run([_PROVISION, *words], check=True, capture_output=True)
