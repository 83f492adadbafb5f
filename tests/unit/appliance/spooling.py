"""Clips that get into a spool without a camera, and what must be so of those that are there."""

import hashlib
from datetime import timedelta

from appliance.spool import (
    Ending,
    Spool,
    SpooledClip,
)
from evidence.chain import Link, check_follows, link_of
from evidence.identifiers import new_clip_id
from evidence.manifest import ClockQuality, Manifest, check_ciphertext
from tests.pki import SOME_RECIPIENT
from tests.recording import BOOT_ID, EPOCH, Unit

ENDING = Ending("wearer", EPOCH + timedelta(seconds=30), 900, 0)
MEGABYTE = 1 << 20


def start(number: int = 0) -> Manifest:
    moment = EPOCH + timedelta(seconds=number)
    return Manifest(
        clip_id=new_clip_id(moment),
        unit_id="unit-1",
        wearer="w-7",
        sequence=1,
        previous_manifest_sha256=None,
        started_at=moment,
        ended_at=None,
        clock=ClockQuality(last_sync=None, estimated_error_seconds=None),
        started_monotonic_seconds=10.0,
        boot_id=BOOT_ID,
        pre_record_seconds=0.0,
        frames_written=None,
        frames_lost=None,
        has_audio=False,
        mute_spans=(),
        markers=(),
        complete=False,
        ended_by="power-lost",
        policy_id="test",
        policy_sha256="0" * 64,
        recipients=(SOME_RECIPIENT,),
        ciphertext_bytes=0,
        ciphertext_sha256="0" * 64,
        software="test",
    )


def spooled(spool: Spool, number: int = 0, content: bytes = b"sealed") -> SpooledClip:
    growing = spool.open_clip(start(number))
    growing.write(content)
    spool.close_clip(growing, ENDING)
    return next(clip for clip in spool.waiting() if clip.clip_id == growing.draft.clip_id)


def names(unit: Unit) -> set[str]:
    return {path.name for path in (unit.folder / "data").iterdir()}


def check_chain(unit: Unit, clips: tuple[SpooledClip, ...]) -> None:
    newest: Link | None = None
    for clip in clips:
        content = clip.manifest_file.read_bytes()
        check_follows(clip.manifest, newest)
        newest = link_of(clip.manifest, content)
        sealed = clip.sealed_file.read_bytes()
        check_ciphertext(clip.manifest, size=len(sealed), sha256=hashlib.sha256(sealed).hexdigest())
        assert unit.signer
        assert clip.signature_file.read_bytes() == unit.signer.sign(content)
