"""The command `mirrorcam-dock unit list`: what it says of updates."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dock_station.catalogue import units
from dock_station.commands.care import unit_app
from dock_station.settings import DockFolder
from dock_station.updates import outcomes
from evidence.docking import Greeting, Outcome, UpdateOffer, UpdateOutcome
from evidence.release import Release
from tests.stored import StoredDock


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredDock]:
    dock = StoredDock(tmp_path / "dock")
    yield dock
    dock.dock.close()


def unit_list(stored: StoredDock) -> str:
    done = CliRunner().invoke(unit_app, ["list", "--folder", str(stored.path)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_list_of_units_says_what_each_runs_what_waits_for_it_and_what_became_of_its_update(
    stored: StoredDock,
) -> None:
    now = stored.time.now()
    runs = Greeting(
        unit_id="unit-1",
        software=Release.parse("0.1.0+20261120T000000Z").software,
        sent_at=now,
        clips_waiting=0,
        storage_free_bytes=1,
        storage_total_bytes=2,
        battery_percent=None,
        temperature_celsius=None,
        seen_heads=(),
    )
    with stored.dock.catalogue.writing() as connection:
        units.greeted(connection, runs, now)
    files = DockFolder(stored.path).updates
    files.prepare()
    files.write_offer(
        UpdateOffer(release="0.2.0+20261120T000000Z", compatible="mirrorcam-debian", bytes=1, sha256="0" * 64)
    )
    listed = unit_list(stored)
    assert "0.1.0+20261120T000000Z, 0.2.0+20261120T000000Z waits for it" in " ".join(listed.split())
    assert "Offered to the units: release 0.2.0+20261120T000000Z for mirrorcam-debian." in listed
    told = UpdateOutcome(
        release="0.2.0+20261120T000000Z", outcome=Outcome.ROLLED_BACK, reason="The camera gave no picture."
    )
    outcomes.note(stored.dock, "unit-1", told)
    listed = unit_list(stored)
    assert "waits for it" not in listed
    assert f"unit-1: release {told.release} was rolled back, {now:%Y-%m-%d}" in listed
    assert "The camera gave no picture." in listed
    files.offer_file.write_text("{")
    assert "bundle withdraw" in unit_list(stored)
