"""What a unit says became of an update: kept, the newest of each unit, and written into the custody log."""

from datetime import timedelta

import structlog

from dock_station.catalogue import entries, updates
from dock_station.catalogue.updates import Told
from dock_station.dock import Dock
from evidence.docking import Outcome, UpdateOutcome

log = structlog.get_logger()

# Entries a day about one unit's updates, of which an honest one writes one or two. Beyond it the journal alone has
# them: a unit in wrong hands tells something else hundreds of times a second, and the log keeps each entry for ever.
MOST_A_DAY = 20
ACTIONS = {outcome: f"update-{outcome.value}" for outcome in Outcome}


def note(dock: Dock, unit_id: str, outcome: UpdateOutcome) -> None:
    """Keep what a unit tells; to tell the same once more changes nothing."""
    told = Told(unit_id, outcome.release, outcome.outcome.value, outcome.reason, dock.clock())
    with dock.catalogue.writing() as connection:
        if not updates.note(connection, told):
            return
        subject, day_before = f"unit:{unit_id}", told.told_at - timedelta(days=1)
        if entries.count_between(connection, subject, ACTIONS.values(), day_before, told.told_at) < MOST_A_DAY:
            dock.custody.append(
                connection,
                actor=subject,
                action=ACTIONS[outcome.outcome],
                subject=subject,
                details={"release": told.release, "reason": told.reason},
            )
    log.info("update_told", unit_id=unit_id, release=told.release, outcome=told.outcome)
