"""The fault log: words from lists alone, counted, bounded, whole after a power cut, untouched while all is well."""

import io
import itertools
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.faults import log as log_module
from appliance.faults.fault import Fault, What
from appliance.faults.keeping import KINDS
from appliance.faults.log import BOUND, FaultLog, this_boot
from appliance.faults.telling import of_last_run, of_service
from appliance.journal import Journal
from appliance.settings import UnitFolder
from appliance.states import State
from tests.pki import Pki
from tests.unit_process import call, running_unit
from tests.worn import enrol

SERVICES = Path(__file__).parents[3] / "systemd/system"
BOOT = "0b8e1c52-4f3a-4c57-9d6e-1f2a3b4c5d6e"
START = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
# A fault line's text has these words, numbers and moments, and nothing else.
WORDS = re.compile(r"[a-z-]*|[0-9a-f-]{36}|[A-Z]{2,6}[0-9]?|[0-9]{1,3}|[0-9-]{10}T[0-9:]{8}Z")


def moments() -> Iterator[datetime]:
    return (START + timedelta(seconds=second) for second in itertools.count())


def log_in(folder: Path, boot: str = BOOT) -> FaultLog:
    return FaultLog(folder, boot=lambda: boot, utc=moments().__next__)


def size(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir()}


def test_a_fault_is_one_line_of_words_from_lists(tmp_path: Path) -> None:
    log_in(tmp_path / "faults").note("mirrorcam-unit", What.SIGNAL, "KILL")
    (line,) = (tmp_path / "faults/faults.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "first": "2026-11-27T08:00:00Z",
        "last": "2026-11-27T08:00:00Z",
        "boot": BOOT,
        "part": "mirrorcam-unit",
        "what": "signal",
        "status": "KILL",
        "times": 1,
    }
    assert all(WORDS.fullmatch(value) for value in json.loads(line).values() if isinstance(value, str))
    assert (tmp_path / "faults").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("part", "status"),
    [
        ("019ac0de-0000-7000-8000-000000000001", ""),
        ("mirrorcam-unit a-example", ""),
        ("a-example", ""),
        ("camera", "a-example"),
        ("camera", "019ac0de"),
        ("mirrorcam-019ac0de", ""),
    ],
)
def test_a_name_or_a_clip_id_cannot_get_into_it(tmp_path: Path, part: str, status: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        log_in(tmp_path / "faults").note(part, What.FAILED, status)
    assert not (tmp_path / "faults").exists()


def test_a_loop_of_faults_is_counted_and_does_not_let_the_log_grow(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    for _ in range(3):
        log.note("mirrorcam-unit", What.WATCHDOG)
        log.note("camera", What.FAILED)
    before = size(tmp_path)
    for _ in range(50):
        log.note("mirrorcam-unit", What.WATCHDOG)
        log.note("camera", What.FAILED)
    assert [(fault.part, fault.times) for fault in log.faults()] == [("mirrorcam-unit", 53), ("camera", 53)]
    assert log.faults()[0].first == START
    assert log.faults()[0].last > START + timedelta(seconds=100)
    assert sum(size(tmp_path).values()) <= sum(before.values()) + 4  # each count has one figure more


def test_the_same_fault_after_another_start_is_a_line_of_its_own(tmp_path: Path) -> None:
    log_in(tmp_path).note("camera", What.FAILED)
    log_in(tmp_path, str(uuid.UUID(int=2))).note("camera", What.FAILED)
    assert [fault.times for fault in log_in(tmp_path).faults()] == [1, 1]


def test_it_is_bounded_and_the_newest_faults_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BOUND", 4096)
    for start in range(100):
        log_in(tmp_path, str(uuid.UUID(int=start))).note("mirrorcam-cable", What.EXIT_CODE, "5")
    assert set(size(tmp_path)) == {"faults.jsonl", "faults.before.jsonl"}
    assert all(each <= 4096 for each in size(tmp_path).values())
    boots = [uuid.UUID(fault.boot).int for fault in log_in(tmp_path).faults()]
    assert boots == list(range(boots[0], 100))
    assert len(boots) > 4096 // 200
    assert BOUND == 64 << 10


def test_a_power_cut_while_it_is_written_leaves_what_was_there_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_in(tmp_path)
    log.note("camera", What.FAILED)

    def cut(path: Path, content: bytes, *, mode: int) -> None:
        path.with_name(f".{path.name}.0000.new").write_bytes(content[:10])
        raise OSError(5, "the power went")

    with monkeypatch.context() as patched:
        patched.setattr(log_module, "write_durably", cut)
        with pytest.raises(OSError, match="the power went"):
            log.note("storage", What.FAILED)
    assert [fault.part for fault in log.faults()] == ["camera"]
    log.note("touch", What.LOST)
    assert [fault.part for fault in log.faults()] == ["camera", "touch"]
    assert set(size(tmp_path)) == {"faults.jsonl"}


def test_a_damaged_line_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.note("camera", What.FAILED)
    log.note("touch", What.LOST)
    file = tmp_path / "faults.jsonl"
    file.write_bytes(b"\0\0{\n" + file.read_bytes() + b'{"part": "camera"')
    assert [fault.part for fault in log.faults()] == ["camera", "touch"]


def test_services_that_fail_at_once_are_all_counted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "appliance.faults", "service", "--folder", str(tmp_path), "mirrorcam-cable"]
    told = {
        "MONITOR_SERVICE_RESULT": "exit-code",
        "MONITOR_EXIT_STATUS": "5",
        "MONITOR_UNIT": "mirrorcam-cable.service",
    }
    for process in [subprocess.Popen(command, env=told) for _ in range(4)]:
        assert process.wait() == 0
    (fault,) = FaultLog(tmp_path / "faults").faults()
    assert (fault.part, fault.what, fault.status, fault.times) == ("mirrorcam-cable", What.EXIT_CODE, "5", 4)
    assert fault.boot == this_boot()


@pytest.mark.parametrize("name", ["a-example", "mirrorcam-019ac0de", "../mirrorcam-unit"])
def test_what_is_no_service_of_ours_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "appliance.faults", "service", "--folder", str(tmp_path), name]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert list(tmp_path.iterdir()) == []


def test_the_service_managers_words_are_kept_and_no_others() -> None:
    told = {"MONITOR_SERVICE_RESULT": "watchdog", "MONITOR_EXIT_STATUS": "KILL"}
    assert of_service("mirrorcam-unit", told) == ("mirrorcam-unit", What.WATCHDOG, "KILL")
    odd = {"MONITOR_SERVICE_RESULT": "something new", "MONITOR_EXIT_STATUS": "a-example"}
    assert of_service("mirrorcam-unit", odd) == ("mirrorcam-unit", What.OTHER, "")
    assert of_service("mirrorcam-unit", {}) == ("mirrorcam-unit", What.OTHER, "")


def test_what_ended_the_last_run_is_told_where_the_hardware_remembers_it(tmp_path: Path) -> None:
    crashes, status = tmp_path / "pstore", tmp_path / "bootstatus"
    assert list(of_last_run(crashes, status)) == []
    crashes.mkdir()
    status.write_text("0\n")
    assert list(of_last_run(crashes, status)) == []
    (crashes / "1764230400").mkdir()
    status.write_text("32\n")
    assert list(of_last_run(crashes, status)) == [("kernel", What.OOPS), ("machine", What.RESTARTED)]
    status.write_text("unknown\n")
    assert list(of_last_run(crashes, status)) == [("kernel", What.OOPS)]


class TestTheUnit:
    def test_writes_nothing_while_there_are_no_faults(self, tmp_path: Path) -> None:
        with Journal(io.StringIO(), faults=FaultLog(tmp_path / "faults")) as journal:
            journal.started(unit_id="unit-1", policy_id="bocholt", waiting=0)
            journal.entered(State.STANDBY)
            journal.fault("offload_failed", "The dock was not reached.")
            journal.fault("clip_refused", "The dock refused a clip.")
            journal.fault("update_delayed", "The dock was not reached.")
        assert list(tmp_path.iterdir()) == []

    def test_keeps_that_an_update_failed(self, tmp_path: Path) -> None:
        with Journal(io.StringIO(), faults=FaultLog(tmp_path / "faults")) as journal:
            journal.fault("update_failed", "The update needs more room.")
        (fault,) = FaultLog(tmp_path / "faults").faults()
        assert (fault.part, fault.what) == ("update", What.FAILED)

    def test_keeps_each_kind_of_its_own_faults(self, tmp_path: Path) -> None:
        with Journal(io.StringIO(), faults=FaultLog(tmp_path / "faults")) as journal:
            for kind in KINDS:
                journal.fault(kind, "A sentence with a-example and 019ac0de-0000-7000-8000-000000000001 in it.")
        found = [(fault.part, fault.what) for fault in FaultLog(tmp_path / "faults").faults()]
        assert found == list(KINDS.values())
        assert b"example" not in (tmp_path / "faults/faults.jsonl").read_bytes()

    def test_says_that_a_fault_could_not_be_kept_and_goes_on(self, tmp_path: Path) -> None:
        (tmp_path / "faults").write_text("no folder")
        output = io.StringIO()
        with Journal(output, faults=FaultLog(tmp_path / "faults")) as journal:
            journal.fault("camera_failed", "No camera.")
            journal.fault("storage_full", "No room.")
        events = [json.loads(line)["event"] for line in output.getvalue().splitlines()]
        assert sorted(events) == ["fault", "fault", "fault_not_kept", "fault_not_kept"]

    def test_in_standby_has_no_fault_log_and_with_a_camera_that_is_lost_has_one(self, tmp_path: Path) -> None:
        folder = enrol(tmp_path / "unit", Pki(), "https://localhost:1")
        with running_unit(folder.path, "--headless") as unit:
            unit.wait_for("standby")
            assert not folder.faults.exists()
        with running_unit(folder.path, "--headless", camera="v4l2:/dev/video-none") as unit:
            unit.wait_for("fault")
            unit.say("quit")
            unit.wait_for("stopped")
            unit.process.wait()
        (fault,) = FaultLog(folder.faults).faults()
        assert (fault.part, fault.what, fault.times) == ("camera", What.FAILED, 1)
        shown = call("faults", "--folder", folder.path)
        assert shown.returncode == 0
        assert re.search(rf"{this_boot()[:8]} +camera +failed +1", shown.stdout)


def test_the_command_says_that_there_is_none_and_refuses_a_folder_that_is_missing(tmp_path: Path) -> None:
    folder = UnitFolder(tmp_path / "unit")
    folder.path.mkdir()
    assert call("faults", "--folder", folder.path).stdout == "No fault was kept.\n"
    assert list(folder.path.iterdir()) == []
    refused = call("faults", "--folder", tmp_path / "none")
    assert refused.returncode == 5
    assert f"There is no folder {tmp_path}/none" in refused.stderr


def test_each_service_of_the_unit_has_its_failures_kept() -> None:
    keeping = {"mirrorcam-fault@.service", "mirrorcam-crashed.service"}
    of_the_dock = {"mirrorcam-bays.service", "mirrorcam-pages.service", "mirrorcam-retention.service"}
    of_the_dock |= {"mirrorcam-firewall.service"}
    for file in SERVICES.glob("mirrorcam-*.service"):
        if file.name not in keeping | of_the_dock:
            assert "OnFailure=mirrorcam-fault@%N.service" in file.read_text().splitlines(), file.name
            assert msgspec.convert({**EXAMPLE, "part": file.stem}, Fault).part == file.stem


EXAMPLE = {"first": START, "last": START, "boot": BOOT, "what": "signal"}
