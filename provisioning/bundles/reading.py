"""Reading a bundle as a unit will: whose signature it has, what it covers, and whether every byte is the signed one."""

import configparser
import re
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from evidence.certificates import Authority, CertificateError, Role, load_certificate
from evidence.docking import MAX_BUNDLE
from evidence.errors import NotGenuineError
from evidence.release import COMPATIBLE_PATTERN, Installed, NotAReleaseError, Release
from provisioning.bundles import verity
from provisioning.bundles.verity import Verity
from provisioning.issuing import pem
from provisioning.tools import ToolFailedError, check_tools, run

# A bundle ends with its CMS signature and, in eight bytes, the size of that (RAUC, "Bundle Formats").
_SIZE_BYTES = 8
_MAX_SIGNATURE = 64 << 10
_SECTIONS = {"update", "bundle", "image.boot", "image.rootfs"}


class BundleRefusedError(NotGenuineError):
    """A file is not a bundle that the authority has signed, or not all of one."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is refused: {reason}; make it anew with 'mirrorcam-provision bundle make', or fetch it again."
        )
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Bundle:
    """A bundle that was found good: what it installs, and the digests (hex) of its images by their slot."""

    installed: Installed
    images: dict[str, str]


def read_bundle(path: Path, authority: Authority, at: datetime) -> Bundle:
    """Return what a bundle is, if the authority has signed it and not a bit of it was changed since.

    Raises BundleRefusedError, ToolMissingError or OSError.
    """
    check_tools("rauc", "openssl")
    try:
        with path.open("rb") as file, tempfile.TemporaryDirectory() as name:
            payload_bytes, signature = _take_apart(file)
            folder = Path(name)
            manifest = _manifest(folder, signature, authority, at)
            _ask_rauc(path, folder, authority, manifest.bundle.installed.compatible)
            if not verity.fits(file, payload_bytes, manifest.verity):
                raise _NotGoodError("its content was changed or cut after it was signed")
    except _NotGoodError as error:
        raise BundleRefusedError(path, str(error)) from error
    return manifest.bundle


class _NotGoodError(NotGenuineError):
    """The text completes the sentence of BundleRefusedError."""


@dataclass(frozen=True)
class _Manifest:
    bundle: Bundle
    verity: Verity


def _take_apart(file: BinaryIO) -> tuple[int, bytes]:
    size = file.seek(0, 2)
    if size > MAX_BUNDLE:
        raise _NotGoodError("it is larger than any bundle")
    file.seek(max(size - _SIZE_BYTES, 0))
    signature_bytes = int.from_bytes(file.read(_SIZE_BYTES), "big")
    payload_bytes = size - _SIZE_BYTES - signature_bytes
    if not 0 < signature_bytes <= _MAX_SIGNATURE or payload_bytes <= 0:
        raise _NotGoodError("it is no bundle, or its end is missing")
    file.seek(payload_bytes)
    return payload_bytes, file.read(signature_bytes)


def _manifest(folder: Path, signature: bytes, authority: Authority, at: datetime) -> _Manifest:
    """Return what the signature covers, if a signer that the authority certified for just this release has made it."""
    (folder / "signature").write_bytes(signature)
    options = ("-verify", "-noverify", "-inform", "DER", "-in", "signature", "-signer", "signer.crt")
    try:
        content = run("openssl", "cms", *options, folder=folder)
        signer = load_certificate(folder / "signer.crt")
    except (ToolFailedError, NotGenuineError) as error:
        raise _NotGoodError("its signature is none") from error
    try:
        holder = authority.check(signer, Role.UPDATE_SIGNER, at)
    except CertificateError as error:
        raise _NotGoodError(f"its signer's certificate does not count ({error.reason})") from error
    manifest = _read_manifest(content)
    if holder.name != manifest.bundle.installed.release.name:
        raise _NotGoodError("its signer was certified for another release")
    return manifest


def _read_manifest(content: bytes) -> _Manifest:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    try:
        parser.read_string(content.decode("ascii"))
        found = {section: dict(parser[section]) for section in parser.sections()}
        update, bundle = found["update"], found["bundle"]
        images = {section.partition(".")[2]: found[section]["sha256"] for section in ("image.boot", "image.rootfs")}
        tree = Verity(
            bytes.fromhex(bundle["verity-hash"]), bytes.fromhex(bundle["verity-salt"]), int(bundle["verity-size"])
        )
        release = Release.parse(update["version"])
        is_ours = set(found) == _SECTIONS and bundle["format"] == "verity" and tree.tree_bytes > 0
    except (configparser.Error, KeyError, NotAReleaseError, ValueError) as error:
        raise _NotGoodError("it was not made by this command") from error
    if not is_ours or not re.fullmatch(COMPATIBLE_PATTERN, update["compatible"]):
        raise _NotGoodError("it was not made by this command")
    return _Manifest(Bundle(Installed(release, update["compatible"]), images), tree)


def _ask_rauc(path: Path, folder: Path, authority: Authority, compatible: str) -> None:
    """Have RAUC judge the signature, by the settings that a unit has."""
    (folder / "authority.crt").write_bytes(pem(authority.certificate))
    (folder / "system.conf").write_text(
        f"[system]\ncompatible={compatible}\nbootloader=noop\n\n"
        "[keyring]\npath=authority.crt\ncheck-purpose=codesign\nuse-bundle-signing-time=true\n",
        encoding="ascii",
    )
    try:
        run("rauc", "--conf", str(folder / "system.conf"), "info", "--output-format=json", str(path.absolute()))
    except ToolFailedError as error:
        raise _NotGoodError(f"RAUC does not take it ({error.complaint})") from error
