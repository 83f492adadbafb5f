"""A unit's folder for tests of root's part: a Raspberry Pi's boot choice, real notes, and a log to be read."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.updates.installing import Installing
from appliance.updates.notes import Notes
from appliance.updates.places import UpdatePlaces
from appliance.updates.raspberry_pi import RaspberryPi
from appliance.updates.rauc import Rauc
from appliance.updates.signs import Sign, Signs
from appliance.updates.slots import BootChoice, Slot
from appliance.updates.trial import TrialWatch
from appliance.updates.update_journal import UpdateJournal
from evidence.docking import UpdateOffer
from evidence.release import Installed, Release
from evidence.strict import write_json
from tests.signed_bundles import COMPATIBLE, NEWER, RUNS

AUTOBOOT = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
OFFER = UpdateOffer(release=NEWER, compatible=COMPATIBLE, bytes=1000, sha256="0" * 64)


@dataclass
class Bench:
    """What root's programs work on; `restarts` is what they have asked of the service manager."""

    folder: Path
    slot: Slot = Slot.A
    release: str = RUNS
    restarts: list[str | None] = field(default_factory=list)
    output: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.places = UpdatePlaces(self.folder / "unit")
        self.places.arriving.mkdir(parents=True)
        self.notes = Notes(self.places)
        (self.folder / "signs").mkdir()
        self.signs = Signs(self.folder / "signs")
        self.autoboot = self.folder / "autoboot.txt"
        self.autoboot.write_text(AUTOBOOT)
        self.choice = RaspberryPi(self.autoboot, booted=lambda: self.slot)
        self.journal = UpdateJournal(self.output)

    @property
    def running(self) -> Installed:
        return Installed(Release.parse(self.release), COMPATIBLE)

    def installing(
        self,
        rauc: Rauc | None = None,
        *,
        choice: BootChoice | None = None,
        restart: Callable[[str | None], None] | None = None,
    ) -> Installing:
        """Return root's installing on this bench; without RAUC where it is not to get that far."""
        return Installing(
            self.places,
            running=self.running,
            choice=choice or self.choice,
            signs=self.signs,
            rauc=rauc or Rauc(),
            journal=self.journal,
            restart=restart or self.restarts.append,
        )

    def watching(self, *, choice: BootChoice | None = None, **surroundings: Any) -> TrialWatch:
        """Return root's watch of a trial on this bench; `surroundings` are its cable and its time."""
        return TrialWatch(
            self.places,
            running=self.running,
            choice=choice or self.choice,
            signs=self.signs,
            journal=self.journal,
            restart=self.restarts.append,
            **surroundings,
        )

    def permit(self) -> None:
        self.signs.give(Sign.PERMIT)

    def put_bundle(self, content: bytes = b"a bundle") -> None:
        self.places.bundle.write_bytes(content)
        self.places.offer.write_bytes(write_json(OFFER))

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.output.getvalue().splitlines()]
