"""An image names its release by this checkout's version and the day of Debian that it is made of."""

from importlib.metadata import version

import pytest

from provisioning.image.profiles import PROFILES, load_profile
from provisioning.image.tree import installed_by


@pytest.mark.parametrize("profile", PROFILES)
def test_a_root_is_of_this_version_and_of_the_snapshots_moment(profile: str) -> None:
    installed = installed_by(load_profile(profile, {"SNAPSHOT": "20261203T061500Z"}))
    assert installed.text() == f"release={version('mirrorcam')}+20261203T061500Z\ncompatible=mirrorcam-{profile}\n"
