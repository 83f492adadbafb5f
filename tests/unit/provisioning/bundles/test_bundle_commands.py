"""The command `mirrorcam-provision bundle`: what it prints, how it ends, and one sentence for each refusal."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bundles import NEWER, RELEASE

BUNDLE = f"mirrorcam-debian-{RELEASE}.raucb"


def call(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "provisioning.cli", "bundle", *arguments],
        cwd=place,
        text=True,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def refused(done: "subprocess.CompletedProcess[str]", code: int, sentence: str) -> None:
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mirrorcam-provision: ")]
    assert sentence in line
    assert "Traceback" not in done.stderr


def test_a_bundle_is_made_published_and_withdrawn(place: Path) -> None:
    made = call(place, "make", "older.img", "--authority", "town", "--into", "out")
    assert made.returncode == 0, made.stderr
    assert f"made  out/{BUNDLE}  (bundle of release {RELEASE})" in made.stdout
    published = call(place, "publish", f"out/{BUNDLE}", "--authority", "town", "--into", "dock")
    assert published.returncode == 0, published.stderr
    assert f"(bundle of release {RELEASE} for mirrorcam-debian)" in published.stdout
    withdrawn = call(place, "withdraw", "--into", "dock")
    assert withdrawn.stdout == "The dock in dock offers no bundle any more.\n"


def test_a_release_is_revoked_and_its_offer_ends(place: Path) -> None:
    place_of = ("--authority", "town", "--into", "dock")
    assert call(place, "publish", BUNDLE, *place_of).returncode == 0
    revoked = call(place, "revoke", RELEASE, *place_of)
    assert revoked.returncode == 0, revoked.stderr
    assert (
        f"town/revocations.pem  (list of revoked certificates, the signers of release {RELEASE} added)"
        in revoked.stdout
    )
    assert "dock/revocations.pem" in revoked.stdout
    assert revoked.stdout.endswith("The dock in dock offers no bundle any more.\n")
    refused(call(place, "publish", BUNDLE, *place_of), 3, "its signer's certificate does not count")
    refused(call(place, "revoke", "9.0.0+20261120T000000Z", *place_of), 1, "no signer of release 9.0.0")
    refused(call(place, "revoke", RELEASE, "--authority", "town", "--into", "no"), 5, "no is no dock's folder")
    assert call(place, "revoke", "nine", *place_of).returncode == 2


def test_each_refusal_is_one_sentence_with_the_exit_code_that_all_commands_have(place: Path) -> None:
    make = ("make", "older.img", "--authority")
    refused(call(place, *make, "nothing"), 5, "authority.key is missing: make the authority")
    refused(call(place, "make", "no.img", "--authority", "town"), 5, "no.img cannot be read")
    (place / "older.img.sha256").write_text("0" * 64)
    refused(call(place, *make, "town"), 3, "older.img is not what its .sha256 says")
    publish = ("--authority", "town", "--into", "dock")
    assert call(place, "publish", f"mirrorcam-debian-{NEWER}.raucb", *publish).returncode == 0
    refused(call(place, "publish", BUNDLE, *publish), 1, "units take no older release")
    refused(call(place, "publish", "older.img", *publish), 3, "older.img is refused: it is no bundle")
    refused(call(place, "publish", "no.raucb", *publish), 5, "No such file or directory")
    refused(call(place, "publish", BUNDLE, "--authority", "town", "--into", "no"), 5, "no is no dock's folder")
    refused(call(place, "withdraw", "--into", "no"), 5, "no is no dock's folder")
