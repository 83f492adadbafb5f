"""The MLKEM768-X25519 recipient type, safe from quantum computers and our default (same heading in C2SP age)."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from evidence.age import bech32
from evidence.age.errors import RecipientTextError
from evidence.age.header import FileKey, Stanza, encode_base64
from evidence.age.x25519 import KEY_SIZE, exchange, read_share

_KIND = "mlkem768x25519"
_INFO = b"age-encryption.org/mlkem768x25519"
_SEED_SIZE = 32
# FIPS 203, table 3, and the expansion of the seed in filippo.io/hpke-pq: ML-KEM's part first, then X25519's.
_MLKEM_SEED_SIZE = 64
_MLKEM_PUBLIC_SIZE = 1184
_MLKEM_CIPHERTEXT_SIZE = 1088


@dataclass(frozen=True)
class HybridRecipient:
    """A post-quantum public key; ``str()`` is its text of some 2000 characters, which begins with age1pq1."""

    PREFIX: ClassVar = "age1pq"
    public: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.public) != _MLKEM_PUBLIC_SIZE + KEY_SIZE:
            raise RecipientTextError(f"it does not hold {_MLKEM_PUBLIC_SIZE + KEY_SIZE} bytes")
        try:
            self.wrap(FileKey.generate())
        except ValueError:
            raise RecipientTextError("it is no valid public key") from None

    def __str__(self) -> str:
        return bech32.encode(self.PREFIX, self.public)

    def wrap(self, file_key: FileKey) -> Stanza:
        """Wrap a file key with a fresh encapsulation."""
        public_key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.public[:_MLKEM_PUBLIC_SIZE]),
            X25519PublicKey.from_public_bytes(self.public[_MLKEM_PUBLIC_SIZE:]),
        )
        sealed = _suite().encrypt(file_key.raw, public_key, _INFO)
        share_size = KEM.MLKEM768_X25519.enc_length()
        return Stanza(_KIND, (encode_base64(sealed[:share_size]),), sealed[share_size:])


@dataclass(frozen=True)
class HybridIdentity:
    """The seed of a post-quantum key pair, which neither ``str()`` nor ``repr()`` shows."""

    PREFIX: ClassVar = "AGE-SECRET-KEY-PQ-"
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != _SEED_SIZE:
            raise ValueError(f"a hybrid identity has {_SEED_SIZE} bytes, not {len(self.seed)}")

    @classmethod
    def generate(cls) -> Self:
        """Make a new identity."""
        return cls(os.urandom(_SEED_SIZE))

    @property
    def recipient(self) -> HybridRecipient:
        """The public half, to seal to."""
        mlkem_key, x25519_key = self._private_keys()
        return HybridRecipient(mlkem_key.public_key().public_bytes_raw() + x25519_key.public_key().public_bytes_raw())

    def secret_text(self) -> str:
        """Give the secret as the line of a key file."""
        return bech32.encode(self.PREFIX.lower(), self.seed).upper()

    def unwrap(self, stanzas: Sequence[Stanza]) -> FileKey | None:
        """Give the file key from the stanza that is for this identity, if any. Raises StanzaError."""
        for stanza in stanzas:
            if stanza.kind == _KIND and (file_key := self._unwrap_one(stanza)):
                return file_key
        return None

    def _unwrap_one(self, stanza: Stanza) -> FileKey | None:
        share = read_share(stanza, KEM.MLKEM768_X25519.enc_length())
        mlkem_key, x25519_key = self._private_keys()
        # HPKE answers alike to a share that is no point and to another's stanza; the header must not.
        exchange(x25519_key, share[_MLKEM_CIPHERTEXT_SIZE:], _KIND)
        private_key = MLKEM768X25519PrivateKey(mlkem_key, x25519_key)
        try:
            return FileKey(_suite().decrypt(share + stanza.body, private_key, _INFO))
        except InvalidTag:
            return None

    def _private_keys(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        expanded = hashlib.shake_256(self.seed).digest(_MLKEM_SEED_SIZE + KEY_SIZE)
        return (
            MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_SIZE]),
            X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_SIZE:]),
        )


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
