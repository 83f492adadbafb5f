"""A bit flipped anywhere in a clip's three files, or a byte cut off any of them, is found by who verifies or opens."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from evidence import manifest as manifests
from evidence.age import HybridIdentity, Identity, X25519Identity, seal_bytes
from evidence.clip_files import ClipFiles
from evidence.errors import EnvironmentalError, KeyDoesNotFitError, MirrorcamError, NotGenuineError
from evidence.inspection import inspect
from evidence.unsealing import OpenClip, opened
from evidence.verification import Trust, check_clip
from tests.pki import Pki
from tests.unit.evidence.samples import MANIFEST

CONTENT = b"not a film, but as good as one here " * 4


class Small:
    """A clip small enough to try every byte of, and what verifies it."""

    def __init__(self, folder: Path, identity: X25519Identity | HybridIdentity) -> None:
        pki = Pki(now=MANIFEST.started_at)
        unit = pki.unit(MANIFEST.unit_id)
        (folder / "authority.crt").write_bytes(pki.pem)
        (folder / "any.crt").write_bytes(unit.certificate_pem)
        self.trust = Trust(folder / "authority.crt", folder / "any.crt")
        sealed = seal_bytes(CONTENT, [identity.recipient])
        manifest = msgspec.structs.replace(
            MANIFEST, ciphertext_bytes=len(sealed), ciphertext_sha256=hashlib.sha256(sealed).hexdigest()
        )
        base = folder / manifest.clip_id
        self.identities: list[Identity] = [identity]
        base.with_name(f"{base.name}.mp4.age").write_bytes(sealed)
        base.with_name(f"{base.name}.json").write_bytes(manifests.encode(manifest))
        base.with_name(f"{base.name}.json.sig").write_bytes(unit.signer().sign(manifests.encode(manifest)))
        self.files = ClipFiles.named(base)

    def verify(self) -> None:
        check_clip(self.files, self.trust, lambda size: None)

    def open(self) -> bytes:
        taken = bytearray()
        with opened(self.files.sealed, self.identities) as clip:
            copy(clip, taken)
        return bytes(taken)


def copy(clip: OpenClip, into: bytearray) -> None:
    class Sink:
        def write(self, data: memoryview, /) -> None:
            into.extend(data)

    clip.require_content()
    clip.copy_to(Sink(), lambda size: None)
    clip.check_end()


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path, X25519Identity.generate())


def spoil_everywhere(path: Path, attempt: Callable[[], object], allowed: tuple[type[MirrorcamError], ...]) -> int:
    """Flip one bit of each byte in turn, then cut at each length; every time the attempt must end in `allowed`."""
    good = path.read_bytes()
    attempts = 0
    flipped = (good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :] for at in range(len(good)))
    cut = (good[:length] for length in range(len(good)))
    for content in (*flipped, *cut, good + b"\x00"):
        path.write_bytes(content)
        with pytest.raises(allowed) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        attempts += 1
    path.write_bytes(good)
    attempt()
    return attempts


def test_a_small_clip_is_good_to_begin_with(small: Small) -> None:
    small.verify()
    assert small.open() == CONTENT


@pytest.mark.parametrize("name", ["sealed", "manifest", "signature"])
def test_no_byte_of_any_file_can_be_changed_unnoticed_by_verify(small: Small, name: str) -> None:
    path: Path = getattr(small.files, name)
    assert spoil_everywhere(path, small.verify, (NotGenuineError,)) > 2 * 60


@pytest.mark.parametrize("kind", [X25519Identity, HybridIdentity])
def test_no_byte_of_a_sealed_file_can_be_changed_unnoticed_by_open(
    tmp_path: Path, kind: type[X25519Identity | HybridIdentity]
) -> None:
    small = Small(tmp_path, kind.generate())
    # A changed stanza cannot be told from somebody else's, so the key does not fit then.
    spoil_everywhere(small.files.sealed, small.open, (NotGenuineError, KeyDoesNotFitError))


def test_inspection_of_a_spoilt_clip_ends_in_nothing_but_a_sentence(small: Small) -> None:
    sentences = []
    for path in (small.files.sealed, small.files.manifest):
        good = path.read_bytes()
        for at in range(len(good)):
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :])
            try:
                inspect(small.files)
            except (NotGenuineError, EnvironmentalError) as error:
                sentences.append(str(error))
        path.write_bytes(good)
    assert sentences
    assert not any("\n" in sentence for sentence in sentences)
