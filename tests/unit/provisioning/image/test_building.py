"""A build that cannot reach its mirror, that fails, that is stopped or killed: one sentence, and the next begins anew.

A script stands in for mmdebstrap, for the real one takes minutes and a mirror, and for programs that no build gets to
here, so that they need not be installed. All else is real.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provisioning.image.bootstrap import this_arch
from provisioning.image.profiles import KeyringMissingError, load_profile
from provisioning.image.root import ready_tree

PATIENCE = 30  # seconds that a test waits for what takes a few at most

# It leaves a part of a root where it was told to put one, says so, and then does as the test wants.
STAND_IN = """#!/bin/sh
for word in "$@"; do case "$word" in */tree) tree="$word" ;; esac; done
ls "$(dirname "$tree")" > "$PLACE/found"
mkdir -p "$tree/etc"
echo part > "$tree/etc/part"
echo "$tree" > "$PLACE/started.new"
mv "$PLACE/started.new" "$PLACE/started"
{then}
"""


class _Lists(BaseHTTPRequestHandler):
    """A mirror that has every list of a suite, and nothing else."""

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path.endswith("/InRelease") and "/gone/" not in self.path else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Lists) as server:
        worker = threading.Thread(target=server.serve_forever)
        worker.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        worker.join()


@dataclass(frozen=True)
class Build:
    """`make image` in a folder of the test's own."""

    place: Path
    mirror: str

    def command(self) -> list[str]:
        return [sys.executable, "-m", "provisioning.image", "debian", str(self.place / "out")]

    def environment(self, **more: str) -> dict[str, str]:
        mirrors = {"DEBIAN_MIRROR": self.mirror, "DEBIAN_SECURITY_MIRROR": self.mirror}
        places = {"XDG_CACHE_HOME": str(self.place / "cache"), "PLACE": str(self.place)}
        return {**os.environ, **mirrors, **places, "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}", **more}

    def stand_in(self, then: str) -> None:
        (self.place / "bin").mkdir(exist_ok=True)
        for name in ("mmdebstrap", "depmod", "qemu-aarch64"):
            program = self.place / "bin" / name
            program.write_text(STAND_IN.format(then=then))
            program.chmod(0o755)

    def run(self, **more: str) -> "subprocess.CompletedProcess[str]":
        environment = self.environment(**more)
        return subprocess.run(self.command(), env=environment, capture_output=True, text=True, check=False, timeout=60)

    def begun(self) -> "subprocess.Popen[str]":
        """Start a build, and return it when its packages are being fetched."""
        self.stand_in("exec sleep 600")
        process = subprocess.Popen(
            self.command(), env=self.environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        deadline = time.monotonic() + PATIENCE
        while not (self.place / "started").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "it did not begin"
            time.sleep(0.05)
        return process

    def left(self) -> set[str]:
        """Return what is left of it, but for the locks."""
        found = [*(self.place / "cache/mirrorcam/image").iterdir(), *(self.place / "out").iterdir()]
        return {path.name for path in found if path.suffix != ".lock"}


@pytest.fixture
def build(tmp_path: Path, mirror: str) -> Build:
    if os.geteuid() != 0:
        pytest.fail("run this as root, as an image is built")
    return Build(tmp_path, mirror)


def sentence(stderr: str) -> str:
    (line,) = [line for line in stderr.splitlines() if line.startswith("make image: ")]
    assert "Traceback" not in stderr
    return line


def test_a_mirror_that_is_not_reached_is_named_with_what_to_do_and_leaves_nothing(build: Build) -> None:
    build.stand_in("exit 0")
    nobody = build.run(DEBIAN_MIRROR="http://127.0.0.1:9/debian")
    assert nobody.returncode == 5
    said = sentence(nobody.stderr)
    assert (
        "No packages can be fetched from http://127.0.0.1:9/debian/dists/trixie/InRelease (Connection refused): "
        in said
    )
    assert said.endswith("name a mirror in DEBIAN_MIRROR, or try later.")
    gone = build.run(DEBIAN_SECURITY_MIRROR=f"{build.mirror}/gone")
    assert gone.returncode == 5
    assert "it answers 404): name a mirror in DEBIAN_SECURITY_MIRROR" in sentence(gone.stderr)
    assert not (build.place / "started").exists(), "nothing was fetched"
    assert build.left() == set()


def test_a_moment_or_a_profile_that_there_is_not_is_one_sentence(build: Build) -> None:
    build.stand_in("exit 0")
    assert "SNAPSHOT 'yesterday' is no date" in sentence(build.run(SNAPSHOT="yesterday").stderr)
    command = [*build.command()[:3], "windows", str(build.place / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "PROFILE is raspios or debian" in sentence(done.stderr)
    assert not (build.place / "out").exists()


def test_packages_that_cannot_be_fetched_are_told_and_leave_nothing(build: Build) -> None:
    build.stand_in("echo 'E: the mirror broke off' >&2; exit 25")
    done = build.run()
    assert done.returncode == 5
    assert "E: the mirror broke off" in done.stderr
    assert sentence(done.stderr) == (
        f"make image: Fetching and unpacking the packages for {this_arch()} with mmdebstrap failed (exit code 25): "
        "see what it said above, and run this again."
    )
    assert build.left() == set()


def test_an_archive_whose_key_is_not_here_is_told_before_anything_is_fetched(build: Build) -> None:
    build.stand_in("exit 0")
    profile = load_profile("raspios", build.environment(DEBIAN_MIRROR="http://127.0.0.1:9/debian"))
    archives = [replace(each, keyring=each.keyring and "none-such-keyring.pgp") for each in profile.archives]
    with pytest.raises(KeyringMissingError) as caught:
        ready_tree(replace(profile, archives=archives), "arm64", build.place / "cache")
    said = str(caught.value)
    assert said.startswith("/usr/share/keyrings/none-such-keyring.pgp is missing, by which the packages of http://")
    assert "install the package none-such-keyring, " in said
    assert said.endswith("or build Debian's image with PROFILE=debian.")
    assert {path.suffix for path in (build.place / "cache").iterdir()} == {".lock"}


def test_a_build_that_is_stopped_leaves_nothing(build: Build) -> None:
    process = build.begun()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) == 1
    assert process.stderr
    with process.stderr as said:
        assert "Interrupted" in sentence(said.read())
    assert build.left() == set()


def test_a_build_that_was_killed_is_begun_anew_by_the_next_one(build: Build) -> None:
    process = build.begun()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    assert process.stderr
    process.stderr.close()
    leftover = build.place / "out/.unfinished-old/parts"
    leftover.mkdir(parents=True)
    assert any(name.endswith(".new") for name in build.left())
    build.stand_in("exit 25")
    assert build.run().returncode == 5
    found = (build.place / "found").read_text().split()
    assert "tree" not in found, "the next one began in an empty folder"
    assert build.left() == set()
