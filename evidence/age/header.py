"""The textual header of an age file: it wraps the file key once for each recipient ("Header" in C2SP age)."""

import base64
import binascii
import hmac
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from evidence.age.errors import (
    HeaderCutError,
    HeaderLineError,
    HeaderMacError,
    HeaderTooLongError,
    MixedRecipientsError,
    NoIdentityMatchesError,
    NoRecipientsError,
    NotAgeFileError,
    ScryptNotAloneError,
    UnsupportedVersionError,
)

FILE_KEY_SIZE = 16
# Room for some forty post-quantum recipients (1.6 kB each). The format has no limit of its own, but whoever
# reads a header holds it in memory and tries each stanza, so a stranger must not choose its length.
MAX_HEADER_SIZE = 64 * 1024

_VERSION_LINE = b"age-encryption.org/v1"
_ANY_VERSION_LINE = re.compile(rb"age-encryption\.org/([\x21-\x7e]{1,40})")
_ARGUMENT_LINE = re.compile(rb"-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)")
_MAC_MARK = b"---"
_MAC_SIZE = 32
_BODY_COLUMNS = 64
_ALONE_KIND = "scrypt"
_POST_QUANTUM_KIND = "mlkem768x25519"


@dataclass(frozen=True)
class FileKey:
    """The 16 secret bytes that open one file and nothing else; never shown by ``repr``."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != FILE_KEY_SIZE:
            raise ValueError(f"a file key has {FILE_KEY_SIZE} bytes, not {len(self.raw)}")

    @classmethod
    def generate(cls) -> Self:
        """Make the key of a new file."""
        return cls(os.urandom(FILE_KEY_SIZE))

    def derive(self, *, salt: bytes, info: bytes) -> bytes:
        """Derive a 32-byte key for one use, named by info, with HKDF-SHA-256."""
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(self.raw)


@dataclass(frozen=True)
class Stanza:
    """The file key as wrapped for one recipient: its kind, further arguments, and the wrapped bytes."""

    kind: str
    arguments: tuple[str, ...]
    body: bytes

    def encoded(self) -> bytes:
        """Give the stanza as it stands in a header."""
        body = encode_base64(self.body)
        # The last line is always shorter than 64 columns, so a body that fills its lines ends with an empty one.
        lines = [body[start : start + _BODY_COLUMNS] for start in range(0, len(body) + 1, _BODY_COLUMNS)]
        return "".join(f"{line}\n" for line in [" ".join(["->", self.kind, *self.arguments]), *lines]).encode()


class Recipient(Protocol):
    """Someone to seal a file to."""

    def wrap(self, file_key: FileKey) -> Stanza:
        """Wrap the file key so that only the recipient's identity unwraps it."""
        ...


class Identity(Protocol):
    """The secret that opens what was sealed to its recipient."""

    def unwrap(self, stanzas: Sequence[Stanza]) -> FileKey | None:
        """Give the file key, or None when no stanza is for this identity.

        Raises HeaderError when a stanza of the identity's kind breaks the rules of that kind.
        """
        ...


@dataclass(frozen=True)
class Header:
    """A header that keeps to the grammar, and the very bytes it was read from.

    ``raw`` is all that a process needs to answer with the file key: the payload stays elsewhere.
    """

    stanzas: tuple[Stanza, ...]
    mac: bytes
    raw: bytes = field(repr=False)

    @classmethod
    def seal(cls, recipients: Sequence[Recipient], file_key: FileKey) -> Self:
        """Wrap a file key for all recipients.

        Raises RecipientsError when they do not go together, and HeaderTooLongError when they are too many.
        """
        stanzas = tuple(recipient.wrap(file_key) for recipient in recipients)
        _check_mixture([stanza.kind for stanza in stanzas])
        authenticated = b"".join([_VERSION_LINE, b"\n", *(stanza.encoded() for stanza in stanzas), _MAC_MARK])
        mac = _header_mac(file_key, authenticated)
        raw = authenticated + f" {encode_base64(mac)}\n".encode()
        if len(raw) > MAX_HEADER_SIZE:
            raise HeaderTooLongError(MAX_HEADER_SIZE)
        return cls(stanzas, mac, raw)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a whole header and nothing after it. Raises HeaderError."""
        if len(raw) > MAX_HEADER_SIZE:
            raise HeaderTooLongError(MAX_HEADER_SIZE)
        _check_version(raw)
        lines = raw.split(b"\n")
        if lines.pop():
            raise HeaderCutError
        stanzas: list[Stanza] = []
        at = 1
        while at < len(lines) and not lines[at].startswith(_MAC_MARK):
            stanza, at = _read_stanza(lines, at)
            stanzas.append(stanza)
        if at == len(lines):
            raise HeaderCutError
        mac = _read_mac(lines, at)
        if not stanzas:
            raise HeaderLineError(at + 1, "no recipient stands before it")
        return cls(tuple(stanzas), mac, raw)

    @property
    def size(self) -> int:
        """Bytes that the header takes at the beginning of its file."""
        return len(self.raw)

    def unwrap(self, identities: Sequence[Identity]) -> FileKey:
        """Find the file key with the first identity that fits, and check that the header is the one sealed.

        Raises NoIdentityMatchesError, HeaderMacError, or the HeaderError that an identity found.
        """
        for identity in identities:
            file_key = identity.unwrap(self.stanzas)
            if file_key is not None:
                break
        else:
            raise NoIdentityMatchesError([stanza.kind for stanza in self.stanzas])
        authenticated = self.raw[: self.raw.rindex(_MAC_MARK) + len(_MAC_MARK)]
        if not hmac.compare_digest(self.mac, _header_mac(file_key, authenticated)):
            raise HeaderMacError
        return file_key


def read_header(file: io.BufferedIOBase) -> Header:
    """Read the header at a file's position and leave the position right behind it.

    Reads at most MAX_HEADER_SIZE bytes. Raises HeaderError.
    """
    raw = bytearray(file.readline(MAX_HEADER_SIZE))
    _check_version(raw)
    line = b"\n"
    while not line.startswith(_MAC_MARK):
        if len(raw) >= MAX_HEADER_SIZE:
            raise HeaderTooLongError(MAX_HEADER_SIZE)
        line = file.readline(MAX_HEADER_SIZE - len(raw))
        if not line:
            raise HeaderCutError
        raw += line
    return Header.parse(bytes(raw))


def encode_base64(data: bytes) -> str:
    """Write base64 without padding, as everywhere in a header."""
    return base64.b64encode(data).rstrip(b"=").decode()


def decode_base64(text: bytes | str) -> bytes:
    """Read base64 without padding. Raises ValueError for anything that `encode_base64` does not write."""
    encoded = text.encode() if isinstance(text, str) else text
    try:
        data = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if encode_base64(data).encode() != encoded:
        raise ValueError("not canonical base64")
    return data


def _check_mixture(kinds: Sequence[str]) -> None:
    if not kinds:
        raise NoRecipientsError
    if _ALONE_KIND in kinds and len(kinds) > 1:
        raise ScryptNotAloneError
    if _POST_QUANTUM_KIND in kinds and len(set(kinds)) > 1:
        raise MixedRecipientsError(sorted(set(kinds)))


def _header_mac(file_key: FileKey, authenticated: bytes) -> bytes:
    return hmac.digest(file_key.derive(salt=b"", info=b"header"), authenticated, "sha256")


def _check_version(raw: bytes | bytearray) -> None:
    line, end_of_line, _ = raw.partition(b"\n")
    if not end_of_line and line and _VERSION_LINE.startswith(line):
        raise HeaderCutError
    if line == _VERSION_LINE:
        return
    if found := _ANY_VERSION_LINE.fullmatch(line):
        raise UnsupportedVersionError(found[1].decode())
    raise NotAgeFileError


def _read_stanza(lines: Sequence[bytes], at: int) -> tuple[Stanza, int]:
    """Read the stanza that begins at a line, and give the index of the line after it."""
    found = _ARGUMENT_LINE.fullmatch(lines[at])
    if not found:
        raise HeaderLineError(at + 1, "it does not begin a recipient")
    kind, *arguments = found[1].decode().split(" ")
    end = at + 1
    while end < len(lines) and len(lines[end]) == _BODY_COLUMNS:
        end += 1
    if end == len(lines):
        raise HeaderCutError
    if len(lines[end]) > _BODY_COLUMNS:
        raise HeaderLineError(end + 1, f"it is longer than {_BODY_COLUMNS} characters")
    try:
        body = decode_base64(b"".join(lines[at + 1 : end + 1]))
    except ValueError as error:
        raise HeaderLineError(end + 1, f"the recipient that ends there is {error}") from None
    return Stanza(kind, tuple(arguments), body), end + 1


def _read_mac(lines: Sequence[bytes], at: int) -> bytes:
    """Read the line that ends a header, which must be the last."""
    mark, _, encoded = lines[at].partition(b" ")
    try:
        mac = decode_base64(encoded)
    except ValueError as error:
        raise HeaderLineError(at + 1, f"its authentication code is {error}") from None
    if mark != _MAC_MARK or len(mac) != _MAC_SIZE:
        raise HeaderLineError(at + 1, "its authentication code has the wrong length")
    if at + 1 != len(lines):
        raise HeaderLineError(at + 2, "the header ended before it")
    return mac
