"""Root's part on the dock: what is installed and what refused, and that the trial is asked for last."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.updates.installing import NotRestartedError
from appliance.updates.notes import MOST_STARTS, Trial
from appliance.updates.rauc import Rauc
from appliance.updates.signs import Sign
from appliance.updates.slots import BootChoiceError, Slot
from evidence.certificates import Role
from evidence.docking import Outcome
from evidence.durable import write_durably
from tests.pki import Pki
from tests.signed_bundles import COMPATIBLE, NEWER, OLDER, RUNS, make_bundle, rauc_config
from tests.unit.appliance.updates.bench import AUTOBOOT, OFFER, Bench


class Stage(Bench):
    """A bench with RAUC: the real one reads bundles, a script stands for its service, which this kernel cannot run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pki = Pki()
        (self.folder / "authority.crt").write_bytes(self.pki.pem)
        self.config = rauc_config(self.folder / "system.conf", self.folder / "authority.crt")
        self.let_rauc("exit 0")

    def let_rauc(self, command: str) -> None:
        """Let `rauc install` be this shell command."""
        program = self.folder / "rauc"
        program.write_text(f'#!/bin/sh\nif [ "$1" = install ]; then {command}; else exec /usr/bin/rauc "$@"; fi\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def bundle(self, **options: str) -> None:
        self.put_bundle()
        self.places.bundle.unlink()
        make_bundle(self.places.bundle, self.pki, **options)  # type: ignore[arg-type]

    def run(self, restart: Callable[[str | None], None] | None = None) -> None:
        self.installing(Rauc(self.config, str(self.folder / "rauc")), restart=restart).run()

    def outcome(self) -> tuple[str, str]:
        newest = self.notes.outcomes().newest
        assert newest is not None
        return newest.outcome.value, newest.reason


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_newer_release_is_written_and_its_trial_asked_for(stage: Stage) -> None:
    stage.bundle()
    stage.permit()
    stage.run()
    assert stage.events() == ["update_found", "update_writing", "update_written", "trial_asked"]
    assert stage.restarts == ["0 tryboot"]
    assert stage.notes.trial() == Trial(release=NEWER, slot=Slot.B, starts=1)
    assert not stage.places.bundle.exists()
    assert stage.autoboot.read_text() == AUTOBOOT
    assert not stage.signs.is_given(Sign.PERMIT)


def refused(stage: Stage, reason: str) -> None:
    """Check that the bundle is refused before anything is written."""
    stage.let_rauc("exit 99")
    stage.permit()
    stage.run()
    outcome, sentence = stage.outcome()
    assert outcome == "refused"
    assert reason in sentence
    assert stage.events() == ["update_found", "update_refused"]
    assert not stage.places.has_bundle
    assert stage.notes.trial() is None
    assert stage.restarts == []


@pytest.mark.parametrize("release", [OLDER, RUNS])
def test_a_release_that_is_not_newer_is_refused(stage: Stage, release: str) -> None:
    stage.bundle(release=release)
    refused(stage, f"{release} is not newer than {RUNS}, which runs")


def test_a_release_that_was_rolled_back_is_refused(stage: Stage) -> None:
    stage.notes.conclude(NEWER, Outcome.ROLLED_BACK, "It did not start.")
    stage.bundle()
    refused(stage, f"{NEWER} was rolled back on this unit before")


def test_a_bundle_of_another_kind_of_unit_is_refused(stage: Stage) -> None:
    stage.bundle(compatible="mirrorcam-raspios")
    refused(stage, f"it is for mirrorcam-raspios, and this unit is {COMPATIBLE}")


def test_a_bundle_of_another_authority_is_refused(stage: Stage) -> None:
    stage.put_bundle()
    stage.places.bundle.unlink()
    make_bundle(stage.places.bundle, Pki(name="Another town"))
    refused(stage, "its signature or its form is not good")


def test_a_bundle_that_a_unit_has_signed_is_refused(stage: Stage) -> None:
    stage.put_bundle()
    stage.places.bundle.unlink()
    make_bundle(stage.places.bundle, stage.pki, role=Role.UNIT)
    refused(stage, "its signature or its form is not good")


@pytest.mark.parametrize("size", [0, 8, 5000])
def test_what_is_no_bundle_is_refused(stage: Stage, size: int) -> None:
    stage.put_bundle(os.urandom(size))
    refused(stage, "its signature or its form is not good")


def test_a_bundle_with_a_flipped_bit_in_what_is_signed_is_refused(stage: Stage) -> None:
    stage.bundle()
    content = bytearray(stage.places.bundle.read_bytes())
    content[content.rindex(b"version=") + 9] ^= 1
    stage.places.bundle.write_bytes(content)
    refused(stage, "its signature or its form is not good")


def test_a_bundle_that_is_swapped_after_it_was_judged_is_not_the_one_that_is_written(stage: Stage) -> None:
    stage.bundle()
    judged, written = stage.places.bundle.read_bytes(), stage.folder / "written"
    swap = f"echo an older one > {stage.places.bundle}"
    (stage.folder / "rauc").write_text(
        f'#!/bin/sh\nif [ "$1" = install ]; then cp "$2" {written}; else {swap}; exec /usr/bin/rauc "$@"; fi\n'
    )
    stage.permit()
    stage.run()
    assert written.read_bytes() == judged
    assert stage.notes.trial() == Trial(release=NEWER, slot=Slot.B, starts=1)
    assert not stage.places.taken.exists()


def test_a_link_in_place_of_a_bundle_is_refused(stage: Stage) -> None:
    stage.bundle()
    aside = stage.places.bundle.rename(stage.folder / "aside.raucb")
    stage.places.bundle.symlink_to(aside)
    refused(stage, "it is no plain file")
    assert aside.exists()


def test_a_card_that_fails_is_told_and_nothing_is_tried(stage: Stage) -> None:
    stage.bundle()
    stage.let_rauc("echo 'LastError: Failed updating slot rootfs.1: I/O error'; exit 1")
    stage.permit()
    stage.run()
    assert stage.outcome()[0] == "refused"
    assert "Failed updating slot rootfs.1: I/O error" in stage.outcome()[1]
    assert stage.restarts == []
    assert stage.notes.trial() is None


def test_a_unit_that_is_taken_off_its_dock_is_written_no_further(stage: Stage) -> None:
    stage.bundle()
    stage.let_rauc(f"rm {stage.folder / 'signs/update'}; exec sleep 600")
    stage.permit()
    stage.run()
    assert stage.events() == ["update_found", "update_writing", "update_waits"]
    assert stage.places.bundle.exists()
    assert stage.notes.outcomes().newest is None
    assert stage.restarts == []


def test_a_unit_that_is_taken_off_when_all_is_written_is_restarted_at_its_next_docking(stage: Stage) -> None:
    stage.bundle()
    stage.let_rauc(f"rm {stage.folder / 'signs/update'}")
    stage.permit()
    stage.run()
    assert stage.restarts == []
    assert stage.notes.trial() == Trial(release=NEWER, slot=Slot.B)
    stage.permit()
    stage.run()
    assert stage.restarts == ["0 tryboot"]


def test_while_a_trial_is_not_confirmed_the_permanent_slot_is_not_written_over(stage: Stage) -> None:
    stage.slot = Slot.B
    stage.bundle()
    stage.let_rauc("exit 99")
    stage.permit()
    stage.run()
    assert stage.events() == ["update_waits"]
    assert stage.places.bundle.exists()


def test_a_boot_choice_that_cannot_be_made_restarts_nothing(stage: Stage) -> None:
    stage.bundle()
    stage.let_rauc(f"rm {stage.autoboot}")
    stage.permit()
    with pytest.raises(BootChoiceError) as caught:
        stage.run()
    assert stage.outcome() == ("refused", str(caught.value))
    assert stage.restarts == []
    assert not stage.signs.is_given(Sign.PERMIT)


def test_a_restart_that_does_not_come_is_told_as_the_reason(stage: Stage) -> None:
    stage.notes.keep_trial(Trial(release=NEWER, slot=Slot.B))

    def fail(_: str | None) -> None:
        raise NotRestartedError("exit code 1")

    stage.permit()
    with pytest.raises(NotRestartedError):
        stage.run(fail)
    newest = stage.notes.outcomes().newest
    assert newest is not None
    assert newest.release == NEWER
    assert stage.outcome() == ("refused", str(NotRestartedError("exit code 1")))


def test_a_storage_that_fails_is_told_as_the_reason(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.bundle()

    def fail(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("appliance.updates.installing.take", fail)
    stage.permit()
    with pytest.raises(OSError, match="Input/output error"):
        stage.run()
    assert stage.outcome()[0] == "refused"
    assert "cannot read or write what an update needs (Input/output error)" in stage.outcome()[1]


def test_what_cannot_even_be_noted_hides_no_reason(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.bundle()
    stage.autoboot.unlink()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("appliance.updates.notes.write_durably", fail)
    with pytest.raises(BootChoiceError):
        stage.run()


def test_a_bundle_that_is_bad_is_remembered_and_a_card_that_failed_is_not(stage: Stage) -> None:
    stage.bundle()
    stage.let_rauc("exit 1")
    stage.permit()
    stage.run()
    assert stage.notes.outcomes().refused is None
    stage.put_bundle(b"no bundle")
    stage.permit()
    stage.run()
    assert stage.notes.outcomes().refused == OFFER.sha256
    stage.notes.conclude(NEWER, Outcome.ROLLED_BACK, "No camera was reached.")
    assert stage.notes.outcomes().refused == OFFER.sha256


OVER = [
    Trial(release=NEWER, slot=Slot.B, starts=1, failure="No camera was reached."),
    Trial(release=NEWER, slot=Slot.B, starts=MOST_STARTS),
]


@pytest.mark.parametrize("trial", OVER)
def test_a_trial_that_is_over_is_not_started_again(stage: Stage, trial: Trial) -> None:
    stage.notes.keep_trial(trial)
    stage.permit()
    stage.run()
    assert stage.restarts == []
    assert stage.notes.trial() == trial
    assert stage.events() == ["update_waits"]


def test_a_restart_that_does_not_come_is_no_start_of_the_trial(stage: Stage) -> None:
    trial = Trial(release=NEWER, slot=Slot.B, starts=1)
    stage.notes.keep_trial(trial)

    def fail(_: str | None) -> None:
        raise NotRestartedError("exit code 1")

    stage.permit()
    with pytest.raises(NotRestartedError):
        stage.run(fail)
    assert stage.notes.trial() == trial


def test_a_boot_choice_that_cannot_be_made_is_no_start_of_the_trial(stage: Stage) -> None:
    trial = Trial(release=NEWER, slot=Slot.A)
    stage.notes.keep_trial(trial)
    stage.permit()
    with pytest.raises(BootChoiceError):  # slot a is not the one of [tryboot]
        stage.run()
    assert stage.notes.trial() == trial


def test_before_a_slot_is_written_over_its_trial_is_forgotten(stage: Stage) -> None:
    stage.notes.keep_trial(Trial(release="0.1.5+20261120T000000Z", slot=Slot.B, starts=1))
    stage.bundle()
    stage.let_rauc(f"test ! -e {stage.places.trial}")
    stage.permit()
    stage.run()
    assert stage.notes.trial() == Trial(release=NEWER, slot=Slot.B, starts=1)


class Cut(Exception):  # noqa: N818 – no error, but the power
    """The power goes."""


def test_a_cut_at_any_write_leaves_the_slot_that_runs_and_the_next_docking_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every durable write and the restart are cut once; the notes are whole then, and the same end is reached."""
    for cut in range(3):
        (tmp_path / str(cut)).mkdir()
        stage = Stage(tmp_path / str(cut))
        stage.bundle()
        stage.permit()
        left = [cut]

        def count(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut

        def write(path: Path, content: bytes, *, count: Callable[[], None] = count) -> None:
            count()
            write_durably(path, content)

        with monkeypatch.context() as patch:
            patch.setattr("appliance.updates.notes.write_durably", write)
            with pytest.raises(Cut):
                stage.run(lambda _, count=count: count())  # type: ignore[misc]
        assert stage.autoboot.read_text() == AUTOBOOT
        stage.permit()
        stage.run()
        assert not stage.places.has_bundle
        assert stage.restarts == ["0 tryboot"]
        trial = stage.notes.trial()
        assert trial is not None
        assert trial.release == NEWER
