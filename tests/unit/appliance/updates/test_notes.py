"""Root's notes, as a damaged card or a later release leaves them: they end no updates."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.updates.notes import NotesDamagedError, Outcomes, Trial
from appliance.updates.slots import Slot
from evidence.docking import Outcome
from tests.signed_bundles import NEWER, RUNS
from tests.unit.appliance.updates.bench import Bench

LATER = "mirrorcam/trial/2"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.places.system.mkdir()
    return bench


def watch(bench: Bench) -> None:
    bench.watching().run()


def install(bench: Bench) -> None:
    bench.installing().run()


def add_field(note: Path) -> None:
    note.write_text(json.dumps(json.loads(note.read_text()) | {"added": ["later"]}))


def test_a_field_that_a_later_release_has_added_is_passed_over(bench: Bench) -> None:
    bench.notes.conclude(NEWER, Outcome.ROLLED_BACK, "No camera was reached.")
    bench.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=1))
    outcomes, trial = bench.notes.outcomes(), bench.notes.trial()
    add_field(bench.places.outcomes)
    add_field(bench.places.trial)
    assert (bench.notes.outcomes(), bench.notes.trial()) == (outcomes, trial)


@pytest.mark.parametrize("run", [watch, install])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\0", b"[]", b'{"schema": "mirrorcam/trial/1", "release": 7}'])
def test_notes_that_cannot_be_read_are_put_aside_and_updates_go_on(
    bench: Bench, run: Callable[[Bench], None], content: bytes
) -> None:
    for note in (bench.places.trial, bench.places.outcomes):
        note.with_name(f"{note.name}.damaged").write_bytes(b"an earlier one")
        note.write_bytes(content)
    with pytest.raises(NotesDamagedError):
        bench.notes.trial()
    run(bench)
    assert (bench.notes.outcomes(), bench.notes.trial()) == (Outcomes(), None)
    found = {file.name: file.read_bytes() for file in bench.places.system.iterdir()}
    assert found == {"trial.json.damaged": content, "updates.json.damaged": content}
    assert bench.events() == ["update_note_put_aside"] * 2
    bench.notes.keep_trial(Trial(release=NEWER, slot=Slot.B))
    run(bench)
    assert bench.notes.trial() is not None


@pytest.mark.parametrize("run", [watch, install])
def test_a_trial_whose_note_only_a_later_release_can_read_counts_as_rolled_back(
    bench: Bench, run: Callable[[Bench], None]
) -> None:
    bench.places.trial.write_text(json.dumps({"schema": LATER, "release": NEWER, "slot": "b", "tries": []}))
    run(bench)
    outcomes = bench.notes.outcomes()
    assert outcomes.rolled_back == (NEWER,)
    assert outcomes.newest is not None
    assert "The note trial.json of an update is damaged" in outcomes.newest.reason
    assert bench.notes.trial() is None
    assert bench.restarts == []


def test_a_release_that_runs_is_not_rolled_back_by_its_own_damaged_note(bench: Bench) -> None:
    bench.places.trial.write_text(json.dumps({"schema": LATER, "release": RUNS}))
    watch(bench)
    assert bench.notes.outcomes() == Outcomes()


def test_what_a_cut_left_beside_the_notes_is_removed(bench: Bench) -> None:
    for name in (".trial.json.0badcafe.new", ".updates.json.0badcafe.new"):
        (bench.places.system / name).write_bytes(b"half a n")
    install(bench)
    assert list(bench.places.system.iterdir()) == []
