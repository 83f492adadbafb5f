"""Private keys, made where they are used: their kinds and their form on disk."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence.errors import EnvironmentalError

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class KeyFileError(EnvironmentalError):
    """A private key of a set-up is not one that we made."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The key file {path} cannot be used ({reason}): restore it from a backup.")
        self.path = path


def make_signing_key() -> bytes:
    """Return a fresh Ed25519 key: its signatures are what `openssl pkeyutl -verify -rawin` checks."""
    return _pem(Ed25519PrivateKey.generate())


def make_server_key() -> bytes:
    """Return a fresh ECDSA P-256 key: browsers take no Ed25519 certificate."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def make_authority_key() -> bytes:
    """Return a fresh ECDSA P-384 key."""
    return _pem(ec.generate_private_key(ec.SECP384R1()))


def load_key(path: Path) -> PrivateKey:
    """Read a key that one of the functions above made; raises KeyFileError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(path, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise KeyFileError(path, "it is of another kind")
    return key


def load_authority_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the authority's key; raises KeyFileError."""
    key = load_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError(path, "it is not an ECDSA key")
    return key


def _pem(key: PrivateKey) -> bytes:
    # Unencrypted: a dock and a unit must start without anybody there to type a passphrase.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
