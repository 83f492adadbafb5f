"""docs/formats.md sections 4 and 5 taken at their word: a reader made of nothing else opens a real clip."""

import base64
import hmac
import re
import struct
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from provisioning.placing import SetUp
from provisioning.station import station_key
from tests.clips import Case, make_case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("case"), clips=1, seconds=3)


def hkdf(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def unpadded(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))


class Reader:
    """Section 4, line by line."""

    def __init__(self, sealed: bytes, secret: bytes) -> None:
        found = re.match(rb"age-encryption\.org/v1\n-> X25519 (\S+)\n(\S+)\n--- (\S+)\n", sealed)
        assert found
        share, body, mac = (unpadded(part) for part in found.groups())
        key = X25519PrivateKey.from_private_bytes(secret)
        recipient = key.public_key().public_bytes_raw()
        shared = key.exchange(X25519PublicKey.from_public_bytes(share))
        wrap = hkdf(shared, salt=share + recipient, info=b"age-encryption.org/v1/X25519")
        file_key = ChaCha20Poly1305(wrap).decrypt(bytes(12), body, None)
        authenticated = sealed[: sealed.index(b"---") + 3]
        assert hmac.digest(hkdf(file_key, salt=b"", info=b"header"), authenticated, sha256) == mac
        self.header = found.end()
        self.sealed = sealed
        self.cipher = ChaCha20Poly1305(hkdf(file_key, salt=sealed[self.header : self.header + 16], info=b"payload"))
        self.chunks = -(-(len(sealed) - self.header - 16) // 65552)

    def chunk(self, number: int) -> bytes:
        start = self.header + 16 + number * 65552
        nonce = number.to_bytes(11, "big") + bytes([number == self.chunks - 1])
        return self.cipher.decrypt(nonce, self.sealed[start : start + 65552], None)


def boxes(mp4: bytes) -> list[tuple[str, bytes]]:
    found, at = [], 0
    while at < len(mp4):
        size, kind = struct.unpack_from(">I4s", mp4, at)
        found.append((kind.decode(), mp4[at + 8 : at + size]))
        at += size
    assert at == len(mp4)
    return found


def test_the_document_alone_is_enough_to_open_a_clip(case: Case) -> None:
    (clip,) = case.clips
    reader = Reader(clip.sealed_file.read_bytes(), case.unit.identity.secret)
    assert reader.chunks > 2
    last_first = [reader.chunk(number) for number in reversed(range(reader.chunks))]
    assert b"".join(reversed(last_first)) == case.unit.open(clip)
    assert clip.sealed_file.read_bytes().startswith(b"age-encryption.org/v1\n")


def test_a_clip_has_the_boxes_that_are_stated_in_their_order(case: Case) -> None:
    mp4 = case.unit.open(case.clips[0])
    kinds = " ".join(kind for kind, _ in boxes(mp4))
    assert re.fullmatch(r"ftyp moov( moof mdat( free)*)+ mfra", kinds)
    assert kinds.count("moof") >= 8
    moov = next(content for kind, content in boxes(mp4) if kind == "moov")
    assert b"avc1" in moov
    assert b"avcC" in moov
    assert all(b"tfdt" in content for kind, content in boxes(mp4) if kind == "moof")


def test_a_clips_files_are_named_and_sized_as_stated(case: Case) -> None:
    (clip,) = case.clips
    names = sorted(path.name for path in clip.sealed_file.parent.glob(f"{clip.clip_id}*"))
    assert names == [f"{clip.clip_id}{ending}" for ending in (".json", ".json.sig", ".mp4.age")]
    assert clip.signature_file.stat().st_size == 64
    text = clip.manifest_file.read_text(encoding="utf-8")
    assert text.startswith('{\n  "schema": "mirrorcam/manifest/1",\n')
    assert text.endswith("}\n")


def test_a_keyslot_is_the_age_file_that_is_stated(tmp_path: Path) -> None:

    (tmp_path / "keyslots").mkdir()
    key = station_key(tmp_path / "keyslots", tmp_path / "station.pub", "a-example")
    key.make(SetUp(), lambda: "seven invented demo words", 18)
    header = (tmp_path / "keyslots/a-example.age").read_bytes().split(b"\n---")[0]
    assert re.fullmatch(rb"age-encryption\.org/v1\n-> scrypt [A-Za-z0-9+/]{22} 18\n\S{43}", header)
    assert (tmp_path / "station.pub").read_text().startswith("age1pq1")
