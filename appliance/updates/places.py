"""Where an update lies on the unit: what its own process fetches, and what root alone writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class UpdatePlaces:
    """The two folders of an update in the unit's folder.

    `update/` belongs to the unit's process: bundles arrive there. `system/` belongs to root: what is believed of an
    update stands there, and the unit's process reads it.
    """

    unit: Path

    @property
    def arriving(self) -> Path:
        """The folder that bundles are fetched into."""
        return self.unit / "update"

    @property
    def bundle(self) -> Path:
        """A bundle that is there as a whole; whether it is good nobody has said yet."""
        return self.arriving / "bundle.raucb"

    @property
    def offer(self) -> Path:
        """What the dock said of that bundle, UpdateOffer as JSON."""
        return self.arriving / "offer.json"

    @property
    def told(self) -> Path:
        """The outcome that a dock knows already, as it was told."""
        return self.arriving / "told.json"

    def part(self, sha256: str) -> Path:
        """As much as there is of a bundle that is being fetched."""
        return self.arriving / f"{sha256}.part"

    @property
    def system(self) -> Path:
        """The folder of root's notes."""
        return self.unit / "system"

    @property
    def taken(self) -> Path:
        """A bundle that root has taken over, to judge and to write it."""
        return self.system / "bundle.raucb"

    @property
    def has_bundle(self) -> bool:
        """Whether one is there as a whole, on either side."""
        return self.bundle.exists() or self.taken.exists()

    @property
    def trial(self) -> Path:
        """The note of the slot that is to be tried, or is being tried; there is none at any other time."""
        return self.system / "trial.json"

    @property
    def outcomes(self) -> Path:
        """The note of what became of updates."""
        return self.system / "updates.json"

    @property
    def rauc(self) -> Path:
        """Where RAUC keeps what it knows of the slots; system.conf names the same place."""
        return self.system / "rauc"
