"""Updates for real: a dock hands on a bundle, RAUC writes it to the other slot, and it is confirmed or rolled back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dock_station.settings import DockFolder
from provisioning.image.build import Built
from tests.image.bundles import make_bundle, offer
from tests.image.cards import NO_CAMERA, NO_PYTHON, docked_card_of
from tests.image.seating import wait_for_carrier
from tests.virtual_pi.figures import record
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.root import Root
from tests.virtual_pi.town import Town

# Emulated: from switching on to the restart into the trial, or from that to the restart which ends it.
RESTART_SECONDS = 1800.0
TRIAL = "mirrorcam-trial"


@pytest.fixture(scope="module")
def bundle(built: Built, town: Town, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the image, signed by the town's authority."""
    return make_bundle(built, town.pki, tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def pi(built: Built, root: Root, town: Town, bundle: Path, tmp_path: Path) -> Iterator[VirtualPi]:
    """A unit that was switched on, on a dock that offers the bundle."""
    yield from _switched_on(docked_card_of(built, root, town, tmp_path, lambda dock: offer(bundle, dock)))


@pytest.fixture
def broken_pi(
    built: Built, root: Root, town: Town, bundle: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[VirtualPi]:
    """Such a unit, where what the bundle brings lacks what the test names."""

    def add(dock: DockFolder) -> None:
        offer(bundle, dock)
        (dock.path / request.param).touch()

    yield from _switched_on(docked_card_of(built, root, town, tmp_path, add))


def test_an_update_is_fetched_written_tried_and_confirmed(pi: VirtualPi) -> None:
    began = time.monotonic()
    pi.machine.wait_until_off(seconds=RESTART_SECONDS)
    record("update", "switched on until the restart into the trial, emulated", f"{time.monotonic() - began:.0f} s")
    pi.machine.start()
    assert _slot(pi) == "b"
    wait_for_carrier(pi)
    pi.wait_for("update_confirmed", service=TRIAL, seconds=900)
    told = pi.wait_for("update_told", seconds=600)
    record("update", "its outcome, as the dock was told", told["outcome"], "confirmed")
    assert f"release {told['release']} is confirmed" in pi.dock("unit", "list")
    pi.machine.stop()
    pi.machine.start()
    assert _slot(pi) == "b"


@pytest.mark.parametrize("broken_pi", [NO_CAMERA], indirect=True)
def test_a_release_without_a_picture_is_rolled_back_and_never_tried_again(broken_pi: VirtualPi) -> None:
    _restart_into_the_trial_and_back(broken_pi)
    rolled_back = broken_pi.wait_for("update_rolled_back", service=TRIAL, seconds=300)
    assert "No camera was reached" in rolled_back["sentence"]
    passed_over = broken_pi.wait_for("update_passed_over", seconds=900)
    assert "rolled back" in passed_over["sentence"]
    assert broken_pi.wait_for("update_told", seconds=600)["outcome"] == "rolled-back"


@pytest.mark.parametrize("broken_pi", [NO_PYTHON], indirect=True)
def test_a_release_whose_programs_do_not_start_makes_way_for_the_one_before(broken_pi: VirtualPi) -> None:
    _restart_into_the_trial_and_back(broken_pi)
    unheard = broken_pi.wait_for("trial_unheard", service=TRIAL, seconds=300)
    assert unheard["starts"] == 1
    broken_pi.wait_for("started", seconds=900)


def _restart_into_the_trial_and_back(pi: VirtualPi) -> None:
    pi.machine.wait_until_off(seconds=RESTART_SECONDS)
    pi.machine.start()
    assert _slot(pi) == "b"
    pi.machine.wait_until_off(seconds=RESTART_SECONDS)
    pi.machine.start()
    assert _slot(pi) == "a"
    wait_for_carrier(pi)


def _switched_on(pi: VirtualPi) -> Iterator[VirtualPi]:
    try:
        pi.machine.start()
        wait_for_carrier(pi)
        yield pi
    finally:
        pi.machine.stop()


def _slot(pi: VirtualPi) -> str:
    return pi.machine.run("cat /etc/mirrorcam-slot").strip()
