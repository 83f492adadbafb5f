"""RAUC, called as a command: what a bundle says under the authority's signature, and writing it to a slot."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.release import NotAReleaseError, Release

CONFIG = Path("/etc/rauc/system.conf")
PATIENCE = 0.5  # seconds between two looks at whether the work may go on

_LAST_WORDS = 600  # characters of what RAUC says when it fails


class BundleRefusedError(MirrorcamError):
    """A bundle is not one that this unit takes."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The update was refused: {reason}.")


class NotInstalledError(EnvironmentalError):
    """RAUC could not write a good bundle to the slot."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The update was not written to its slot ({reason}): have IT look at this unit's card.")


class PermitWithdrawnError(MirrorcamError):
    """The unit was taken off the dock while its slot was being written."""

    def __init__(self) -> None:
        super().__init__("The update was broken off, for the unit is in use: it begins anew at the next docking.")


@dataclass(frozen=True)
class BundleFacts:
    """What the signed manifest of a bundle says."""

    release: Release
    compatible: str


class _Info(msgspec.Struct, frozen=True):
    compatible: str
    version: str


class Rauc:
    """The command, with the configuration that the image has."""

    def __init__(self, config: Path = CONFIG, program: str = "rauc") -> None:
        self._config = config
        self._program = program

    def facts(self, bundle: Path) -> BundleFacts:
        """Return what a bundle says, if the authority's signature on it is good; raises BundleRefusedError."""
        command = (self._program, "--conf", str(self._config), "info", "--output-format=json", str(bundle))
        done = _run(*command)
        if done.returncode != 0:
            raise BundleRefusedError(f"its signature or its form is not good ({_last_words(done.stderr)})")
        try:
            info = msgspec.json.decode(done.stdout, type=_Info)
            return BundleFacts(Release.parse(info.version), info.compatible)
        except (msgspec.MsgspecError, NotAReleaseError) as error:
            raise BundleRefusedError("it does not name its release") from error

    def install(self, bundle: Path, may_go_on: Callable[[], bool]) -> None:
        """Write a bundle to the slot that does not run.

        Raises PermitWithdrawnError soon after `may_go_on` says no; then nothing writes any more, and the slot is
        half written. Raises NotInstalledError where RAUC fails.
        """
        command = (self._program, "install", str(bundle))
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        ) as work:
            while True:
                try:
                    said, _ = work.communicate(timeout=PATIENCE)
                    break
                except subprocess.TimeoutExpired:
                    if not may_go_on():
                        # It is RAUC's service that writes; the command only waits for it.
                        _run("systemctl", "stop", "rauc.service")
                        work.kill()
                        raise PermitWithdrawnError from None
        if work.returncode != 0:
            raise NotInstalledError(_last_words(said))


def _run(*command: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise NotInstalledError(f"{command[0]}: {error.strerror}") from error


def _last_words(said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][-_LAST_WORDS:] if lines else "it gave no reason"
