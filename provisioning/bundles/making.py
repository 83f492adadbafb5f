"""Making a bundle of an image: slot a taken out, a signer certified for this one alone, RAUC putting it together."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence.certificates import Authority, Holder, Role
from evidence.durable import sync_folder
from evidence.release import Installed
from provisioning.authority import AuthorityFolder
from provisioning.bundles.reading import BundleRefusedError, read_bundle
from provisioning.bundles.signers import check_not_revoked, record_name
from provisioning.bundles.slot import BOOT, ROOT, Slot, take_out
from provisioning.card.image import Image
from provisioning.digest import sha256_of
from provisioning.issuing import pem
from provisioning.placing import FolderInUseError, SetUp, WouldOverwriteError, exclusively
from provisioning.stock_programs import find, output

_UNFINISHED = ".unfinished-"  # what a command that was ended at once has left


def bundle_name(installed: Installed) -> str:
    """Return a bundle's file name."""
    return f"{installed.compatible}-{installed.release}.raucb"


def make_bundle(image: Image, folder: AuthorityFolder, into: Path, at: datetime) -> SetUp:
    """Make the bundle of an image whose digest was found good; it appears whole or not at all.

    A bundle of this very image that is there already is left as it is. Where the authority has certified a signer of
    this release before, for another folder or in a run that was killed, its certificate is among what was found, and
    kept: that signer's key is gone, and whether it has signed a bundle before, no file here can say.

    Raises WouldOverwriteError where a bad bundle is, or one of another image with the same release, NotAnImageError,
    RevokedReleaseError, NoAuthorityError, ProgramMissingError or ProgramFailedError.
    """
    for program in ("rauc", "openssl", "mksquashfs", "unsquashfs"):
        find(program)  # before work that takes long
    setup = SetUp()
    into.mkdir(parents=True, exist_ok=True)
    _forget_unfinished(into)
    with TemporaryDirectory(prefix=_UNFINISHED, dir=into) as name, exclusively(Path(name)):
        work = Path(name)
        content = work / "content"
        content.mkdir()
        slot = take_out(image, content)
        bundle = into / bundle_name(slot.installed)
        authority = Authority(folder.certificate(), folder.revocations())
        if bundle.exists():
            _check_is_of(slot, bundle, authority, at)
            setup.found(bundle, f"bundle of release {slot.installed.release}")
            return setup
        made = work / bundle.name
        _put_together(setup, slot, folder, made, at)
        read_bundle(made, authority, at)
        _place(made, bundle)
    setup.made(bundle, f"bundle of release {slot.installed.release}")
    return setup


def _check_is_of(slot: Slot, bundle: Path, authority: Authority, at: datetime) -> None:
    try:
        images = read_bundle(bundle, authority, at).images
    except BundleRefusedError as error:
        raise WouldOverwriteError(bundle, f"{error.reason}, so remove it, and call this again") from error
    if images != _digests(slot):
        raise WouldOverwriteError(bundle, "it was made of another image of the same release")


def _forget_unfinished(into: Path) -> None:
    for leftover in into.glob(f"{_UNFINISHED}*"):
        try:
            with exclusively(leftover):
                shutil.rmtree(leftover)
        except FolderInUseError:  # another command is at work in it
            continue


def _put_together(setup: SetUp, slot: Slot, folder: AuthorityFolder, made: Path, at: datetime) -> None:
    (slot.folder / "manifest.raucm").write_text(_manifest(slot.installed), encoding="ascii")
    key = ec.generate_private_key(ec.SECP256R1())
    holder = Holder(Role.UPDATE_SIGNER, slot.installed.release.name)
    with exclusively(folder.path):
        check_not_revoked(folder, slot.installed.release)
        certificate = folder.issuer().issue(holder, key.public_key(), at)
        setup.folder(folder.bundles)
        release, compatible = slot.installed.release, slot.installed.compatible
        for earlier in sorted(folder.bundles.glob(record_name(release, compatible=compatible))):
            setup.found(earlier, "an earlier signer of this release; its bundle, if it was finished, is elsewhere")
        record = record_name(release, compatible=compatible, serial=f"{certificate.serial_number:x}")
        setup.file(folder.bundles / record, pem(certificate), "the authority's copy of the signer's certificate")
    signer = made.with_name("signer.crt")
    signer.write_bytes(pem(certificate))
    with _in_memory(key) as descriptor:
        options = (f"--cert={signer}", f"--key=/proc/self/fd/{descriptor}")
        output("rauc", *options, "bundle", str(slot.folder), str(made), handed_on=(descriptor,))


@contextmanager
def _in_memory(key: ec.EllipticCurvePrivateKey) -> Iterator[int]:
    """Give the descriptor of a file without a name that holds the key: it goes with the processes that have it open."""
    descriptor = os.memfd_create("signer")
    try:
        os.write(
            descriptor,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        yield descriptor
    finally:
        os.close(descriptor)


def _manifest(installed: Installed) -> str:
    return (
        f"[update]\ncompatible={installed.compatible}\nversion={installed.release}\n\n"
        f"[bundle]\nformat=verity\n\n[image.boot]\nfilename={BOOT}\n\n[image.rootfs]\nfilename={ROOT}\n"
    )


def _digests(slot: Slot) -> dict[str, str]:
    return {"boot": sha256_of(slot.boot), "rootfs": sha256_of(slot.root)}


def _place(made: Path, bundle: Path) -> None:
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.chmod(0o644)
    made.rename(bundle)
    sync_folder(bundle.parent)
