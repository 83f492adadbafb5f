"""What can go wrong between unit and dock: cables cut at any byte, docks that are not ours, answers that do not fit."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.docking.client import DockUnreachableError
from appliance.docking.delivery import Sent, Step
from appliance.docking.offload import Offload
from tests.dock import RunningDock, SealedClip, running_dock, until
from tests.proxy import Cable, cable_to
from tests.worn import Steps, Worn, enrol

SEED = 20261124
MEGABYTE = 1_000_000


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def cable(dock: RunningDock) -> Iterator[Cable]:
    with cable_to(dock.port) as cable:
        yield cable


@pytest.fixture
def unit(tmp_path: Path, dock: RunningDock, cable: Cable) -> Worn:
    return Worn.open(enrol(tmp_path / "unit", dock.pki, f"https://localhost:{cable.port}"))


def is_whole_at_either_end(dock: RunningDock, unit: Worn, clip: SealedClip) -> bool:
    """Tell whether the clip is all at the dock, or all on the unit, and nowhere by half."""
    is_here = clip.clip_id in unit.waiting()
    if is_here:
        spooled = next(each for each in unit.installation.spool.waiting() if each.clip_id == clip.clip_id)
        assert spooled.sealed_file.read_bytes() == clip.sealed
        assert spooled.manifest_file.read_bytes() == clip.content
        assert spooled.signature_file.read_bytes() == clip.signature
    return is_here or dock.is_stored(clip)


class TestCutCables:
    def measure(self, unit: Worn, cable: Cable, size: int) -> tuple[int, int]:
        """Return how many bytes cross the cable, up and down, when a clip of this size is handed over."""
        unit.offload()  # from now on the unit's greeting has a head in it
        unit.clip(size)
        cable.mend()
        unit.offload()
        return cable.up, cable.down

    @pytest.mark.parametrize("direction", ["cut_up", "cut_down"])
    def test_a_cable_cut_at_any_byte_loses_doubles_and_halves_no_clip(
        self, dock: RunningDock, unit: Worn, cable: Cable, direction: str
    ) -> None:
        size = 1_500_000
        unit.clip(10)
        up, down = self.measure(unit, cable, size)
        length = up if direction == "cut_up" else down
        # The last bytes downwards are the receipt: the dock has the clip then, and the unit has not heard of it.
        chosen = random.Random(SEED)
        moments = [1, 300, *(chosen.randrange(length) for _ in range(25)), *(length - n for n in (2000, 900, 300, 1))]
        broken = 0
        for moment in moments:
            clip = unit.clip(size)
            cable.mend(**{direction: moment})
            try:
                unit.offload()
            except DockUnreachableError:
                broken += 1
            assert is_whole_at_either_end(dock, unit, clip), f"{direction} at byte {moment} of {length}, seed {SEED}"
            cable.mend()
            unit.offload()
            assert dock.is_stored(clip)
            assert unit.waiting() == []
            assert dock.uploads() == []
        assert broken >= len(moments) - 4
        assert dock.alarms() == []

    def test_what_the_dock_has_acknowledged_never_crosses_the_cable_again(
        self, dock: RunningDock, unit: Worn, cable: Cable
    ) -> None:
        clip = unit.clip(20 * MEGABYTE)
        cable.mend(cut_up=13 * MEGABYTE)
        with pytest.raises(DockUnreachableError):
            unit.offload()
        until(lambda: dock.uploads()[0].offset_bytes > 12 * MEGABYTE)
        acknowledged = dock.uploads()[0].offset_bytes
        cable.mend()
        steps = unit.offload()
        assert dock.is_stored(clip)
        assert cable.up <= len(clip.sealed) - acknowledged + 50_000
        assert steps.sent(clip.clip_id)[0] == acknowledged

    def test_an_upload_goes_on_after_the_unit_was_switched_off(
        self, dock: RunningDock, unit: Worn, cable: Cable
    ) -> None:
        clip = unit.clip(20 * MEGABYTE)
        cable.mend(cut_up=13 * MEGABYTE)
        with pytest.raises(DockUnreachableError):
            unit.offload()
        cable.mend()
        steps = Worn.open(unit.installation.folder).offload()
        assert steps.sent(clip.clip_id)[0] >= 8 << 20
        assert dock.is_stored(clip)

    def test_a_receipt_that_never_arrived_is_given_again_and_nothing_is_sent_twice(
        self, dock: RunningDock, unit: Worn, cable: Cable
    ) -> None:
        unit.clip(10)
        _, down = self.measure(unit, cable, MEGABYTE)
        clip = unit.clip(MEGABYTE)
        cable.mend(cut_down=down - 200)
        with pytest.raises(DockUnreachableError):
            unit.offload()
        assert dock.is_stored(clip)
        assert unit.waiting() == [clip.clip_id]
        cable.mend()
        steps = unit.offload()
        assert steps.names == ["Greeted", "Uploaded", "Received", "Deleted"]
        assert cable.up < 50_000
        assert dock.log().count(("clip-accepted", f"clip:{clip.clip_id}")) == 1

    def test_a_stopped_offload_ends_between_two_pieces_and_goes_on_there(
        self, dock: RunningDock, unit: Worn, cable: Cable
    ) -> None:
        clip = unit.clip(30 * MEGABYTE)
        steps, is_stopping = Steps(), threading.Event()

        def stop_after_the_second_piece(step: Step) -> None:
            steps(step)
            if isinstance(step, Sent) and step.bytes >= 16 << 20:
                is_stopping.set()

        Offload(unit.installation).run(stop_after_the_second_piece, is_stopping)
        assert steps.names == ["Greeted"]
        assert dock.uploads()[0].offset_bytes == 16 << 20
        cable.mend()
        unit.offload()
        assert dock.is_stored(clip)
        assert cable.up <= len(clip.sealed) - (16 << 20) + 50_000

    def test_a_dock_that_is_not_there_is_told_in_one_sentence(self, unit: Worn, cable: Cable) -> None:
        clip = unit.clip()
        cable.close()
        with pytest.raises(
            DockUnreachableError, match=r"^The dock https://localhost:\d+ was not reached \(.*refused\)"
        ):
            unit.offload()
        assert unit.waiting() == [clip.clip_id]
