"""What a clip is, as far as it says so to everybody: its manifest, its header, its length; nothing is verified."""

from collections import Counter
from dataclasses import dataclass

from evidence import manifest as manifests
from evidence.age import CHUNK_SIZE, SEALED_CHUNK_SIZE, AgeError, Header, read_header
from evidence.age.stream import PAYLOAD_NONCE_SIZE, TAG_SIZE
from evidence.clip_files import ClipFiles
from evidence.manifest import Manifest
from evidence.unsealing import BadFileError


@dataclass(frozen=True)
class Layout:
    """How a sealed file is laid out; all sizes in bytes, `kinds` the number of recipients of each kind."""

    sealed_bytes: int
    header_bytes: int
    kinds: dict[str, int]
    whole_chunks: int
    leftover_bytes: int

    @classmethod
    def of(cls, header: Header, sealed_bytes: int) -> "Layout":
        """Compute the layout of a file of so many bytes that begins with this header."""
        payload = max(0, sealed_bytes - header.size - PAYLOAD_NONCE_SIZE)
        whole, leftover = divmod(payload, SEALED_CHUNK_SIZE)
        kinds = Counter(stanza.kind for stanza in header.stanzas)
        return cls(sealed_bytes, header.size, dict(kinds), whole, leftover)

    @property
    def chunks(self) -> int:
        """How many chunks there are, a last one that is not full included."""
        return self.whole_chunks + bool(self.leftover_bytes)

    @property
    def plain_bytes(self) -> int:
        """How many bytes of MP4 come out at most."""
        return self.whole_chunks * CHUNK_SIZE + max(0, self.leftover_bytes - TAG_SIZE)

    @property
    def is_surely_cut(self) -> bool:
        """Whether no age file can have this length; most cuts show only to whoever has a key."""
        # An empty final chunk, a tag alone, is allowed where it is the only one.
        return 0 < self.leftover_bytes < TAG_SIZE + bool(self.whole_chunks) or not self.chunks


@dataclass(frozen=True)
class Inspection:
    """What a clip says of itself; `manifest` is None where there is none beside it."""

    files: ClipFiles
    layout: Layout
    manifest: Manifest | None

    @property
    def end(self) -> str:
        """Whether the end is there, as far as that can be known without a key, in words."""
        if self.layout.is_surely_cut:
            return "missing: no sealed file of this length is whole"
        if self.manifest is None:
            return "not known without a manifest or a key"
        missing = self.manifest.ciphertext_bytes - self.layout.sealed_bytes
        if missing:
            what = f"{missing} bytes fewer" if missing > 0 else f"{-missing} bytes more"
            return f"wrong: the file has {what} than its manifest says"
        if not self.manifest.complete:
            return f"missing, as the manifest says ({self.manifest.ended_by}); all before it can be opened"
        return "there, as the manifest says"


def inspect(files: ClipFiles) -> Inspection:
    """Look at a clip without a key; raises BadFileError, SchemaError or OSError."""
    with files.sealed.open("rb") as sealed:
        try:
            header = read_header(sealed)
        except AgeError as error:
            raise BadFileError(files.sealed, error) from error
    layout = Layout.of(header, files.sealed.stat().st_size)
    manifest = manifests.decode(files.read_manifest()) if files.manifest.is_file() else None
    return Inspection(files, layout, manifest)
