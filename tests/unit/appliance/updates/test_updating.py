"""The unit's part of updates, against a dock over real TLS: looked for, fetched, permitted, and told how it went."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.docking.client import DockClient
from appliance.docking.delivery import Delivery
from appliance.docking.offload import Offload
from appliance.docking.tls import context_for
from appliance.front import messages
from appliance.front.messages import Message
from appliance.journal import Journal
from appliance.states import Event, News
from appliance.updates.notes import MOST_STARTS, Trial
from appliance.updates.places import UpdatePlaces
from appliance.updates.signs import Sign, Signs
from appliance.updates.slots import Slot
from appliance.updates.updating import Updating
from evidence.docking import Outcome, UpdateOutcome
from evidence.release import Installed, Release
from tests.dock import RunningDock, set_up, until
from tests.pki import Pki
from tests.signed_bundles import COMPATIBLE, NEWER, OLDER, RUNS
from tests.update_door import UpdateDoor, updating_dock
from tests.worn import Worn, enrol


@dataclass
class Docked:
    """A unit on its dock, with what it says."""

    unit: Worn
    dock: RunningDock
    door: UpdateDoor
    signs: Signs
    release: str = RUNS
    said: list[Message | None] = field(default_factory=list)
    output: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.places = UpdatePlaces(self.unit.installation.folder.path)
        self.updating = Updating(
            self.places,
            running=Installed(Release.parse(self.release), COMPATIBLE),
            spool=self.unit.installation.spool,
            bits_per_second=8_000_000,
            signs=self.signs,
            open_dock=self.client,
            journal=Journal(self.output),
            look_seconds=0.05,
            turn_seconds=0.01,
            restart_seconds=0.1,
        )
        self.notes = self.updating._notes

    def client(self) -> DockClient:
        installation = self.unit.installation
        context = context_for(installation.folder, installation.authority)
        return DockClient(installation.settings.dock_url, context, "mirrorcam test")

    @contextmanager
    def docking(self, is_stopping: threading.Event | None = None) -> Iterator[threading.Event]:
        """Be on the dock as long as the block runs."""
        is_stopping = is_stopping or threading.Event()
        thread = threading.Thread(target=self.updating.run, args=(is_stopping, self.said.append))
        thread.start()
        try:
            yield is_stopping
        finally:
            is_stopping.set()
            self.updating.withdraw()
            thread.join()

    def looks(self, more: int = 3) -> None:
        """Wait until it has asked a few times more."""
        wanted = self.door.looks + more
        until(lambda: self.door.looks >= wanted)

    def is_permitted(self) -> bool:
        return self.signs.is_given(Sign.PERMIT)

    def lines(self, event: str) -> list[dict[str, str]]:
        every = (json.loads(line) for line in self.output.getvalue().splitlines())
        return [line for line in every if line["event"] == event]


@pytest.fixture
def docked(tmp_path: Path) -> Iterator[Docked]:
    pki = Pki()
    (tmp_path / "signs").mkdir()
    with updating_dock(set_up(tmp_path / "dock", pki), pki) as (dock, door):
        url = f"https://localhost:{dock.port}"
        unit = Worn.open(enrol(tmp_path / "unit", pki, url, settings="storage_reserve_minutes = 0"))
        yield Docked(unit, dock, door, Signs(tmp_path / "signs"))


def test_what_the_dock_offers_is_fetched_and_permitted(docked: Docked) -> None:
    docked.door.offer()
    with docked.docking():
        until(docked.is_permitted)
        until(lambda: messages.UPDATE_INSTALLS in docked.said)
    assert docked.places.bundle.read_bytes() == docked.door.bundle
    assert docked.lines("update_fetching")[0]["release"] == NEWER
    assert docked.said[0] is not None
    assert docked.said[0].progress is not None
    assert [file.name for file in sorted(docked.places.arriving.iterdir())] == ["bundle.raucb", "offer.json"]


def test_off_the_dock_nothing_is_permitted_any_more(docked: Docked) -> None:
    docked.door.offer()
    with docked.docking():
        until(docked.is_permitted)
    assert not docked.is_permitted()
    with docked.docking():
        until(docked.is_permitted)  # the bundle is still there, and not fetched again
    assert docked.door.ranges == [""]


def test_one_bundle_is_permitted_once_in_a_docking_and_fetched_once(docked: Docked) -> None:
    docked.door.offer()
    with docked.docking():
        until(docked.is_permitted)
        docked.notes.conclude(NEWER, Outcome.REFUSED, "Its signature is not good.")
        docked.places.bundle.unlink()
        docked.signs.take_back(Sign.PERMIT)
        docked.looks()
        assert not docked.is_permitted()
        until(lambda: docked.said[-1] == messages.NOT_UPDATED)
        assert docked.door.outcomes
    assert docked.door.ranges == [""]


def test_that_it_can_be_seen_at_the_dock_is_not_said_where_the_dock_was_told_nothing(docked: Docked) -> None:
    docked.door.offer()
    with docked.docking():
        until(docked.is_permitted)
        docked.signs.take_back(Sign.PERMIT)  # root was killed
        until(lambda: docked.said[-1] == messages.NOT_UPDATED_YET)
    assert docked.door.outcomes == []


def test_a_restart_that_does_not_come_is_not_announced_for_ever(docked: Docked) -> None:
    docked.notes.keep_trial(Trial(release=NEWER, slot=Slot.B))
    with docked.docking():
        until(docked.is_permitted)
        docked.notes.conclude(NEWER, Outcome.REFUSED, "The unit was not restarted (exit code 1).")
        docked.signs.take_back(Sign.PERMIT)
        until(lambda: bool(docked.door.outcomes))
        until(lambda: docked.said[-1] == messages.NOT_UPDATED)
    docked.said.clear()
    with docked.docking():  # the same again, of which the dock knows
        until(lambda: messages.UPDATE_INSTALLS in docked.said)
        docked.signs.take_back(Sign.PERMIT)
        until(lambda: docked.said[-1] == messages.NOT_UPDATED)


def test_an_update_that_is_being_installed_is_said_once(docked: Docked) -> None:
    docked.door.offer()
    with docked.docking() as is_stopping:
        until(docked.is_permitted)
        is_stopping.wait(0.2)
    assert docked.said.count(messages.UPDATE_INSTALLS) == 1


def test_a_fetch_that_was_cut_goes_on_where_it_was(docked: Docked) -> None:
    docked.door.offer(2_000_000)
    cut, left = threading.Event(), iter(range(10))

    def between() -> None:
        if next(left, None) is None:
            until(lambda: bool(docked.said))
            cut.set()

    docked.door.between = between
    with docked.docking(cut):
        until(cut.is_set)
    docked.door.between = lambda: None
    (part,) = docked.places.arriving.glob("*.part")
    size = part.stat().st_size
    assert 0 < size < 2_000_000
    with docked.docking():
        until(docked.is_permitted)
    assert docked.door.ranges == ["", f"bytes={size}-"]
    assert docked.places.bundle.read_bytes() == docked.door.bundle


def test_a_part_of_another_bundle_is_not_kept(docked: Docked) -> None:
    docked.door.offer()
    docked.places.arriving.mkdir()
    docked.places.part("a" * 64).write_bytes(b"of another one")
    with docked.docking():
        until(docked.is_permitted)
    assert not docked.places.part("a" * 64).exists()


def test_bytes_that_are_not_those_which_were_offered_are_thrown_away(docked: Docked) -> None:
    docked.door.offer()
    docked.door.sha256 = hashlib.sha256(b"another").hexdigest()
    with docked.docking():
        until(lambda: bool(docked.lines("fault")))
        docked.looks()
    refused(docked, "its digest is another one")
    assert docked.door.ranges == [""]  # and not all of it again as long as it is docked
    assert list(docked.places.arriving.iterdir()) == []


def refused(docked: Docked, reason: str) -> None:
    """Check that log, dock and wearer were told once why the unit stays as it is."""
    (fault,) = docked.lines("fault")
    assert fault["kind"] == "update_failed"
    assert reason in fault["sentence"]
    assert docked.door.outcomes == [
        UpdateOutcome(release=NEWER, outcome=Outcome.REFUSED, reason=fault["sentence"]),
    ]
    assert docked.said[-1] == messages.NOT_UPDATED


def test_a_bundle_that_is_longer_than_was_offered_is_refused_in_the_same_way(docked: Docked) -> None:
    docked.door.offer()
    docked.door.announced = 200_000
    with docked.docking():
        until(lambda: bool(docked.door.outcomes))
        docked.looks()
    refused(docked, "bytes came of 200000")
    assert docked.door.ranges == [""]


def test_where_a_fetch_breaks_off_the_screen_does_not_go_on_saying_so(docked: Docked) -> None:
    docked.door.offer()

    def fail() -> None:
        raise OSError

    docked.door.between = fail
    docked.updating._look_seconds = 60
    docked.said.append(messages.update_arrives(0.1))
    with docked.docking():
        until(lambda: docked.said[-1] is None)
    (fault,) = docked.lines("fault")
    assert fault["kind"] == "update_delayed"  # the cable's or the dock's, and none of the unit
    assert docked.door.outcomes == []


@pytest.mark.parametrize(
    ("release", "compatible", "reason"),
    [
        (RUNS, COMPATIBLE, f"{RUNS} runs, which is not older"),
        (OLDER, COMPATIBLE, f"{RUNS} runs, which is not older"),
        (NEWER, "mirrorcam-raspios", f"it is for mirrorcam-raspios, and this unit is {COMPATIBLE}"),
    ],
)
def test_what_does_not_fit_is_passed_over_and_told_once(
    docked: Docked, release: str, compatible: str, reason: str
) -> None:
    docked.door.offer()
    docked.door.release, docked.door.compatible = release, compatible
    with docked.docking():
        docked.looks()
    assert [line["sentence"] for line in docked.lines("update_passed_over")] == [reason]
    assert docked.door.ranges == []
    misfits = [] if compatible == COMPATIBLE else [(Outcome.REFUSED, f"The update was refused: {reason}.")]
    assert [(told.outcome, told.reason) for told in docked.door.outcomes] == misfits
    assert docked.said == []


def test_a_release_that_was_rolled_back_is_not_fetched_again_and_the_dock_is_told(docked: Docked) -> None:
    docked.door.offer()
    docked.notes.conclude(NEWER, Outcome.ROLLED_BACK, "No camera was reached.")
    with docked.docking():
        docked.looks()
    outcome = UpdateOutcome(release=NEWER, outcome=Outcome.ROLLED_BACK, reason="No camera was reached.")
    assert docked.door.outcomes == [outcome]
    assert docked.said == [messages.NOT_UPDATED]
    assert docked.door.ranges == []
    with docked.docking():
        docked.looks()
    assert docked.door.outcomes == [outcome]  # it is told once


def test_a_bundle_that_root_refused_is_not_fetched_again_and_another_one_is(docked: Docked) -> None:
    docked.door.offer()
    docked.notes.conclude(NEWER, Outcome.REFUSED, "Its signature is not good.", refused=docked.door.digest)
    with docked.docking():
        docked.looks()
        assert docked.door.ranges == []
        docked.door.offer()
        until(docked.is_permitted)
    assert docked.lines("update_passed_over")[0]["sentence"] == "it was refused on this unit before"


def test_what_is_confirmed_while_it_is_docked_is_told_at_once(docked: Docked) -> None:
    with docked.docking():
        docked.looks()
        docked.notes.conclude(RUNS, Outcome.CONFIRMED, "Camera, screen and dock were reached.")
        until(lambda: bool(docked.door.outcomes))
        until(lambda: messages.UPDATED in docked.said)


def test_during_its_own_trial_nothing_is_looked_for(docked: Docked) -> None:
    docked.door.offer()
    docked.notes.keep_trial(Trial(release=RUNS, slot=Slot.B, starts=1))
    assert docked.updating.is_trial()
    with docked.docking() as is_stopping:
        is_stopping.wait(0.2)
    assert docked.door.looks == 0


def test_a_slot_that_is_written_and_was_not_started_is_permitted_again(docked: Docked) -> None:
    docked.door.offer()
    docked.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=1))
    assert not docked.updating.is_trial()
    with docked.docking():
        until(docked.is_permitted)
        docked.looks()
    assert docked.lines("update_passed_over")[0]["sentence"] == "it is in the other slot already"


def test_what_a_cut_left_with_root_is_permitted_again_and_not_fetched(docked: Docked) -> None:
    docked.door.offer()
    docked.places.system.mkdir()
    docked.places.taken.write_bytes(b"taken over, and not written yet")
    with docked.docking() as is_stopping:
        until(docked.is_permitted)
        is_stopping.wait(0.2)
    assert docked.door.looks == 0


def test_a_trial_that_is_over_is_not_permitted_again(docked: Docked) -> None:
    docked.notes.keep_trial(Trial(release=NEWER, slot=Slot.B, starts=MOST_STARTS))
    with docked.docking():
        docked.looks()
        assert not docked.is_permitted()


def test_a_storage_without_room_is_told(docked: Docked, monkeypatch: pytest.MonkeyPatch) -> None:
    docked.door.offer()
    monkeypatch.setattr(docked.unit.installation.spool, "free_bytes", lambda: 16 << 20)
    with docked.docking():
        until(lambda: bool(docked.door.outcomes))
        docked.looks()
    refused(docked, "The update needs 0 MB on this unit and 16 MB are free")
    assert docked.door.ranges == []


def test_where_the_storage_is_short_a_bundle_goes_before_a_recording(
    docked: Docked, monkeypatch: pytest.MonkeyPatch
) -> None:
    docked.door.offer()
    monkeypatch.setattr(docked.unit.installation.spool, "is_on_reserve", lambda _: True)
    with docked.docking():
        until(docked.is_permitted)
    assert not docked.places.bundle.exists()


def test_a_bundle_that_root_has_given_back_goes_before_a_recording_too(
    docked: Docked, monkeypatch: pytest.MonkeyPatch
) -> None:
    docked.places.arriving.mkdir()
    docked.places.bundle.write_bytes(b"given back")
    docked.updating.leave_room()
    assert docked.places.bundle.exists()  # there is room enough
    monkeypatch.setattr(docked.unit.installation.spool, "is_on_reserve", lambda _: True)
    docked.updating.leave_room()
    assert not docked.places.bundle.exists()
    docked.places.bundle.write_bytes(b"given back")
    docked.updating.make_room()
    assert not docked.places.bundle.exists()


def test_an_offer_that_is_none_is_told_once_and_asked_for_again_later(docked: Docked) -> None:
    docked.door.bundle = b"x"
    docked.door.sha256 = "not a digest"
    with docked.docking():
        docked.looks()
    (told,) = docked.lines("fault")
    assert "The dock's answer is not one that a unit understands" in told["sentence"]


@pytest.mark.parametrize("name", ["trial.json", "updates.json"])
def test_a_note_that_is_damaged_keeps_no_update_from_the_unit(docked: Docked, name: str) -> None:
    docked.door.offer()
    docked.places.system.mkdir()
    (docked.places.system / name).write_bytes(b"{")
    with docked.docking():
        until(docked.is_permitted)
    (told,) = docked.lines("fault")
    assert f"The note {name} of an update is damaged" in told["sentence"]


def test_clips_go_first(docked: Docked, tmp_path: Path) -> None:
    clip = docked.unit.clip(5_000_000)
    docked.door.offer()
    was_stored: list[bool] = []
    docked.door.between = lambda: was_stored.append(docked.dock.is_stored(clip))
    news: list[News] = []
    delivery = Delivery(
        Offload(docked.unit.installation),
        docked.unit.installation.spool,
        journal=Journal(docked.output),
        learn_wearer=lambda _: None,
        tell=news.append,
        updating=docked.updating,
    )
    delivery.start()
    until(docked.is_permitted)
    assert news == [News(Event.OFFLOADED)]
    assert all(was_stored)
    until(lambda: delivery.message == messages.UPDATE_INSTALLS)
    delivery.stop()
    assert not docked.is_permitted()
    assert docked.unit.waiting() == []
