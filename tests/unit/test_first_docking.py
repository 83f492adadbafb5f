"""The first docking as a whole, by real processes and real TLS: a card becomes a unit that hands its clip over."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.settings import UnitFolder
from provisioning.demo.processes import command, run
from tests.enrolling import Town, WorkingDock, working_dock
from tests.unit_process import call, environment, running_unit


@pytest.fixture(scope="module")
def dock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkingDock]:
    with working_dock(Town.create(tmp_path_factory.mktemp("town"))) as dock:
        yield dock


def units_of(dock: WorkingDock) -> str:
    words = [command("mirrorcam-dock"), "unit", "list", "--folder", str(dock.town.dock.path)]
    return subprocess.run(words, capture_output=True, text=True, check=True, env=environment()).stdout


def enrol(dock: WorkingDock, name: str, unit_id: str) -> UnitFolder:
    """Enrol a new unit, and leave it switched off."""
    with dock.open_enrolment() as (_, port), dock.it() as person:
        folder = dock.town.card(name, port)
        with running_unit(folder.path, "--headless") as unit:
            code = unit.wait_for("enrolment_code")["code"]
            assert person.confirm(code, unit_id).status_code == 302
            unit.wait_for("standby")
            unit.say("quit")
            assert unit.end() == 0
    return folder


def test_a_card_without_a_key_becomes_a_unit_that_hands_its_clip_over(dock: WorkingDock) -> None:
    with dock.open_enrolment() as (signing, port), dock.it() as person:
        folder = dock.town.card("first", port, "screen_width = 640\nscreen_height = 400\n")
        assert {path.name for path in folder.path.iterdir()} == {"authority.crt", "enrolment.toml"}
        with running_unit(folder.path, "--headless") as unit:
            unit.wait_for("new_unit")
            code = unit.wait_for("enrolment_code")["code"]
            assert "started" not in unit.events, "no camera before there is a policy"
            page = person.client.get("/enrolment").text
            assert code not in page
            assert 'value="unit-01"' in page, "the next free id is proposed"
            assert person.confirm(f"{code[:3]} {code[3:]}", "unit-01").status_code == 302
            assert unit.wait_for("enrolled")["unit_id"] == "unit-01"
            assert unit.wait_for("started")["unit_id"] == "unit-01"
            unit.wait_for("standby")
            clip = unit.record()["clip_id"]
            unit.say("dock")
            assert unit.wait_for("deleted")["clip_id"] == clip
            unit.say("quit")
            assert unit.end() == 0
        assert signing.interrupt() == 0
        assert signing.said[-2:] == ["unit-01  certificate issued", "Enrolment is closed; 1 unit enrolled."]
    dock.program.wait_for("stopped", listener="enrolment")
    assert stat.S_IMODE(folder.key_file.stat().st_mode) == 0o600
    settings = folder.settings()
    assert (settings.unit_id, settings.screen_width, settings.screen_height) == ("unit-01", 640, 400)
    assert clip in run("mirrorcam-dock", "clips", "list", "--folder", str(dock.town.dock.path))
    (line,) = [line for line in units_of(dock).splitlines() if "unit-01" in line]
    assert "mirrorcam 0.1.0" in line
    assert " GB" in line
    assert "until 20" in line


def test_a_revoked_unit_is_refused_at_the_bays_at_once_and_reissued_it_goes_on_with_its_chain(
    dock: WorkingDock,
) -> None:
    folder = enrol(dock, "second", "unit-02")
    with running_unit(folder.path, "--headless") as unit:
        unit.wait_for("standby")
        unit.record()
        unit.say("quit")
        unit.end()
    assert call("dock", "--folder", folder.path).returncode == 0
    done = dock.town.provision("unit", "reissue", "unit-02", "--authority", "town", "--into", "dock")
    assert done.returncode == 0, done.stderr
    refused = call("dock", "--folder", folder.path)
    assert refused.returncode == 3
    assert "revoked" in refused.stderr
    assert "revoked" in units_of(dock)
    assert "to be enrolled again" in dock.town.provision("unit", "list", "--authority", "town").stdout

    anew = enrol(dock, "second-anew", "unit-02")
    assert anew.key_file.read_bytes() != folder.key_file.read_bytes()
    with running_unit(anew.path, "--headless") as unit:
        unit.wait_for("standby")
        assert unit.record()["sequence"] == 2
        unit.say("dock")
        unit.wait_for("deleted")
        unit.say("quit")
        unit.end()
    assert call("dock", "--folder", folder.path).returncode == 3, "the old key stays out"


def test_while_enrolment_is_closed_a_new_unit_waits_and_can_be_switched_off(dock: WorkingDock, tmp_path: Path) -> None:
    with dock.open_enrolment() as (_, port):
        folder = dock.town.card("waits", port)
    dock.program.wait_for("stopped", listener="enrolment")
    with running_unit(folder.path, "--headless") as unit:
        unit.wait_for("headless")
        unit.process.terminate()
        assert unit.end() == 0
        assert unit.events == ["new_unit", "headless", "stopped"]
    assert not folder.key_file.exists(), "no dock was met, so no key was made"
