"""A trial that nobody watches ends by one restart, whatever of the release on trial does not run."""

import os
import subprocess
from pathlib import Path

import pytest

from appliance.updates.notes import Notes, Trial
from appliance.updates.places import UpdatePlaces
from appliance.updates.slots import Slot

GUARD = Path(__file__).parents[4] / "provisioning/image/recipe/overlay/usr/lib/mirrorcam/trial-guard"


class Unit:
    """What the guard looks at, and a service manager that says what it is told to, and keeps what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.slot, self.recording, self._asked = folder / "slot", folder / "recording", folder / "asked"
        self._watched, self._programs = folder / "watched", folder / "programs"
        self.places = UpdatePlaces(folder)
        self.places.system.mkdir()
        self._programs.mkdir()
        manager = self._programs / "systemctl"
        manager.write_text(
            f'#!/bin/sh\n[ $1 != is-active ] || exec test -e {self._watched}\necho "$@" >> {self._asked}\n'
        )
        manager.chmod(0o755)
        self.slot.write_text("b\n")
        self.note(starts=1)

    def note(self, *, starts: int) -> None:
        Notes(self.places).keep_trial(Trial(release="0.2.0+20261120T000000Z", slot=Slot.B, starts=starts))

    def watch(self) -> None:
        self._watched.touch()

    def guard(self) -> list[str]:
        """Have the guard look once, and return all that it has asked the service manager for so far."""
        command = [GUARD, self.places.system, self.slot, self.recording]
        path = f"{self._programs}:{os.environ['PATH']}"
        subprocess.run(command, check=True, capture_output=True, env={"PATH": path})
        return self._asked.read_text().splitlines() if self._asked.exists() else []


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def test_a_trial_that_nobody_watches_ends_by_a_restart_and_no_second_one(unit: Unit) -> None:
    assert unit.guard() == ["reboot"]
    assert unit.guard() == ["reboot"]
    unit.note(starts=2)
    assert unit.guard() == ["reboot", "reboot"]


def test_a_trial_that_is_watched_is_left_alone(unit: Unit) -> None:
    unit.watch()
    assert unit.guard() == []


def test_a_unit_that_records_is_left_alone_until_the_clip_has_ended(unit: Unit) -> None:
    unit.recording.touch()
    assert unit.guard() == []
    unit.recording.unlink()
    assert unit.guard() == ["reboot"]


def test_the_slot_from_before_is_left_alone(unit: Unit) -> None:
    unit.slot.write_text("a\n")
    assert unit.guard() == []


def test_without_a_trial_there_is_nothing_to_do(unit: Unit) -> None:
    unit.places.trial.unlink()
    assert unit.guard() == []
