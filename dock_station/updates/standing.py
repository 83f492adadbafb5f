"""How a unit stands with its software: what it runs, what it is offered, and what became of the last update."""

from dataclasses import dataclass

from sqlalchemy import Connection

from dock_station.catalogue import updates
from dock_station.catalogue.units import Unit
from dock_station.catalogue.updates import Told
from dock_station.updates.offers import OfferUnusableError, offer_in
from evidence.docking import Outcome, UpdateOffer
from evidence.release import Release, release_in
from evidence.update_files import UpdateFiles


@dataclass(frozen=True)
class Standing:
    """One unit's software: its release (None where it names none), the offer that it may take, the newest outcome."""

    release: Release | None
    waiting: UpdateOffer | None
    told: Told | None


@dataclass(frozen=True)
class Updates:
    """What a dock knows of updates at one moment; `trouble` says why its offer cannot be used."""

    offer: UpdateOffer | None
    trouble: str | None
    told: dict[str, Told]

    def of(self, unit: Unit) -> Standing:
        """Return how a unit stands; an offer waits for it unless it runs that release, or said why it does not."""
        release, told = release_in(unit.software), self.told.get(unit.unit_id)
        is_behind = self.offer is not None and (release is None or release < Release.parse(self.offer.release))
        is_given_up = (
            self.offer is not None
            and told is not None
            and told.release == self.offer.release
            and told.outcome != Outcome.CONFIRMED
        )
        return Standing(release, self.offer if is_behind and not is_given_up else None, told)


def read_updates(connection: Connection, files: UpdateFiles) -> Updates:
    """Return what is offered now, and what each unit has told."""
    offer, trouble = None, None
    try:
        offer = offer_in(files)
    except OfferUnusableError as error:
        trouble = str(error)
    return Updates(offer, trouble, {told.unit_id: told for told in updates.everyone(connection)})
