"""What a unit says became of an update: kept, the newest of each unit, and written into the custody log."""

import structlog

from dock_station.catalogue import updates
from dock_station.catalogue.updates import Told
from dock_station.dock import Dock
from evidence.docking import UpdateOutcome

log = structlog.get_logger()


def note(dock: Dock, unit_id: str, outcome: UpdateOutcome) -> None:
    """Keep what a unit tells; to tell the same once more changes nothing."""
    told = Told(unit_id, outcome.release, outcome.outcome.value, outcome.reason, dock.clock())
    with dock.catalogue.writing() as connection:
        if not updates.note(connection, told):
            return
        dock.custody.append(
            connection,
            actor=f"unit:{unit_id}",
            action=f"update-{told.outcome}",
            subject=f"unit:{unit_id}",
            details={"release": told.release, "reason": told.reason},
        )
    log.info("update_told", unit_id=unit_id, release=told.release, outcome=told.outcome)
