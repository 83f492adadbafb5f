"""Sealed files in the age v1 format (c2sp.org/age), written and read with `cryptography`."""

from evidence.age.errors import AgeError
from evidence.age.header import MAX_HEADER_SIZE, FileKey, Header, Identity, Recipient, Stanza, read_header
from evidence.age.hybrid import HybridIdentity, HybridRecipient
from evidence.age.opening import open_bytes, open_stream
from evidence.age.recipients import parse_identities, parse_identity, parse_recipient, parse_recipients
from evidence.age.scrypt import ScryptIdentity, ScryptRecipient
from evidence.age.sealed_file import SealedFile
from evidence.age.sealing import SealingWriter, seal_bytes
from evidence.age.stream import CHUNK_SIZE, SEALED_CHUNK_SIZE
from evidence.age.x25519 import X25519Identity, X25519Recipient

__all__ = [
    "CHUNK_SIZE",
    "MAX_HEADER_SIZE",
    "SEALED_CHUNK_SIZE",
    "AgeError",
    "FileKey",
    "Header",
    "HybridIdentity",
    "HybridRecipient",
    "Identity",
    "Recipient",
    "ScryptIdentity",
    "ScryptRecipient",
    "SealedFile",
    "SealingWriter",
    "Stanza",
    "X25519Identity",
    "X25519Recipient",
    "open_bytes",
    "open_stream",
    "parse_identities",
    "parse_identity",
    "parse_recipient",
    "parse_recipients",
    "read_header",
    "seal_bytes",
]
