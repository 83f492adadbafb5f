"""The chain of a unit's manifests: each names the digest of the one before, so a missing clip shows."""

import hashlib
from dataclasses import dataclass

from evidence.errors import NotGenuineError
from evidence.manifest import Manifest


@dataclass(frozen=True)
class Link:
    """The newest manifest of a unit: its sequence number and the SHA-256 (hex) of its bytes."""

    sequence: int
    manifest_sha256: str


class ChainError(NotGenuineError):
    """A manifest does not follow the one that came before it."""


class ReplayedError(ChainError):
    """A manifest's sequence number was used before, by another manifest."""

    def __init__(self, manifest: Manifest, newest: Link) -> None:
        super().__init__(
            f"Clip {manifest.clip_id} of unit {manifest.unit_id} has sequence {manifest.sequence}, which was used "
            f"before (the newest is {newest.sequence}); the unit was copied or set back: have IT look at it."
        )


class GapError(ChainError):
    """Manifests are missing before this one."""

    def __init__(self, manifest: Manifest, expected: int) -> None:
        super().__init__(
            f"Clip {manifest.clip_id} of unit {manifest.unit_id} has sequence {manifest.sequence}, but {expected} "
            "comes next; dock the missing clips first, or have a gap accepted."
        )
        self.expected = expected


class BrokenChainError(ChainError):
    """A manifest names another predecessor than the one we have."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(
            f"Clip {manifest.clip_id} of unit {manifest.unit_id} names another predecessor than the clip before it; "
            "one of the two was changed: have IT look at the unit."
        )


def link_of(manifest: Manifest, content: bytes) -> Link:
    """Return the link that `manifest`, whose stored bytes are `content`, adds to its unit's chain."""
    return Link(manifest.sequence, hashlib.sha256(content).hexdigest())


def check_follows(manifest: Manifest, newest: Link | None) -> None:
    """Check that `manifest` comes next after `newest` (None: nothing yet); raises a ChainError that says why not."""
    expected = newest.sequence + 1 if newest else 1
    if newest and manifest.sequence < expected:
        raise ReplayedError(manifest, newest)
    if manifest.sequence > expected:
        raise GapError(manifest, expected)
    if newest and manifest.previous_manifest_sha256 != newest.manifest_sha256:
        raise BrokenChainError(manifest)
