"""The layers say what the recipe says, and what their hooks do to a root is what `make image` does to one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence.release import RELEASE_FILE
from provisioning.image import layers
from provisioning.image.layers import write_layers, write_texts
from provisioning.image.profiles import PROFILES, RECIPE, Profile, load_profile
from provisioning.image.python_packages import SITE
from provisioning.image.tree import RADIOS, installed_by
from tests.cards import run

PROFILE = load_profile("debian", {})


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    return load_profile(request.param, {})


def texts(profile: Profile, folder: Path) -> Path:
    write_texts(profile, folder)
    return folder


def items(layer: Path, name: str) -> list[str]:
    """A list of a layer's "mmdebstrap", whose entries are of one line."""
    text = layer.read_text().partition(f"\n  {name}:\n")[2]
    lines = iter(text.splitlines())
    return [line.removeprefix("    - ") for line in _while_deeper(lines)]


def hook(layer: Path, word: str) -> str:
    """The one hook of a layer in which a word is, as its shell reads it."""
    _, _, text = layer.read_text().partition("-hooks:\n")
    hooks = ["\n".join(line.removeprefix("      ") for line in each.splitlines()) for each in text.split("\n    - ")]
    return next(each.removeprefix("|-\n").partition("\n    #")[0] for each in hooks if word in each)


def _while_deeper(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("    "):
            return
        yield line


def test_the_layer_has_the_packages_and_the_archives_of_the_profile(profile: Profile, tmp_path: Path) -> None:
    layer = texts(profile, tmp_path / "layers") / "layer/mirrorcam-packages.yaml"
    assert items(layer, "packages") == list(profile.packages.names)
    mirrors = [f"deb {a.url} {suite} {' '.join(a.components)}" for a in profile.archives for suite in a.suites]
    assert items(layer, "mirrors") == mirrors
    assert f"path-exclude={profile.packages.left_out[0]}" in items(layer, "dpkgopts")
    assert f'SOURCE_DATE_EPOCH: "{profile.epoch}"' in layer.read_text()
    assert f"apt-cache depends {profile.packages.kernels['arm64']} " in layer.read_text()


def test_the_hook_writes_the_preferences_of_the_profile(profile: Profile, tmp_path: Path) -> None:
    layer = texts(profile, tmp_path / "layers") / "layer/mirrorcam-packages.yaml"
    (tmp_path / "root").mkdir()
    run("sh", "-c", hook(layer, "preferences.d").partition("\n  customize-hooks")[0], "sh", str(tmp_path / "root"))
    written = (tmp_path / "root/etc/apt/preferences.d/preferences.pref").read_text()
    assert written.strip() == profile.packages.preferences.strip()


def test_the_partitions_are_made_of_the_same_profile_and_day(tmp_path: Path) -> None:
    day = "20250102T030405Z"
    folder = texts(load_profile("raspios", {"SNAPSHOT": day}), tmp_path / "layers")
    script = (folder / "image/mirrorcam/pre-image.sh").read_text()
    assert script.endswith(
        f'\nSNAPSHOT={day} exec {sys.executable} -m provisioning.image parts raspios "$1" "$2" "$IGconf_image_name"\n'
    )


def test_nothing_of_a_layer_is_left_to_be_filled_in(profile: Profile, tmp_path: Path) -> None:
    for file in texts(profile, tmp_path / "layers").rglob("*"):
        if file.is_file():
            words = file.read_text().replace(f"@{profile.epoch}", "").split("@")
            assert len(words) == 1, file


def test_every_layer_that_is_named_is_there_or_of_rpi_image_gen(tmp_path: Path) -> None:
    folder = texts(PROFILE, tmp_path / "layers")
    there = {
        line.partition("Layer-Name: ")[2]
        for file in folder.rglob("*.yaml")
        for line in file.read_text().splitlines()
        if "Layer-Name" in line
    }
    config = (folder / "config/mirrorcam.yaml").read_text().split()
    assert there == {"mirrorcam-device", "mirrorcam-card", "mirrorcam-packages", "mirrorcam-unit"}
    assert there - set(config) == {"mirrorcam-packages"}
    assert "Layer-Requires: mirrorcam-packages\n" in (folder / "layer/mirrorcam-unit.yaml").read_text()


def test_drivers_of_radios_are_out_and_others_stay(tmp_path: Path) -> None:
    folder, root = texts(PROFILE, tmp_path / "layers"), tmp_path / "root"
    modules = root / "usr/lib/modules/6.12"
    for place in (*RADIOS, "kernel/drivers/usb"):
        (modules / place).mkdir(parents=True)
    command = hook(folder / "layer/mirrorcam-unit.yaml", "depmod")
    assert 'chroot "$1" depmod "${modules##*/}"' in command
    run("sh", "-c", command.replace("chroot", "true"), "sh", str(root))  # there is no depmod in this root
    assert [place for place in RADIOS if (modules / place).exists()] == []
    assert (modules / "kernel/drivers/usb").is_dir()


def locked(folder: Path, arch: str, lock: Path) -> None:
    """Stands for what PyPI would have to be reached for."""
    assert (arch, lock) == ("arm64", RECIPE / "requirements.lock")
    (folder / SITE / "of_pypi").mkdir(parents=True)


def test_the_files_are_those_of_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "install_locked", locked)
    monkeypatch.setattr(layers, "install_checkout", lambda folder: (folder / SITE / "appliance").mkdir())
    (tmp_path / "rpi-image-gen-debian/of-yesterday").mkdir(parents=True)
    folder = write_layers(PROFILE, tmp_path)
    assert list(tmp_path.iterdir()) == [folder]
    assert sorted(place.name for place in folder.iterdir()) == ["config", "device", "files", "image", "layer"]
    files = folder / "files"
    assert sorted(place.name for place in (files / SITE).iterdir()) == ["appliance", "of_pypi"]
    assert (files / RELEASE_FILE).read_text() == installed_by(PROFILE).text()
    for file in (RECIPE / "overlay").rglob("*"):
        if file.is_file() and file.name != "system.conf":
            assert (files / file.relative_to(RECIPE / "overlay")).read_bytes() == file.read_bytes()
    assert "compatible=mirrorcam-debian\n" in (files / "etc/rauc/system.conf").read_text()
    services = files / "etc/systemd/system"
    assert (services / "getty.target").readlink() == Path("/dev/null")
    assert (services / "multi-user.target.wants/mirrorcam-unit.service").readlink() == Path(
        "/usr/lib/systemd/system/mirrorcam-unit.service"
    )
    assert os.access(folder / "image/mirrorcam/pre-image.sh", os.X_OK)
    assert {place.stat().st_mode & 0o777 for place in files.rglob("*") if place.is_dir()} == {0o755}


def test_a_yaml_file_of_ours_is_taken_for_a_layer_only_where_it_is_one(tmp_path: Path) -> None:
    """Below layer/, device/ and image/ rpi-image-gen takes every YAML file for a layer."""
    folder = texts(PROFILE, tmp_path / "layers")
    found = {file for place in ("layer", "device", "image") for file in (folder / place).rglob("*.y*ml")}
    assert len(found) == 4
    for file in found:
        assert file.read_text().startswith("# METABEGIN\n# X-Env-Layer-Name: mirrorcam-")
