"""The offload against a real dock: what is handed over, what is learnt, and what the clips go through."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dock_station.catalogue import chains
from dock_station.clock import utc_now
from evidence.policy import OlderPolicyError, read_signed
from tests.dock import RunningDock, SealedClip, running_dock
from tests.faults.leading import wait_until
from tests.pki import Pki, policy_toml, write_policy
from tests.recording import PATIENCE, close_left
from tests.worn import RECIPIENT, Steps, Worn, enrol


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def unit(tmp_path: Path, dock: RunningDock) -> Worn:
    return Worn.open(enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}"))


def test_every_clip_is_handed_over_and_leaves_the_unit_only_with_a_receipt(dock: RunningDock, unit: Worn) -> None:
    clips = [unit.clip(), unit.clip(20_000_000), unit.clip(1)]
    steps = unit.offload()
    assert all(dock.is_stored(clip) for clip in clips)
    assert unit.waiting() == []
    assert unit.files() == {"spool.json", "spool.twin.json", "clock.json", "uploads.json"}
    one = ["Uploaded", "Received", "Deleted"]
    assert steps.names == ["Greeted", *one, *one, *one]
    assert steps.deleted == [clip.clip_id for clip in clips]
    assert [received.receipt.ciphertext_sha256 for received in steps.received] == [
        clip.manifest.ciphertext_sha256 for clip in clips
    ]
    assert (steps.greeted.clips, steps.greeted.bytes) == (3, sum(len(clip.sealed) for clip in clips))
    assert steps.sent(clips[1].clip_id) == [0, 8 << 20, 16 << 20]


def test_a_unit_with_nothing_to_hand_over_greets_and_leaves(dock: RunningDock, unit: Worn) -> None:
    steps = unit.offload()
    assert steps.names == ["Greeted"]
    assert steps.greeted.dock_id == dock.dock.settings.dock_id


def test_a_handing_over_waits_for_a_clip_that_is_still_read_back_and_takes_it_with_it(
    dock: RunningDock, unit: Worn
) -> None:
    whole, cut = unit.clip(), unit.cut()
    steps = Steps()
    handing_over = threading.Thread(target=unit.offload, args=(steps,))
    handing_over.start()
    wait_until(lambda: steps.deleted)
    assert (steps.deleted, handing_over.is_alive()) == ([whole.clip_id], True)
    close_left(unit.installation.spool)
    handing_over.join(PATIENCE)
    assert steps.deleted == [whole.clip_id, cut]
    stored = dock.stored(cut)
    assert stored is not None
    assert (stored.complete, stored.ended_by) == (False, "storage-failed")
    assert (steps.greeted.clips, steps.greeted.bytes) == (2, len(whole.sealed) + stored.ciphertext_bytes)


def test_the_heads_of_the_custody_log_are_remembered_and_shown_at_the_next_docking(
    dock: RunningDock, unit: Worn
) -> None:
    unit.clip()
    unit.offload()
    (head,) = unit.installation.spool.seen_heads()
    assert head.dock_id == "dock-1"
    unit.offload()
    assert dock.alarms() == []


def test_the_clock_is_set_by_the_dock(dock: RunningDock, unit: Worn) -> None:
    assert unit.installation.clock.quality().last_sync is None
    before = datetime.now(UTC)
    unit.offload()
    quality = unit.installation.clock.quality()
    assert quality.last_sync is not None
    assert quality.estimated_error_seconds is not None
    assert before - timedelta(milliseconds=1) <= quality.last_sync <= datetime.now(UTC)
    assert 0 < quality.estimated_error_seconds < 30


def test_a_clock_that_the_dock_doubts_is_not_learned_and_the_clips_are_handed_over_all_the_same(
    dock: RunningDock, unit: Worn
) -> None:
    with dock.dock.catalogue.writing() as connection:
        dock.dock.custody.distrust_clock(connection, "as this test says")
    unit.clip()
    unit.offload()
    assert unit.waiting() == []
    assert unit.installation.clock.quality().last_sync is None


def test_a_unit_docks_whatever_time_it_believes_it_is(tmp_path: Path) -> None:
    with running_dock(tmp_path, clock=lambda: utc_now() + timedelta(days=1)) as dock:
        unit = Worn.open(enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}"))
        unit.clip()
        unit.offload()
        assert unit.waiting() == []
        assert unit.installation.clock.utc() > datetime.now(UTC) + timedelta(hours=23)


class TestRefusedClips:
    def test_a_clip_that_has_become_shorter_stays_and_those_after_it_are_only_announced(
        self, dock: RunningDock, unit: Worn
    ) -> None:
        first, damaged, last = unit.clip(), unit.clip(), unit.clip(3_000_000)
        shorten(unit, damaged)
        steps = unit.offload()
        assert steps.deleted == [first.clip_id]
        assert steps.uploaded == [first.clip_id]
        assert list(steps.refused) == [damaged.clip_id, last.clip_id]
        assert "is not what its manifest says" in steps.refused[damaged.clip_id]
        assert "has sequence 3, but 2 comes next" in steps.refused[last.clip_id]
        assert unit.installation.spool.refusals() == steps.refused
        assert unit.waiting() == [damaged.clip_id, last.clip_id]
        assert dock.uploads() == []

    def test_once_a_gap_is_accepted_the_clips_after_it_are_handed_over(self, dock: RunningDock, unit: Worn) -> None:
        unit.clip()
        unit.offload()
        damaged, *others = unit.clip(), unit.clip(), unit.clip()
        shorten(unit, damaged)
        unit.offload()
        with dock.dock.catalogue.writing() as connection:
            chains.accept_gap(
                connection, unit_id="unit-1", expected_sequence=2, reason="test", accepted_by="it-1", at=utc_now()
            )
        steps = unit.offload()
        assert steps.deleted == [clip.clip_id for clip in others]
        assert all(dock.is_stored(clip) for clip in others)
        assert list(steps.refused) == [damaged.clip_id]
        assert list(unit.installation.spool.refusals()) == [damaged.clip_id]

    def test_a_clip_with_a_bit_flipped_on_the_unit_is_sent_once_and_never_again(
        self, dock: RunningDock, unit: Worn
    ) -> None:
        clip = unit.clip()
        path = sealed_file(unit, clip)
        path.write_bytes(bytes([clip.sealed[0] ^ 1]) + clip.sealed[1:])
        steps = unit.offload()
        assert steps.uploaded == [clip.clip_id]
        assert unit.offload().uploaded == []
        assert "its SHA-256 is" in steps.refused[clip.clip_id]
        assert unit.waiting() == [clip.clip_id]
        assert not dock.is_stored(clip)

    def test_a_clip_that_the_storage_does_not_give_back_is_refused(self, dock: RunningDock, unit: Worn) -> None:
        clip = unit.clip()
        assert unit.waiting() == [clip.clip_id]
        manifest = sealed_file(unit, clip).with_name(f"{clip.clip_id}.json.sig")
        manifest.unlink()
        assert "cannot be read from this unit's storage" in unit.offload().refused[clip.clip_id]


class TestPolicy:
    def test_a_changed_policy_is_kept_and_rules_from_then_on(self, dock: RunningDock, unit: Worn) -> None:
        write_policy(dock.dock.folder, dock.pki, policy_toml(recipients=(str(RECIPIENT),), days=20))
        unit.offload()
        folder = unit.installation.folder
        assert folder.policy().policy.retention_days == 20
        assert folder.policy().document == dock.dock.policy().document
        assert {path.name for path in folder.path.iterdir()} >= {"policy.toml", "policy.toml.sig", "policy.toml.crt"}
        assert not (folder.path / "policy.arriving").exists()

    def test_an_older_one_is_refused_in_a_sentence_and_the_clips_are_handed_over_all_the_same(
        self, dock: RunningDock, unit: Worn
    ) -> None:
        folder = unit.installation.folder
        newest = policy_toml(recipients=(str(RECIPIENT),)) + "serial = 7\n"
        write_policy(dock.dock.folder, dock.pki, newest)
        unit.offload()
        write_policy(dock.dock.folder, dock.pki, newest.replace("serial = 7", "serial = 6"))
        unit.clip()
        with pytest.raises(OlderPolicyError, match=r"serial 6\) is older than .*serial 7\), which stays: have IT"):
            unit.offload()
        assert unit.waiting() == []
        assert folder.policy().policy.serial == 7

    def test_after_a_power_cut_at_any_flush_the_old_policy_rules_or_the_new_one(
        self, dock: RunningDock, unit: Worn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = unit.installation.folder
        flush = os.fsync
        for cut_at in range(1, 12):
            old = folder.policy().document
            write_policy(dock.dock.folder, dock.pki, policy_toml(recipients=(str(RECIPIENT),), days=20 + cut_at))
            new = dock.dock.policy().document
            flushes = iter(range(1, 100))

            def cut(descriptor: int, flushes: Iterator[int] = flushes, cut_at: int = cut_at) -> None:
                if next(flushes) == cut_at:
                    raise OSError(errno.EIO, "the power went")
                flush(descriptor)

            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", cut)
                with suppress(OSError):
                    folder.keep_policy(new)
            assert folder.policy().document in (old, new)
            settled = folder.policy().document
            folder.settle_policy()
            assert folder.policy().document == settled
            assert read_signed(folder.policy_file) == settled

    def test_a_signer_whose_certificate_ran_out_keeps_nobody_from_recording(self, tmp_path: Path) -> None:
        pki = Pki(now=datetime(2020, 1, 1, tzinfo=UTC))
        unit = Worn.open(enrol(tmp_path / "unit", pki, "https://localhost:1"))
        assert unit.installation.folder.policy().policy.policy_id == "test"


def sealed_file(unit: Worn, clip: SealedClip) -> Path:
    return unit.installation.folder.data / f"{clip.clip_id}.mp4.age"


def shorten(unit: Worn, clip: SealedClip) -> None:
    sealed_file(unit, clip).write_bytes(clip.sealed[:-1])
