"""The commands in docs/formats.md, run as they stand there, on clips that the unit's own recorder made."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evidence.age import HybridIdentity
from evidence.strict import write_json
from tests.clips import Case, make_case
from tests.pki import policy_toml

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/formats.md").read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = "\n".join(BLOCKS)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Case, Case]:
    """A folder with everything that the commands name."""
    place = tmp_path / "place"
    place.mkdir()
    case = make_case(tmp_path / "case")
    key = HybridIdentity.generate()
    hybrid = make_case(tmp_path / "hybrid", clips=1, recipients=(str(key.recipient),))
    for clip in (case.clips[1], hybrid.clips[0]):
        for file in (clip.sealed_file, clip.manifest_file, clip.signature_file):
            shutil.copy(file, place)
    for name in ("authority.crt", "unit.crt", "revocations.pem", "key.txt"):
        shutil.copy(case.folder / name, place)
    shutil.copy(case.clips[0].manifest_file, place / "previous.json")
    (place / "receipt.json").write_bytes(write_json(case.receipt(case.clips[1])))
    (place / "hybrid-key.txt").write_text(f"# a key of this test\n{key.secret_text()}\n")
    (place / "policy.toml").write_text(policy_toml())
    signer = case.unit.pki.policy_signer()
    (place / "policy.toml.crt").write_bytes(signer.certificate_pem)
    (place / "policy.toml.sig").write_bytes(signer.signer().sign(policy_toml().encode()))
    (place / "node_modules").symlink_to(ROOT / "tests/conformance/node_modules")
    return place, case, hybrid


def run(place: tuple[Path, Case, Case], commands: str) -> subprocess.CompletedProcess[str]:
    """Run shell commands in the folder; the first that fails ends them."""
    folder, case, hybrid = place
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    ours = programs / "mirrorcam-clip"
    ours.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m evidence.cli "$@"\n')
    ours.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CLIP": case.clips[1].clip_id,
        "HYBRID": hybrid.clips[0].clip_id,
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_commands_open_and_verify_a_clip(place: tuple[Path, Case, Case]) -> None:
    done = run(place, COMMANDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "codec_name=h264" in done.stdout
    assert "width=320" in done.stdout
    assert "is genuine" in done.stdout


def test_there_are_as_many_commands_as_the_document_promises() -> None:
    assert len(BLOCKS) >= 10
    for program in ("age -d", "openssl pkeyutl", "openssl verify -crl_check", "sha256sum --check", "jq", "ffprobe"):
        assert program in COMMANDS


SPOILT = {
    "the sealed file": "{clip}.mp4.age",
    "the manifest": "{clip}.json",
    "the signature": "{clip}.json.sig",
    "the manifest before": "previous.json",
    "the receipt": "receipt.json",
    "the policy": "policy.toml",
    "the policy's signature": "policy.toml.sig",
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_commands_fail_when_something_was_changed(place: tuple[Path, Case, Case], what: str) -> None:
    folder, case, _ = place
    path = folder / SPOILT[what].format(clip=case.clips[1].clip_id)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert run(place, COMMANDS).returncode != 0


def test_the_commands_fail_for_a_unit_of_another_authority(place: tuple[Path, Case, Case]) -> None:
    folder, _, hybrid = place
    shutil.copy(hybrid.authority, folder / "authority.crt")
    assert run(place, COMMANDS).returncode != 0


def test_the_commands_fail_for_another_unit_of_the_same_authority(place: tuple[Path, Case, Case]) -> None:
    folder, case, _ = place
    (folder / "unit.crt").write_bytes(case.unit.pki.unit("unit-2").certificate_pem)
    assert run(place, COMMANDS).returncode != 0
