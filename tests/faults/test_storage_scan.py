"""The main job from provisioning to playback, with both sides' storage scanned at each step for what must not be there.

It drives the commands as a town does, by the story that `make demo ONCE=1` tells.
"""

from pathlib import Path

import pytest

from provisioning.demo.stage import Stage
from provisioning.demo.story import Story, Told
from tests.footage import bikes, bunny

# Boxes of MP4 with the box that comes first inside them, and H.264 start codes before an SPS, a PPS or an IDR picture.
VIDEO = (b"ftypiso", b"ftypmp4", b"mvhd\x00\x00", b"mfhd\x00\x00", b"mdat\x00\x00", b"avcC\x01")
START_CODES = tuple(b"\x00\x00\x00\x01" + bytes([unit]) for unit in (0x67, 0x27, 0x68, 0x28, 0x65, 0x25))
PRIVATE_KEYS = (b"AGE-SECRET-KEY-", b"PRIVATE KEY-----")
# Where set-up puts the three keys that each side signs and speaks TLS with; none of them opens a clip.
KEY_FILES = {"unit/unit.key", "dock/dock.key", "dock/signer.key"}


def found(folder: Path, patterns: tuple[bytes, ...], *, but: frozenset[str] = frozenset()) -> list[str]:
    """Return the files of unit, dock and logs under `folder` that hold one of the patterns, with the pattern."""
    bad = []
    for path in sorted([*folder.glob("unit/**/*"), *folder.glob("dock/**/*"), *folder.glob("*.log")]):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in but:
            content = path.read_bytes()
            bad += [f"{name}: {pattern!r}" for pattern in patterns if pattern in content]
    return bad


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Told], dict[str, list[str]]]:
    """Tell the story once; return its steps, and what the scan after each found."""
    stage = Stage.set_up(tmp_path_factory.mktemp("town") / "demo")
    secrets = stage.secrets
    said = tuple(text.encode() for text in (secrets.passphrase, secrets.password, secrets.recovery))
    told, leaks = [], {}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SDL_VIDEODRIVER", "dummy")
        environment.setenv("SDL_AUDIODRIVER", "dummy")
        for step in Story(stage, str(bunny())).tell():
            told.append(step)
            leaks[step.title] = found(stage.path, VIDEO + START_CODES + said)
            leaks[step.title] += found(stage.path, PRIVATE_KEYS, but=frozenset(KEY_FILES))
    return told, leaks


def test_all_eight_steps_of_the_design_hold(story: tuple[list[Told], dict[str, list[str]]]) -> None:
    told, _ = story
    assert [(step.number, step.holds, step.facts) for step in told if not step.holds] == []
    assert len(told) == 8


@pytest.mark.parametrize("step", ["Provision", "Standby", "Touch", "Record", "Stop", "Dock", "Keep or delete", "View"])
def test_no_picture_passphrase_or_private_key_is_in_the_clear_after(
    step: str, story: tuple[list[Told], dict[str, list[str]]]
) -> None:
    _, leaks = story
    assert leaks[step] == []


def test_the_scan_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "dock" / "vault").mkdir(parents=True)
    (tmp_path / "unit" / "film").write_bytes(bikes().read_bytes())
    (tmp_path / "dock" / "vault" / "packet").write_bytes(b"..\x00\x00\x00\x01\x67..")
    (tmp_path / "dock" / "key").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    assert [line.split(":")[0] for line in found(tmp_path, VIDEO)][:1] == ["unit/film"]
    assert found(tmp_path, START_CODES) == ["dock/vault/packet: b'\\x00\\x00\\x00\\x01g'"]
    assert found(tmp_path, PRIVATE_KEYS, but=frozenset(KEY_FILES)) == ["dock/key: b'PRIVATE KEY-----'"]
