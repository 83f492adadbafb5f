"""A trial: confirmed by camera, screen and dock together, given up when they do not come, noted after a roll back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.updates.notes import MOST_STARTS, Trial
from appliance.updates.signs import Sign
from appliance.updates.slots import Slot
from appliance.updates.trial import Patience, is_plugged
from evidence.docking import Outcome, UpdateOutcome
from tests.signed_bundles import NEWER, RUNS
from tests.unit.appliance.updates.bench import AUTOBOOT, Bench

CONFIRMED = AUTOBOOT.replace("=2", "=x").replace("=3", "=2").replace("=x", "=3")


class Start(Bench):
    """One start of a unit whose time goes on only when the watch sleeps; `at` says what happens at which second."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seconds = 0.0
        self.at: dict[float, Callable[[], None]] = {}
        self.plugged = False
        self.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=1))

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds > 10_000:
            raise TimeoutError
        for moment in [moment for moment in self.at if moment <= self.seconds]:
            self.at.pop(moment)()

    def run(self) -> None:
        self.watching(is_plugged=lambda: self.plugged, monotonic=lambda: self.seconds, sleep=self.sleep).run()

    def give(self, *signs: Sign) -> Callable[[], None]:
        def act() -> None:
            for sign in signs:
                self.signs.give(sign)

        return act

    def outcome(self) -> UpdateOutcome | None:
        return self.notes.outcomes().newest


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return Start(tmp_path, slot=Slot.B, release=NEWER)


@pytest.fixture
def old(tmp_path: Path) -> Start:
    return Start(tmp_path, slot=Slot.A, release=RUNS)


def test_camera_screen_and_dock_together_confirm(start: Start) -> None:
    start.at = {3: start.give(Sign.CAMERA), 5: start.give(Sign.SCREEN), 4000: start.give(Sign.DOCK)}
    start.run()
    assert start.seconds == 4000
    assert start.autoboot.read_text() == CONFIRMED
    assert start.outcome() == UpdateOutcome(
        release=NEWER, outcome=Outcome.CONFIRMED, reason="Camera, screen and dock were reached."
    )
    assert start.notes.trial() is None
    assert start.restarts == []
    assert start.events() == ["trial_runs", "trial_sign", "trial_sign", "trial_sign", "update_confirmed"]


@pytest.mark.parametrize(
    ("given", "missing"),
    [((), "camera and screen"), ((Sign.CAMERA,), "screen"), ((Sign.SCREEN, Sign.DOCK), "camera")],
)
def test_without_camera_or_screen_it_is_given_up_after_five_minutes(
    start: Start, given: tuple[Sign, ...], missing: str
) -> None:
    start.give(*given)()
    start.run()
    assert start.seconds == 300
    assert start.restarts == [None]
    trial = start.notes.trial()
    assert trial is not None
    assert trial.failure == f"No {missing} was reached within 5 minutes of the start."
    assert start.autoboot.read_text() == AUTOBOOT


def test_a_recording_is_never_cut_off_by_it(start: Start) -> None:
    start.give(Sign.RECORDING, Sign.CAMERA)()
    start.at = {2000: lambda: start.signs.take_back(Sign.RECORDING)}
    start.run()
    assert start.seconds == 2000
    assert start.restarts == [None]


def test_a_cable_without_a_dock_is_waited_for_ten_minutes(start: Start) -> None:
    start.give(Sign.CAMERA, Sign.SCREEN)()
    start.at = {1000: lambda: setattr(start, "plugged", True)}
    start.run()
    assert start.seconds == 1600
    trial = start.notes.trial()
    assert trial is not None
    assert trial.failure == "A cable was in for 10 minutes, and no dock answered over it."


def test_a_unit_that_works_off_the_dock_is_never_restarted(start: Start) -> None:
    start.give(Sign.CAMERA, Sign.SCREEN)()
    with pytest.raises(TimeoutError):
        start.run()
    assert start.restarts == []


def test_a_camera_that_goes_after_it_was_reached_is_no_failure_of_the_release() -> None:
    patience = Patience(0)
    facts = {"dock": False, "plugged": False}
    assert patience.failure(camera=True, screen=True, now=10, **facts) is None
    assert patience.failure(camera=False, screen=True, now=9999, **facts) is None


def test_a_cable_that_is_pulled_in_between_is_waited_for_anew() -> None:
    patience = Patience(0)
    for now, plugged in ((10, True), (500, False), (600, True), (1100, True)):
        assert patience.failure(camera=True, screen=True, dock=False, plugged=plugged, now=now) is None
    assert patience.failure(camera=True, screen=True, dock=False, plugged=True, now=1200) is not None


def test_after_a_trial_that_was_given_up_the_old_slot_notes_the_roll_back(old: Start) -> None:
    old.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=1, failure="No camera was reached."))
    old.run()
    assert old.outcome() == UpdateOutcome(release=NEWER, outcome=Outcome.ROLLED_BACK, reason="No camera was reached.")
    assert old.notes.outcomes().rolled_back == (NEWER,)
    assert old.notes.trial() is None
    assert old.restarts == []


def test_a_trial_of_which_nothing_was_heard_is_made_once_more_and_then_rolled_back(old: Start) -> None:
    old.run()
    assert old.notes.trial() is not None
    assert old.outcome() is None
    assert old.events() == ["trial_unheard"]
    old.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=MOST_STARTS))
    old.run()
    assert old.notes.trial() is None
    assert old.notes.outcomes().rolled_back == (NEWER,)


def test_a_trial_that_was_never_asked_for_is_left_as_it_is(old: Start) -> None:
    old.notes.keep_trial(Trial(release=NEWER, slot=Slot.B))
    old.run()
    assert old.notes.trial() == Trial(release=NEWER, slot=Slot.B)
    assert old.events() == []


def test_a_cut_between_the_boot_choice_and_its_note_is_made_up_for(start: Start) -> None:
    start.autoboot.write_text(CONFIRMED)
    start.run()
    assert start.notes.trial() is None
    assert start.outcome() is not None
    assert start.events() == ["update_confirmed"]


def test_the_carrier_of_a_card_that_is_down_cannot_be_read(tmp_path: Path) -> None:
    assert not is_plugged(tmp_path / "carrier")
    (tmp_path / "carrier").write_text("1\n")
    assert is_plugged(tmp_path / "carrier")
    (tmp_path / "carrier").write_text("0\n")
    assert not is_plugged(tmp_path / "carrier")
