"""Raw Ed25519 signatures (RFC 8032) over the bytes of a document, as `openssl pkeyutl -verify -rawin` checks them."""

from datetime import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence.certificates import Authority, CertificateError, Holder, Role
from evidence.errors import EnvironmentalError, NotGenuineError, reason_of

SIGNATURE_BYTES = 64  # RFC 8032 §5.1.6


class SignatureError(NotGenuineError):
    """A document's signature does not fit its bytes."""

    def __init__(self, document: str) -> None:
        super().__init__(f"The signature of this {document} does not fit it: it was changed or signed by another key.")
        self.document = document


class SigningKeyError(EnvironmentalError):
    """A signing key of the set-up cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The signing key {path} cannot be read ({reason}); provision this device again.")
        self.path = path


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document on the wire: its bytes, the signature over them, and the signer's PEM certificate."""

    content: bytes
    signature: bytes
    certificate: bytes

    def verify(self, authority: Authority, role: Role, at: datetime, document: str) -> Holder:
        """Return who signed; raises CertificateError or SignatureError where signer or signature is not good."""
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate)
        except ValueError as error:
            raise CertificateError(f"the signer of this {document}", "it is not a certificate") from error
        holder = authority.check(certificate, role, at)
        verify(self.content, self.signature, certificate, document)
        return holder


class Signer:
    """A private key with its certificate: it signs documents, and never shows the key."""

    def __init__(self, key: Ed25519PrivateKey, certificate_pem: bytes) -> None:
        self._key = key
        self._certificate_pem = certificate_pem

    @classmethod
    def load(cls, key_file: Path, certificate_file: Path) -> "Signer":
        """Read an unencrypted PKCS #8 PEM key and its certificate; raises SigningKeyError."""
        try:
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            certificate = certificate_file.read_bytes()
        except (OSError, ValueError, TypeError) as error:
            raise SigningKeyError(key_file, reason_of(error)) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError(key_file, "it is not an Ed25519 key")
        return cls(key, certificate)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that goes with every signature, PEM."""
        return self._certificate_pem

    def sign(self, content: bytes) -> bytes:
        """Return the 64 bytes of the signature over `content`."""
        return self._key.sign(content)

    def signed(self, content: bytes) -> Signed:
        """Return `content` with its signature and our certificate."""
        return Signed(content=content, signature=self.sign(content), certificate=self._certificate_pem)


def verify(content: bytes, signature: bytes, certificate: x509.Certificate, document: str) -> None:
    """Check a signature against the key in `certificate`; raises SignatureError that names the `document`."""
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(document)
    try:
        key.verify(signature, content)
    except InvalidSignature as error:
        raise SignatureError(document) from error
