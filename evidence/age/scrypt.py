"""The scrypt recipient type: a file that a passphrase opens ("The scrypt recipient type" in C2SP age)."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from evidence.age.errors import EmptyPassphraseError, PassphraseMemoryError, StanzaError, WorkFactorTooHighError
from evidence.age.header import FileKey, Stanza, decode_base64, encode_base64
from evidence.age.x25519 import WRAP_NONCE, check_wrapped_key

# The work factor of the age program and of age-encryption: 256 MiB of memory, and about a second.
DEFAULT_WORK_FACTOR = 18
# Four times that. The age program tries up to 22, which takes 4 GiB: more than a dock may have.
MAX_WORK_FACTOR = 20

_KIND = "scrypt"
_LABEL = b"age-encryption.org/v1/scrypt"
_SALT_SIZE = 16
_WORK_FACTOR = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(frozen=True)
class ScryptRecipient:
    """A passphrase to seal with, never shown; ``work_factor`` is the base-two logarithm of the tries it costs."""

    passphrase: str = field(repr=False)
    work_factor: int = DEFAULT_WORK_FACTOR

    def __post_init__(self) -> None:
        if not self.passphrase:
            raise EmptyPassphraseError
        if not 1 <= self.work_factor <= MAX_WORK_FACTOR:
            raise ValueError(f"a work factor is between 1 and {MAX_WORK_FACTOR}, not {self.work_factor}")

    def wrap(self, file_key: FileKey) -> Stanza:
        """Wrap a file key with a fresh salt."""
        salt = os.urandom(_SALT_SIZE)
        cipher = _wrap_cipher(self.passphrase, salt, self.work_factor)
        arguments = (encode_base64(salt), str(self.work_factor))
        return Stanza(_KIND, arguments, cipher.encrypt(WRAP_NONCE, file_key.raw, None))


@dataclass(frozen=True)
class ScryptIdentity:
    """A passphrase to open with, never shown; files that cost more than ``max_work_factor`` are refused."""

    passphrase: str = field(repr=False)
    max_work_factor: int = MAX_WORK_FACTOR

    def unwrap(self, stanzas: Sequence[Stanza]) -> FileKey | None:
        """Give the file key if the passphrase is right. Raises StanzaError."""
        if all(stanza.kind != _KIND for stanza in stanzas):
            return None
        if len(stanzas) > 1:
            raise StanzaError(_KIND, "it must be the only recipient")
        salt, work_factor = _read_arguments(stanzas[0])
        if work_factor > self.max_work_factor:
            raise WorkFactorTooHighError(work_factor, self.max_work_factor)
        cipher = _wrap_cipher(self.passphrase, salt, work_factor)
        try:
            return FileKey(cipher.decrypt(WRAP_NONCE, stanzas[0].body, None))
        except InvalidTag:
            return None


def _read_arguments(stanza: Stanza) -> tuple[bytes, int]:
    if len(stanza.arguments) != 2:
        raise StanzaError(_KIND, f"it has {len(stanza.arguments)} arguments instead of 2")
    try:
        salt = decode_base64(stanza.arguments[0])
    except ValueError as error:
        raise StanzaError(_KIND, f"its salt is {error}") from None
    if len(salt) != _SALT_SIZE:
        raise StanzaError(_KIND, f"its salt holds {len(salt)} bytes instead of {_SALT_SIZE}")
    if not _WORK_FACTOR.fullmatch(stanza.arguments[1]):
        raise StanzaError(_KIND, "its work factor is no decimal number in short form")
    check_wrapped_key(stanza)
    return salt, int(stanza.arguments[1])


def _wrap_cipher(passphrase: str, salt: bytes, work_factor: int) -> ChaCha20Poly1305:
    scrypt = Scrypt(salt=_LABEL + salt, length=32, n=1 << work_factor, r=8, p=1)
    # A terminal that is not UTF-8 hands over its bytes as surrogates; the age program takes the bytes themselves.
    try:
        return ChaCha20Poly1305(scrypt.derive(passphrase.encode(errors="surrogateescape")))
    except MemoryError:
        raise PassphraseMemoryError(work_factor) from None
