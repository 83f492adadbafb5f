"""The unit's log: one line for each event, under the names that docs/unit-log.md lists."""

import io
import json
import re
from pathlib import Path

from appliance.journal import Journal
from appliance.recovered import Recovered, Remains
from appliance.states import State

UNIT_LOG = Path(__file__).parents[3] / "docs" / "unit-log.md"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_event_is_one_json_object_that_begins_with_its_moment() -> None:
    output = io.StringIO()
    journal = Journal(output)
    journal.started(unit_id="unit-1", policy_id="bocholt", waiting=2)
    journal.fault("storage_failed", "The storage failed.")
    first, second = (json.loads(line) for line in output.getvalue().splitlines())
    assert list(first)[:3] == ["at", "level", "event"]
    assert (first["event"], first["unit_id"], first["clips_waiting"]) == ("started", "unit-1", 2)
    assert (second["level"], second["kind"]) == ("error", "storage_failed")
    assert first["at"].endswith("Z")


def test_a_clip_that_the_storage_does_not_give_back_is_a_fault_and_one_that_is_closed_is_none() -> None:
    output = io.StringIO()
    journal = Journal(output)
    journal.closed(Recovered("one", Remains.CUT, "Its end is missing."))
    journal.closed(Recovered("two", Remains.DAMAGED, "The storage does not give it back."))
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["closed", "closed", "fault"]
    assert (lines[2]["kind"], lines[2]["sentence"]) == ("storage_failed", "The storage does not give it back.")


def test_a_person_at_a_terminal_reads_lines_and_no_json() -> None:
    output = Terminal()
    Journal(output).entered(State.STANDBY)
    assert "standby" in output.getvalue()
    assert "{" not in output.getvalue()


def test_the_documented_names_are_the_names_in_use() -> None:
    appliance = Path(__file__).parents[3] / "appliance"
    source = "".join(
        (appliance / name).read_text() for name in ("journal.py", "usb/cable_journal.py", "updates/update_journal.py")
    )
    used = set(re.findall(r'self\._log\.\w+\(\s*"(\w+)"', source)) | {
        state.name.lower() for state in (State.STANDBY, State.LIVE, State.POST_RECORDING)
    }
    documented = set(re.findall(r"^\| `(\w+)` ", UNIT_LOG.read_text(), re.MULTILINE))
    assert used == documented
