"""What the spool does with a dock's answer: nothing goes without a receipt for just that clip."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.recovered import Recovered, Remains
from appliance.spool import (
    NotWaitingError,
    Spool,
    SpooledClip,
)
from evidence.certificates import CertificateError
from evidence.chain import check_follows, link_of
from evidence.docking import SeenHead
from evidence.receipt import CustodyHead, Receipt, ReceiptDiffersError, encode
from evidence.signature import SignatureError, Signed
from evidence.strict import SchemaError
from tests.pki import Identity
from tests.recording import EPOCH, Unit
from tests.unit.appliance.spooling import names, spooled, start


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


@pytest.fixture
def spool(unit: Unit) -> Spool:
    return unit.spool()


def receipt_of(clip: SpooledClip, *, entries: int = 5, **changes: Any) -> Receipt:
    content = clip.manifest_file.read_bytes()
    receipt = Receipt(
        dock_id="dock-1",
        unit_id="unit-1",
        clip_id=clip.clip_id,
        manifest_sha256=hashlib.sha256(content).hexdigest(),
        ciphertext_bytes=clip.manifest.ciphertext_bytes,
        ciphertext_sha256=clip.manifest.ciphertext_sha256,
        stored_at=EPOCH + timedelta(hours=1),
        custody=CustodyHead(entries=entries, sha256=f"{entries:064x}"),
    )
    return msgspec.structs.replace(receipt, **changes)


def signed(receipt: Receipt, identity: Identity) -> Signed:
    content = encode(receipt)
    return Signed(content=content, signature=identity.signer().sign(content), certificate=identity.certificate_pem)


def accept(unit: Unit, spool: Spool, clip_id: str, receipt: Signed) -> Receipt:
    return spool.accept_receipt(clip_id, receipt, unit.pki.authority(), datetime.now(UTC))


def test_a_receipt_lets_its_clip_go_and_no_other(unit: Unit, spool: Spool) -> None:
    first, second = spooled(spool), spooled(spool, 1)
    dock = unit.pki.dock_signer("dock-1")
    assert accept(unit, spool, first.clip_id, signed(receipt_of(first), dock)).clip_id == first.clip_id
    assert spool.waiting() == (second,)
    assert not [name for name in names(unit) if name.startswith(first.clip_id)]


def test_the_chain_goes_on_after_all_clips_are_gone(unit: Unit, spool: Spool) -> None:
    clip = spooled(spool)
    newest = link_of(clip.manifest, clip.manifest_file.read_bytes())
    accept(unit, spool, clip.clip_id, signed(receipt_of(clip), unit.pki.dock_signer("dock-1")))
    again = unit.spool()
    check_follows(spooled(again, 1).manifest, newest)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unit_id", "unit-2"),
        ("clip_id", "019344a0-2222-7abc-8def-0123456789ab"),
        ("manifest_sha256", "1" * 64),
        ("ciphertext_bytes", 1),
        ("ciphertext_sha256", "1" * 64),
        ("dock_id", "dock-2"),
    ],
)
def test_a_receipt_that_speaks_of_anything_else_removes_nothing(
    unit: Unit, spool: Spool, field: str, value: Any
) -> None:
    clip = spooled(spool)
    before = names(unit)
    with pytest.raises(ReceiptDiffersError, match=field):
        accept(unit, spool, clip.clip_id, signed(receipt_of(clip, **{field: value}), unit.pki.dock_signer("dock-1")))
    assert names(unit) == before
    assert spool.seen_heads() == ()


def test_a_receipt_that_no_dock_of_the_authority_signed_removes_nothing(unit: Unit, spool: Spool) -> None:
    clip = spooled(spool)
    before = names(unit)
    good = signed(receipt_of(clip), unit.pki.dock_signer("dock-1"))
    forged = msgspec.structs.replace(good, signature=bytes(64))
    with pytest.raises(SignatureError):
        accept(unit, spool, clip.clip_id, forged)
    stranger = Unit(unit.folder / "stranger").pki.dock_signer("dock-1")
    with pytest.raises(CertificateError):
        accept(unit, spool, clip.clip_id, signed(receipt_of(clip), stranger))
    with pytest.raises(CertificateError):
        accept(unit, spool, clip.clip_id, signed(receipt_of(clip), unit.pki.unit("unit-1")))
    dock = unit.pki.dock_signer("dock-1")
    empty = Signed(content=b"{}", signature=dock.signer().sign(b"{}"), certificate=dock.certificate_pem)
    with pytest.raises(SchemaError):
        accept(unit, spool, clip.clip_id, empty)
    assert names(unit) == before


def test_a_clip_that_is_not_waiting_has_no_receipt_and_no_refusal(unit: Unit, spool: Spool) -> None:
    clip = spooled(spool)
    receipt = signed(receipt_of(clip), unit.pki.dock_signer("dock-1"))
    accept(unit, spool, clip.clip_id, receipt)
    growing = spool.open_clip(start(1))
    for clip_id in (clip.clip_id, growing.draft.clip_id, "../spool"):
        with pytest.raises(NotWaitingError, match="nothing was deleted"):
            accept(unit, spool, clip_id, receipt)
        with pytest.raises(NotWaitingError):
            spool.refuse(clip_id, "no")
    growing.close()


def test_the_newest_head_of_each_dock_is_remembered_and_a_shorter_log_replaces_none(unit: Unit, spool: Spool) -> None:
    docks = {dock_id: unit.pki.dock_signer(dock_id) for dock_id in ("dock-1", "dock-2")}
    for number, (dock_id, entries) in enumerate([("dock-1", 7), ("dock-2", 3), ("dock-1", 9), ("dock-1", 4)]):
        clip = spooled(spool, number)
        accept(unit, spool, clip.clip_id, signed(receipt_of(clip, dock_id=dock_id, entries=entries), docks[dock_id]))
    heads = {head.dock_id: head.head.entries for head in unit.spool().seen_heads()}
    assert heads == {"dock-1": 9, "dock-2": 3}
    assert all(isinstance(head, SeenHead) for head in spool.seen_heads())


def test_a_refused_clip_stays_with_the_reason_until_a_receipt_comes(unit: Unit, spool: Spool) -> None:
    clip = spooled(spool)
    spool.refuse(clip.clip_id, "The dock has no room.")
    again = unit.spool()
    assert again.refusals() == {clip.clip_id: "The dock has no room."}
    assert again.waiting() == (clip,)
    accept(unit, again, clip.clip_id, signed(receipt_of(clip), unit.pki.dock_signer("dock-1")))
    assert again.refusals() == {}


@pytest.mark.parametrize("removed", range(4))
def test_a_crash_while_a_received_clip_is_removed_is_finished_at_the_next_start(
    unit: Unit, spool: Spool, removed: int
) -> None:
    clip = spooled(spool)
    (unit.folder / "data" / f"{clip.clip_id}.receipt").write_bytes(encode(receipt_of(clip)))
    for path in (clip.sealed_file, clip.signature_file, clip.manifest_file)[:removed]:
        path.unlink()
    again = unit.spool()
    assert again.waiting() == ()
    what = "The dock has it; removing it here was finished."
    assert again.recover() == (Recovered(clip.clip_id, Remains.HANDED_OVER, what),)
    assert names(unit) == {"spool.json", "spool.twin.json"}
