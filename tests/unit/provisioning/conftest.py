"""A town, set up as IT does it, for the tests of provisioning."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioning.authority import AuthorityFolder, create_authority
from provisioning.policies import profile, sign_policy
from provisioning.station import Passphrases

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
REVIEWER_PASSPHRASE = "seven invented demo words"
RECOVERY_PASSPHRASE = "other invented demo words"
CHEAP = Passphrases(lambda: REVIEWER_PASSPHRASE, lambda: RECOVERY_PASSPHRASE, work_factor=2)


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    """Call the stock program; raises CalledProcessError when it says no."""
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


@pytest.fixture
def town(tmp_path: Path) -> AuthorityFolder:
    """The authority of an invented town, with its first policy in force."""
    folder = AuthorityFolder(tmp_path / "town")
    create_authority(folder, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=NOW)
    sign_policy(folder, profile("bocholt"))
    return folder
