"""Puts closed clips of random bytes into the unit's spool, as many and as long as asked for, and prints their ids.

For a unit that is stopped: two processes would not know of each other's place in the chain.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from appliance.installation import Installation
from appliance.spool import Ending
from evidence.age import parse_recipient, seal_bytes
from evidence.identifiers import new_clip_id
from evidence.manifest import Manifest

UNIT = Path("/var/lib/mirrorcam/unit")


def add_clip(installation: Installation, size: int) -> str:
    """Record `size` random bytes as a clip that the wearer has ended."""
    signed = installation.folder.policy()
    recipients = tuple(signed.policy.recipients)
    now = datetime.now(UTC).replace(microsecond=0)
    start = Manifest(
        clip_id=new_clip_id(now),
        unit_id=installation.settings.unit_id,
        wearer="wearer-7",
        sequence=1,
        previous_manifest_sha256=None,
        started_at=now - timedelta(seconds=60),
        ended_at=None,
        clock=installation.clock.quality(),
        started_monotonic_seconds=1.0,
        boot_id=installation.facts.boot_id,
        pre_record_seconds=0.0,
        frames_written=None,
        frames_lost=None,
        has_audio=False,
        mute_spans=(),
        markers=(),
        complete=False,
        ended_by="power-lost",
        policy_id=signed.policy.policy_id,
        policy_sha256=sha256(signed.document.content).hexdigest(),
        recipients=recipients,
        ciphertext_bytes=0,
        ciphertext_sha256=sha256().hexdigest(),
        software=installation.facts.software,
    )
    growing = installation.spool.open_clip(start)
    growing.write(seal_bytes(os.urandom(size), [parse_recipient(recipient) for recipient in recipients]))
    installation.spool.close_clip(growing, Ending("wearer", now, 600, 0))
    return start.clip_id


def main() -> None:
    """Add them."""
    installation = Installation.open(UNIT)
    with installation.exclusively():
        installation.recover()
        for _ in range(int(sys.argv[1])):
            print(add_clip(installation, int(sys.argv[2])))


main()
