"""A clip at the dock's door, over real TLS: what agrees is kept and receipted, what does not is refused whole."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from dock_station import custody
from dock_station.bays import intake
from dock_station.catalogue import chains
from dock_station.clock import utc_now
from dock_station.decisions import vouch_for_clock
from evidence import receipt as receipts
from evidence.docking import SEAL_PATH, RefusalCode, SealRequest
from evidence.manifest import MAX_BYTES, ClockQuality
from tests.dock import Answer, Camera, RunningDock, SealedClip, Visitor, running, running_dock, set_up
from tests.pki import Pki
from tests.unit.evidence.samples import fields


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def camera(dock: RunningDock) -> Camera:
    return dock.unit()[0]


@pytest.fixture
def unit(dock: RunningDock, camera: Camera) -> Visitor:
    return dock.visitor(camera.identity)


def seal_raw(unit: Visitor, clip: SealedClip, body: bytes) -> Answer:
    return unit.ask("POST", SEAL_PATH.format(clip_id=clip.clip_id), body)


def test_a_clip_that_was_uploaded_and_sealed_is_kept_and_gives_a_receipt_that_verifies(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    receipt = dock.receipt(unit.bring(clip))
    receipts.check_speaks_of(receipt, clip.manifest, clip.manifest_sha256)
    assert dock.is_stored(clip)
    assert not dock.uploads()
    assert dock.vault_files() == [f"clips/{clip.clip_id}{suffix}" for suffix in (".json", ".json.sig", ".mp4.age")]
    with dock.dock.catalogue.reading() as connection:
        assert custody.check(connection, dock.pki.authority(), "dock-1") == receipt.custody


def test_the_word_of_a_unit_whose_clock_was_set_by_one_that_was_doubted_since_does_not_shorten_a_clips_time(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    with dock.dock.catalogue.writing() as connection:
        dock.dock.custody.distrust_clock(connection, "as this test says")
    vouch_for_clock(dock.dock, actor="shell:it", reason="compared")
    now = utc_now()
    for last_sync, is_believed in ((now - timedelta(hours=1), False), (now, True)):
        clock = ClockQuality(last_sync=last_sync, estimated_error_seconds=0.5)
        clip = camera.clip(clock=clock, started_at=now - timedelta(days=20))
        dock.receipt(unit.bring(clip))
        stored = dock.stored(clip.clip_id)
        assert stored
        assert (stored.retained_from < now) is is_believed


def test_a_clip_that_the_custody_log_cannot_take_stays_on_its_unit_until_it_can(tmp_path: Path) -> None:
    pki, day = Pki(), timedelta(days=1)
    folder = set_up(tmp_path / "dock", pki)
    signers = pki.dock_signer("dock-1", valid_until=pki.now - day), pki.dock_signer("dock-1")
    signers[0].write(folder.signer_key_file, folder.signer_certificate_file)
    with running(folder, pki) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        assert "renew the certificate" in unit.bring(clip).refuses(503, RefusalCode.DOCK)
        assert dock.stored(clip.clip_id) is None
        assert dock.log() == []
    signers[1].write(folder.signer_key_file, folder.signer_certificate_file)
    with running(folder, pki) as dock:
        dock.receipt(dock.visitor(camera.identity).seal(clip))
        assert dock.is_stored(clip)


def test_clips_that_follow_each_other_are_all_kept(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    clips = [camera.clip(size) for size in (1, 65_536, 3 << 20)]
    for clip in clips:
        dock.receipt(unit.bring(clip))
    assert all(dock.is_stored(clip) for clip in clips)


def test_sealing_again_gives_the_same_statement_and_stores_nothing_twice(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    first = dock.receipt(unit.bring(clip))
    entries = dock.log()
    assert dock.receipt(unit.seal(clip)) == first
    assert dock.log() == entries


def test_a_clip_that_is_sent_twice_is_known_and_its_receipt_is_there_for_the_asking(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    first = dock.receipt(unit.bring(clip))
    sentence = unit.create(clip.clip_id, len(clip.sealed)).refuses(409, RefusalCode.STORED)
    assert clip.clip_id in sentence
    assert dock.receipt(unit.seal(clip)) == first
    assert dock.is_stored(clip)


def test_a_receipt_given_again_carries_the_newest_head(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    first, second = camera.clip(), camera.clip()
    early = dock.receipt(unit.bring(first))
    late = dock.receipt(unit.bring(second))
    again = dock.receipt(unit.seal(first))
    assert again.custody == late.custody
    assert msgspec.structs.replace(again, custody=early.custody) == early


def test_a_manifest_of_another_unit_is_refused_and_the_upload_stays(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    foreign = camera.signed(msgspec.structs.replace(clip.manifest, unit_id="unit-2"), clip.sealed)
    unit.upload(clip)
    sentence = unit.seal(foreign).refuses(403, RefusalCode.FOREIGN)
    assert "unit unit-2" in sentence
    assert dock.stored(clip.clip_id) is None
    assert sentence in dock.alarms()
    dock.receipt(unit.seal(clip))
    assert dock.is_stored(clip)
    assert not dock.alarms()


def test_another_units_clip_is_not_given_a_receipt_again(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    clip = camera.clip()
    unit.bring(clip)
    thief, hands = dock.unit("unit-2")
    hands.seal(clip).refuses(403, RefusalCode.FOREIGN)
    own = thief.signed(msgspec.structs.replace(clip.manifest, unit_id="unit-2"), clip.sealed)
    hands.seal(own).refuses(409, RefusalCode.STORED)
    assert dock.is_stored(clip)


def test_a_manifest_of_another_clip_than_the_path_names_is_refused(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip, other = camera.clip(), camera.clip()
    unit.upload(clip)
    sentence = seal_raw(unit, clip, msgspec.json.encode(other.request)).refuses(403, RefusalCode.FOREIGN)
    assert other.clip_id in sentence
    assert clip.clip_id in sentence
    assert dock.stored(clip.clip_id) is None


def test_a_sequence_that_was_used_before_is_refused(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    kept = camera.clip()
    unit.bring(kept)
    camera.sequence, camera.newest = 0, None
    again = camera.clip()
    unit.upload(again)
    unit.seal(again).refuses(409, RefusalCode.REPLAYED)
    assert dock.stored(again.clip_id) is None
    assert dock.is_stored(kept)


def test_another_manifest_under_the_id_of_a_kept_clip_changes_nothing(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    unit.bring(clip)
    other = camera.signed(msgspec.structs.replace(clip.manifest, wearer="wearer-8"), clip.sealed)
    unit.seal(other).refuses(409, RefusalCode.STORED)
    assert dock.is_stored(clip)


def test_a_clip_that_comes_before_its_predecessor_waits_for_it(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    first, second = camera.clip(), camera.clip()
    unit.upload(second)
    sentence = unit.seal(second).refuses(409, RefusalCode.GAP)
    assert "sequence 2, but 1 comes next" in sentence
    unit.bring(first)
    dock.receipt(unit.seal(second))
    assert dock.is_stored(first)
    assert dock.is_stored(second)


def test_an_accepted_gap_lets_one_clip_through(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    camera.clip()
    second = camera.clip()
    unit.upload(second)
    unit.seal(second).refuses(409, RefusalCode.GAP)
    with dock.dock.catalogue.writing() as connection:
        chains.accept_gap(
            connection, "unit-1", expected_sequence=1, reason="lost", accepted_by="it", at=dock.dock.clock()
        )
    dock.receipt(unit.seal(second))
    camera.clip()
    fourth = camera.clip()
    unit.upload(fourth)
    unit.seal(fourth).refuses(409, RefusalCode.GAP)


def test_a_clip_that_names_another_predecessor_is_refused(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    unit.bring(camera.clip())
    camera.newest = "1e" * 32
    clip = camera.clip()
    unit.upload(clip)
    unit.seal(clip).refuses(409, RefusalCode.BROKEN_CHAIN)
    assert dock.stored(clip.clip_id) is None


def test_bytes_with_another_digest_are_thrown_away_and_may_be_sent_anew(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    damaged = bytearray(clip.sealed)
    damaged[1000] ^= 1
    location = unit.upload(replace(clip, sealed=bytes(damaged)))
    sentence = unit.seal(clip).refuses(422, RefusalCode.DIFFERS)
    assert clip.manifest.ciphertext_sha256 in sentence
    assert unit.head(location).status == 404
    assert dock.vault_files() == []
    dock.receipt(unit.bring(clip))
    assert dock.is_stored(clip)


def test_bytes_of_another_size_are_thrown_away(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    clip = camera.clip()
    unit.upload(replace(clip, sealed=clip.sealed[:-1]))
    sentence = unit.seal(clip).refuses(422, RefusalCode.DIFFERS)
    assert f"{len(clip.sealed) - 1} bytes, not {len(clip.sealed)}" in sentence
    assert dock.vault_files() == []


@pytest.mark.parametrize("signature", [b"", b"short", bytes(64), bytes(65)])
def test_a_signature_that_does_not_fit_is_refused(
    dock: RunningDock, camera: Camera, unit: Visitor, signature: bytes
) -> None:
    clip = camera.clip()
    unit.upload(clip)
    unit.seal(replace(clip, signature=signature)).refuses(422, RefusalCode.SIGNATURE)
    assert dock.stored(clip.clip_id) is None


def test_a_manifest_signed_by_another_unit_is_refused(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    clip = camera.clip()
    unit.upload(clip)
    other = dock.pki.unit("unit-1")
    forged = replace(clip, signature=other.signer().sign(clip.content))
    unit.seal(forged).refuses(422, RefusalCode.SIGNATURE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ciphertext_bytes", -1),
        ("ciphertext_bytes", "many"),
        ("ciphertext_sha256", "0F" * 32),
        ("clip_id", "../../etc/passwd"),
        ("unit_id", "Unit_1"),
        ("sequence", 0),
        ("started_at", "yesterday"),
        ("started_at", "2026-03-01T12:00:00+01:00"),
        ("wearer", "two\nlines"),
        ("ended_by", "nobody"),
        ("schema", "mirrorcam/manifest/2"),
        ("unheard_of", 1),
    ],
)
def test_a_manifest_with_a_bad_field_is_refused_by_the_fields_name(
    dock: RunningDock, camera: Camera, unit: Visitor, field: str, value: object
) -> None:
    clip = camera.clip()
    unit.upload(clip)
    content = json.dumps({**fields(clip.manifest), field: value}).encode()
    spoilt = replace(clip, content=content, signature=camera.identity.signer().sign(content))
    assert field in unit.seal(spoilt).refuses(422, RefusalCode.SCHEMA)
    dock.receipt(unit.seal(clip))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"\xff"',
        b"[" * 100_000,
        b'{"manifest": "not base64!", "signature": ""}',
        b'{"manifest": "", "manifest": "", "signature": ""}',
        b'{"manifest": ""}',
        b'{"manifest": 5, "signature": ""}',
        b'{"manifest": "", "signature": "", "more": 1}',
    ],
)
def test_a_seal_request_that_is_none_is_refused(camera: Camera, unit: Visitor, body: bytes) -> None:
    clip = camera.clip()
    unit.upload(clip)
    seal_raw(unit, clip, body).refuses(422, RefusalCode.SCHEMA)


def test_a_manifest_that_is_too_large_is_refused_before_it_is_read(camera: Camera, unit: Visitor) -> None:
    clip = camera.clip()
    large = SealRequest(manifest=bytes(MAX_BYTES + 1), signature=bytes(64))
    seal_raw(unit, clip, msgspec.json.encode(large)).refuses(422, RefusalCode.SCHEMA)
    seal_raw(unit, clip, bytes(3 << 20)).refuses(413, RefusalCode.TOO_LONG)


def test_a_clip_of_which_nothing_came_cannot_be_sealed(camera: Camera, unit: Visitor) -> None:
    clip = camera.clip()
    assert "nothing of it is here" in unit.seal(clip).refuses(409, RefusalCode.NOT_UPLOADED)


def test_a_clip_of_which_a_part_came_cannot_be_sealed_and_goes_on(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    location = unit.begin(clip)
    unit.append(location, 0, clip.sealed[:1000])
    sentence = unit.seal(clip).refuses(409, RefusalCode.NOT_UPLOADED)
    assert f"1000 of {len(clip.sealed)} bytes" in sentence
    assert unit.append(location, 1000, clip.sealed[1000:]).status == 204
    dock.receipt(unit.seal(clip))


def test_a_refusal_is_noted_once_however_often_it_comes(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    camera.clip()
    clip = camera.clip()
    for _ in range(3):
        unit.seal(clip).refuses(409, RefusalCode.GAP)
    assert dock.log() == [("clip-refused", f"clip:{clip.clip_id}")]
    assert len(dock.alarms()) == 1


@pytest.mark.parametrize("clip_id", ["x", "%0A", "a%00b", "%F0%9F%98%80", "..%2f..%2fx", "A" * 500])
def test_a_path_that_names_no_clip_is_refused_and_leaves_no_trace(
    dock: RunningDock, camera: Camera, unit: Visitor, clip_id: str
) -> None:
    body = msgspec.json.encode(camera.clip().request)
    answer = unit.ask("POST", SEAL_PATH.format(clip_id=clip_id), body)
    answer.refuses(404, RefusalCode.UNKNOWN)
    assert not dock.log()
    assert not dock.alarms()


def test_a_clip_whose_bytes_the_disk_lost_is_asked_for_anew(dock: RunningDock, camera: Camera, unit: Visitor) -> None:
    clip = camera.clip()
    unit.upload(clip)
    (part,) = dock.dock.folder.vault.glob("incoming/*.part")
    part.write_bytes(clip.sealed[:-1])
    sentence = unit.seal(clip).refuses(409, RefusalCode.NOT_UPLOADED)
    assert "lost" in sentence
    dock.receipt(unit.bring(clip))
    assert dock.is_stored(clip)


def test_bytes_that_changed_on_the_disk_after_they_came_get_no_receipt(
    dock: RunningDock, camera: Camera, unit: Visitor
) -> None:
    clip = camera.clip()
    unit.upload(clip)
    (part,) = dock.dock.folder.vault.glob("incoming/*.part")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 0x80
    part.write_bytes(content)
    unit.seal(clip).refuses(422, RefusalCode.DIFFERS)
    assert hashlib.sha256(content).hexdigest() != clip.manifest.ciphertext_sha256
    assert dock.stored(clip.clip_id) is None


def test_two_units_clips_do_not_mix(dock: RunningDock) -> None:
    one, its_hands = dock.unit("unit-1")
    two, other_hands = dock.unit("unit-2")
    first, second = one.clip(), two.clip()
    dock.receipt(its_hands.bring(first))
    dock.receipt(other_hands.bring(second))
    assert dock.is_stored(first)
    assert dock.is_stored(second)


def test_a_unit_that_is_refused_without_end_fills_neither_the_alarms_nor_the_custody_log(
    dock: RunningDock, camera: Camera, unit: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_REFUSALS", 3)
    for _ in range(5):
        seal_raw(unit, camera.clip(10), msgspec.json.encode(SealRequest(manifest=b"{}", signature=b""))).refuses(
            422, RefusalCode.SCHEMA
        )
    assert len(dock.alarms()) == 3
    assert [action for action, _ in dock.log()] == ["clip-refused"] * 3
