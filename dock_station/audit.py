"""Whether a clip's stored files are those that the catalogue knows: looked at quickly, or read to the last byte."""

import hashlib
from collections.abc import Iterator

from cryptography import x509
from sqlalchemy import Connection

from dock_station.catalogue import clips
from dock_station.catalogue.clips import Clip
from dock_station.vault import Vault, VaultError
from evidence.signature import SignatureError, verify

PIECE = 1 << 20  # bytes hashed at a time


def disagreements(connection: Connection, vault: Vault, clip: Clip) -> Iterator[str]:
    """Yield what is wrong with a kept clip's files as far as it shows without reading the whole sealed file."""
    try:
        size = vault.sealed_file(clip.vault_key).stat().st_size
        if size != clip.ciphertext_bytes:
            yield f"its sealed file has {size} bytes, not {clip.ciphertext_bytes}"
    except OSError as error:
        yield f"its sealed file cannot be read ({error.strerror})"
    try:
        manifest, signature = vault.manifest(clip.vault_key), vault.signature(clip.vault_key)
    except VaultError as error:
        yield f"its manifest or signature cannot be read ({error})"
        return
    if hashlib.sha256(manifest).hexdigest() != clip.manifest_sha256:
        yield "its manifest was changed"
        return
    pem = clips.certificate(connection, clip.certificate_sha256)
    try:
        verify(manifest, signature, x509.load_pem_x509_certificate(pem.encode("ascii")), "manifest")
    except (SignatureError, ValueError):
        yield "its signature was changed"


def content_disagrees(vault: Vault, clip: Clip) -> str | None:
    """Read the whole sealed file, and say what is wrong with it, or None."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(PIECE))
    try:
        with vault.sealed_file(clip.vault_key).open("rb", buffering=0) as file:
            while size := file.readinto(buffer):
                digest.update(buffer[:size])
    except OSError as error:
        return f"its sealed file cannot be read ({error.strerror})"
    return None if digest.hexdigest() == clip.ciphertext_sha256 else "its sealed file was changed"


def leftovers(vault: Vault, clip: Clip) -> Iterator[str]:
    """Yield what is still there of a clip that is recorded as deleted."""
    if vault.sealed_file(clip.vault_key).exists():
        yield "its record says that it was deleted, and its sealed file is still there"
