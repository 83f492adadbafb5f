"""Foreign implementations of age, started as their users would."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1]
PATIENCE = 60
Jobs = Callable[[list[dict[str, Any]]], list[dict[str, str]]]
AgeProgram = Callable[..., subprocess.CompletedProcess[bytes]]
AgeAtATerminal = Callable[[list[str], str], int]


def _needed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"The program {program} is missing: run make test-deps.")
    return found


@pytest.fixture(scope="session")
def node() -> Callable[..., bytes]:
    """Runs one of the scripts beside package.json, and gives what it printed."""
    program = _needed("node")
    if not (SCRIPTS / "node_modules").is_dir():
        pytest.fail("The Node packages of tests/conformance are missing: run make test-deps.")

    def run(script: str, *arguments: str, stdin: str = "") -> bytes:
        command = [program, str(SCRIPTS / script), *arguments]
        done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture(scope="session")
def age_encryption(node: Callable[..., bytes]) -> Jobs:
    """Does jobs with the npm package age-encryption; the script says what a job holds."""
    return lambda jobs: json.loads(node("age_encryption.mjs", stdin=json.dumps(jobs)))


@pytest.fixture(scope="session")
def age_program() -> AgeProgram:
    """Runs Debian's age."""
    program = _needed("age")

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, *arguments], input=stdin, capture_output=True, timeout=PATIENCE, check=False)

    return run


@pytest.fixture(scope="session")
def age_at_a_terminal() -> AgeAtATerminal:
    """Runs Debian's age at a terminal, types a passphrase each time it asks, and gives its exit code."""
    program = _needed("age")

    def run(arguments: list[str], passphrase: str) -> int:
        child, terminal = pty.fork()
        if child == 0:
            os.execv(program, [program, *arguments])
        deadline = time.monotonic() + PATIENCE
        said = b""
        while True:
            if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
                os.kill(child, signal.SIGKILL)
                pytest.fail(f"age did not finish; it said {said!r}.")
            try:
                said += os.read(terminal, 4096)
            except OSError:  # how Linux reports that the program closed its terminal
                break
            if said.endswith((b"assphrase: ", b"secure one): ")):
                os.write(terminal, f"{passphrase}\n".encode())
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run
