"""The offload against a real dock: what is handed over, what is learnt, and what the clips go through."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dock_station.clock import utc_now
from tests.dock import RunningDock, running_dock
from tests.worn import Worn, enrol


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
    assert unit.files() == {"spool.json", "clock.json", "uploads.json"}
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


def test_a_unit_docks_whatever_time_it_believes_it_is(tmp_path: Path) -> None:
    with running_dock(tmp_path, clock=lambda: utc_now() + timedelta(days=1)) as dock:
        unit = Worn.open(enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}"))
        unit.clip()
        unit.offload()
        assert unit.waiting() == []
        assert unit.installation.clock.utc() > datetime.now(UTC) + timedelta(hours=23)
