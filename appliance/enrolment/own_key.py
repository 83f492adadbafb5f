"""The key of a unit to be: made here, at its first contact with a dock, and never anywhere else."""

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from appliance.settings import UnitFolder
from evidence.durable import create_durably
from evidence.errors import reason_of
from evidence.signature import SigningKeyError

_NAME = "new unit"  # what it will be called, the dock's people decide


def own_key(folder: UnitFolder) -> Ed25519PrivateKey:
    """Return the unit's key, which is made where there is none, durable before anybody hears of it.

    Raises SigningKeyError for one that cannot be read, or OSError.
    """
    if not folder.key_file.exists():
        create_durably(folder.key_file, _pem(Ed25519PrivateKey.generate()), mode=0o600)
    try:
        key = serialization.load_pem_private_key(folder.key_file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SigningKeyError(folder.key_file, reason_of(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(folder.key_file, "it is not an Ed25519 key")
    return key


def request_for(key: Ed25519PrivateKey) -> bytes:
    """Return the certificate request (PKCS #10, PEM), signed by the key that it is for."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, None)
    return request.public_bytes(serialization.Encoding.PEM)


def _pem(key: Ed25519PrivateKey) -> bytes:
    # Unencrypted: a unit must start without anybody there to type a passphrase.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
