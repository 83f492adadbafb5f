"""The unit as a real process: a touch becomes a clip, the clip goes to a real dock, and every end leaves it whole."""

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from appliance.installation import Installation
from appliance.settings import UnitFolder
from dock_station.catalogue import units
from evidence import manifest as manifests
from evidence.age import X25519Identity, open_bytes
from tests.dock import RunningDock, running_dock, until
from tests.pki import policy_toml, write_policy
from tests.unit_process import UnitProcess, call, running_unit
from tests.worn import enrol

SMALL = "video_width = 320\nvideo_height = 240\nvideo_bits_per_second = 500000"
STATION = X25519Identity.generate()
POLICY = policy_toml(recipients=(str(STATION.recipient),))


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        write_policy(dock.dock.folder, dock.pki, POLICY)
        yield dock


@pytest.fixture
def folder(tmp_path: Path, dock: RunningDock) -> UnitFolder:
    return enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}", policy=POLICY, settings=SMALL)


@pytest.fixture
def unit(folder: UnitFolder) -> Iterator[UnitProcess]:
    with running_unit(folder.path, "--headless") as unit:
        unit.wait_for("standby")
        yield unit


def test_a_touch_becomes_a_clip_and_the_clip_is_handed_over(
    dock: RunningDock, folder: UnitFolder, unit: UnitProcess
) -> None:
    ended = unit.record()
    assert (ended["ended_by"], ended["complete"], ended["sequence"]) == ("wearer", True, 1)
    unit.say("dock")
    offloaded = unit.wait_for("offloaded")
    assert (offloaded["delivered"], offloaded["refused"]) == (1, 0)
    told = unit.events[unit.events.index("standby") :]
    assert told[:3] == ["standby", "recording_started", "first_durable"]
    assert set(told[3:5]) == {"recording_ended", "standby"}
    assert told[5:] == ["docked", "greeted", "uploaded", "receipt", "deleted", "offloaded"]
    assert {line["clip_id"] for line in unit.lines if "clip_id" in line} == {ended["clip_id"]}
    assert unit.wait_for("receipt")["sha256"] == ended["sha256"]
    stored = dock.stored(ended["clip_id"])
    assert stored is not None
    assert stored.ciphertext_sha256 == ended["sha256"]
    assert played(dock.dock.vault.sealed_file(stored.vault_key).read_bytes()) == ended["frames_written"]
    assert {path.name for path in folder.data.iterdir()} == {
        "spool.json",
        "spool.twin.json",
        "clock.json",
        "uploads.json",
    }
    unit.say("quit")
    assert unit.end() == 0
    assert unit.events[-1] == "stopped"
    assert unit.errors == ""


def test_after_undocking_it_records_under_the_policy_that_the_dock_has_brought(
    dock: RunningDock, unit: UnitProcess
) -> None:
    changed = POLICY.replace('"test"', '"changed"') + "pre_record_seconds = 0\n"
    write_policy(dock.dock.folder, dock.pki, changed)
    unit.say("dock")
    unit.wait_for("offloaded")
    unit.say("undock")
    unit.wait_for("standby", count=2)
    ended = unit.record()
    assert ended["pre_record_seconds"] == 0
    unit.say("dock")
    unit.wait_for("deleted")
    stored = dock.stored(ended["clip_id"])
    assert stored is not None
    assert stored.policy_id == "changed"


def test_docking_in_the_middle_of_a_recording_closes_the_clip_and_hands_it_over(
    dock: RunningDock, unit: UnitProcess
) -> None:
    unit.say("touch")
    unit.wait_for("first_durable")
    unit.say("dock")
    assert unit.wait_for("recording_ended")["ended_by"] == "docked"
    assert dock.stored(unit.wait_for("deleted")["clip_id"])


def test_sigterm_in_the_middle_of_a_recording_closes_the_clip(folder: UnitFolder, unit: UnitProcess) -> None:
    unit.say("touch")
    unit.wait_for("first_durable")
    assert unit.end(signal.SIGTERM) == 0
    ended = unit.wait_for("recording_ended")
    assert (ended["ended_by"], ended["complete"]) == ("shutdown", True)
    (clip,) = Installation.open(folder.path).spool.waiting()
    assert played(clip.sealed_file.read_bytes()) == ended["frames_written"]


def test_sigkill_leaves_a_clip_that_the_next_start_closes_as_cut_by_a_power_loss(
    dock: RunningDock, folder: UnitFolder, unit: UnitProcess
) -> None:
    clip_id = kill_while_recording(folder, unit)
    with running_unit(folder.path, "--headless") as again:
        recovered = again.wait_for("recovered")
        assert (recovered["clip_id"], recovered["remains"]) == (clip_id, "cut")
        closed = again.wait_for("closed")
        assert (closed["clip_id"], closed["remains"]) == (clip_id, "cut")
        again.wait_for("first_durable")
        again.say("dock")
        again.wait_for("deleted")
    stored = dock.stored(clip_id)
    assert stored is not None
    assert (stored.complete, stored.ended_by) == (False, "power-lost")


def test_after_a_crash_the_recording_goes_on_by_itself_until_the_wearer_holds(
    folder: UnitFolder, unit: UnitProcess
) -> None:
    cut = kill_while_recording(folder, unit)
    with running_unit(folder.path, "--headless") as again:
        resumed = again.wait_for("resumed")
        assert resumed["after"] == cut
        assert again.wait_for("recording_started")["clip_id"] == resumed["clip_id"] != cut
        assert again.wait_for("told")["headline"] == "Recording goes on after a fault"
        assert "standby" not in again.events
        again.say("hold 2.2")
        ended = again.wait_for("recording_ended")
        assert (ended["clip_id"], ended["ended_by"], ended["sequence"]) == (resumed["clip_id"], "wearer", 2)
        again.wait_for("standby")


def test_after_a_reboot_the_unit_is_in_standby_and_the_next_look_at_it_says_what_happened(
    folder: UnitFolder, unit: UnitProcess
) -> None:
    cut = kill_while_recording(folder, unit)
    draft = folder.data / f"{cut}.draft"
    boot_id = manifests.decode(draft.read_bytes()).boot_id.encode()
    draft.write_bytes(draft.read_bytes().replace(boot_id, b"00000000-0000-4000-8000-000000000000"))
    with running_unit(folder.path, "--headless") as again:
        again.wait_for("standby")
        assert "told" not in again.events
        again.record()
        assert again.wait_for("told")["headline"] == "The unit has started again"
        assert "resumed" not in again.events
        assert len([event for event in again.events if event == "recording_started"]) == 1


def test_the_end_of_the_input_ends_the_unit(unit: UnitProcess) -> None:
    assert unit.process.stdin
    unit.process.stdin.close()
    assert unit.end() == 0


def test_a_line_that_is_not_understood_is_told(unit: UnitProcess) -> None:
    unit.say("dance")
    assert "'dance' is none of" in unit.wait_for("misread")["sentence"]


def test_a_second_process_in_the_same_folder_is_refused(folder: UnitFolder, unit: UnitProcess) -> None:
    for command in (("run", "--camera", "auto", "--headless"), ("dock",)):
        refused = call(command[0], "--folder", folder.path, *command[1:])
        assert refused.returncode == 5
        assert refused.stdout == ""
        assert refused.stderr == (
            f"mirrorcam-unit: Another mirrorcam-unit is at work in {folder.path}: end it first, or dock with it.\n"
        )
    assert "at work" in call("status", "--folder", folder.path).stdout


def test_a_clip_that_waits_is_shown_and_handed_over_by_the_command_line(
    dock: RunningDock, folder: UnitFolder, unit: UnitProcess
) -> None:
    ended = unit.record()
    unit.say("quit")
    assert unit.end() == 0
    shown = call("status", "--folder", folder.path).stdout
    assert ended["clip_id"] in shown
    assert "switched off" in shown
    docked = call("dock", "--folder", folder.path)
    assert (docked.returncode, docked.stdout) == (0, "1 clip handed over. The unit is empty.\n")
    assert dock.stored(ended["clip_id"])
    shown = call("status", "--folder", folder.path).stdout
    assert "No clip waits for the dock." in shown
    assert "set by a dock on" in shown


def test_the_wearer_whom_the_dock_named_is_in_the_next_manifest(
    dock: RunningDock, folder: UnitFolder, unit: UnitProcess
) -> None:
    unit.say("dock")
    unit.wait_for("offloaded")
    with dock.dock.catalogue.writing() as connection:
        units.issue(connection, "unit-1", "wearer-12")
    unit.say("undock")
    unit.wait_for("standby", count=2)
    unit.say("dock")
    unit.wait_for("offloaded", count=2)
    unit.say("undock")
    unit.wait_for("standby", count=3)
    ended = unit.record()
    unit.say("quit")
    assert unit.end() == 0
    (clip,) = Installation.open(folder.path).spool.waiting()
    assert (clip.clip_id, clip.manifest.wearer) == (ended["clip_id"], "wearer-12")
    assert "wearer-12" not in str(unit.lines)


def kill_while_recording(folder: UnitFolder, unit: UnitProcess) -> str:
    """Let the unit die in the middle of a clip, and return which clip that was."""
    unit.say("touch")
    clip_id: str = unit.wait_for("first_durable")["clip_id"]
    growing = folder.data / f"{clip_id}.mp4.age.part"
    until(lambda: growing.stat().st_size > 200_000)
    unit.end(signal.SIGKILL)
    return clip_id


def played(sealed: bytes) -> int:
    """Open a sealed clip, decode it, and return how many pictures it has."""
    with av.open(io.BytesIO(open_bytes(sealed, [STATION])), mode="r") as clip:
        return sum(1 for _ in clip.decode(video=0))
