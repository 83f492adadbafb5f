"""The X25519 recipient type ("The X25519 recipient type" in C2SP age)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from evidence.age import bech32
from evidence.age.errors import RecipientTextError, StanzaError
from evidence.age.header import FileKey, Stanza, decode_base64, encode_base64

KEY_SIZE = 32
WRAPPED_KEY_SIZE = 32
# Each wrap key encrypts one file key only, so the specification fixes the nonce.
WRAP_NONCE = bytes(12)

_KIND = "X25519"
_INFO = b"age-encryption.org/v1/X25519"


@dataclass(frozen=True)
class X25519Recipient:
    """A Curve25519 public key; ``str()`` is its text, which begins with age1."""

    PREFIX: ClassVar = "age"
    public: bytes

    def __post_init__(self) -> None:
        if len(self.public) != KEY_SIZE:
            raise RecipientTextError(f"it does not hold {KEY_SIZE} bytes")
        try:
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(self.public))
        except ValueError:
            raise RecipientTextError("it is a point that everybody can open") from None

    def __str__(self) -> str:
        return bech32.encode(self.PREFIX, self.public)

    def wrap(self, file_key: FileKey) -> Stanza:
        """Wrap a file key with a fresh ephemeral share."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        shared_secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.public))
        cipher = _wrap_cipher(shared_secret, share, self.public)
        return Stanza(_KIND, (encode_base64(share),), cipher.encrypt(WRAP_NONCE, file_key.raw, None))


@dataclass(frozen=True)
class X25519Identity:
    """A Curve25519 secret key, which neither ``str()`` nor ``repr()`` shows."""

    PREFIX: ClassVar = "AGE-SECRET-KEY-"
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_SIZE:
            raise ValueError(f"an X25519 identity has {KEY_SIZE} bytes, not {len(self.secret)}")

    @classmethod
    def generate(cls) -> Self:
        """Make a new identity."""
        return cls(os.urandom(KEY_SIZE))

    @property
    def recipient(self) -> X25519Recipient:
        """The public half, to seal to."""
        return X25519Recipient(self._private_key().public_key().public_bytes_raw())

    def secret_text(self) -> str:
        """Give the secret as the line of a key file."""
        return bech32.encode(self.PREFIX.lower(), self.secret).upper()

    def unwrap(self, stanzas: Sequence[Stanza]) -> FileKey | None:
        """Give the file key from the stanza that is for this identity, if any. Raises StanzaError."""
        for stanza in stanzas:
            if stanza.kind == _KIND and (file_key := self._unwrap_one(stanza)):
                return file_key
        return None

    def _unwrap_one(self, stanza: Stanza) -> FileKey | None:
        share = read_share(stanza, KEY_SIZE)
        shared_secret = exchange(self._private_key(), share, _KIND)
        public = self._private_key().public_key().public_bytes_raw()
        try:
            return FileKey(_wrap_cipher(shared_secret, share, public).decrypt(WRAP_NONCE, stanza.body, None))
        except InvalidTag:
            return None

    def _private_key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.secret)


def read_share(stanza: Stanza, size: int) -> bytes:
    """Give the one argument of a public-key stanza, its encapsulated key. Raises StanzaError."""
    if len(stanza.arguments) != 1:
        raise StanzaError(stanza.kind, f"it has {len(stanza.arguments)} arguments instead of 1")
    try:
        share = decode_base64(stanza.arguments[0])
    except ValueError as error:
        raise StanzaError(stanza.kind, f"its argument is {error}") from None
    if len(share) != size:
        raise StanzaError(stanza.kind, f"its argument holds {len(share)} bytes instead of {size}")
    check_wrapped_key(stanza)
    return share


def check_wrapped_key(stanza: Stanza) -> None:
    """Raise StanzaError unless the body is as long as a wrapped file key.

    Checked before anything is decrypted, or a file could be made that several keys open.
    """
    if len(stanza.body) != WRAPPED_KEY_SIZE:
        raise StanzaError(stanza.kind, f"its body holds {len(stanza.body)} bytes instead of {WRAPPED_KEY_SIZE}")


def exchange(private_key: X25519PrivateKey, share: bytes, kind: str) -> bytes:
    """Compute the shared secret. Raises StanzaError where it would be zero, whatever the private key."""
    try:
        return private_key.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError:
        raise StanzaError(kind, "its share gives a secret that is no secret") from None


def _wrap_cipher(shared_secret: bytes, share: bytes, public: bytes) -> ChaCha20Poly1305:
    wrap_key = HKDF(algorithm=SHA256(), length=32, salt=share + public, info=_INFO).derive(shared_secret)
    return ChaCha20Poly1305(wrap_key)
