"""The stock programs that provisioning calls: how one is run, and the sentence where one is missing or fails."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evidence.errors import EnvironmentalError, MirrorcamError

# A person's PATH has no /sbin on Debian, where many of these programs are.
_PLACES = ":/sbin:/usr/sbin"
_QUIET = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

# The Debian package that each program comes with which a person is told to install by hand.
_PACKAGES = {
    "lsblk": "util-linux",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "zstd": "zstd",
    "openssl": "openssl",
    "rauc": "rauc",
    "mksquashfs": "squashfs-tools",
    "unsquashfs": "squashfs-tools",
}


class ProgramMissingError(EnvironmentalError):
    """Programs that the work needs are not installed here."""

    def __init__(self, missing: str, remedy: str) -> None:
        super().__init__(f"{missing} is missing: {remedy}.")


class ProgramFailedError(EnvironmentalError):
    """A program did not do what it was called for; `reason` is what it complained of, or its exit code."""

    def __init__(self, program: str, reason: str, sentence: str) -> None:
        super().__init__(sentence.format(program=program, reason=reason))
        self.program, self.reason = program, reason


class NotRootError(MirrorcamError):
    """Somebody without the rights for it calls what only root can do."""


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said."""

    code: int
    output: str
    complaint: str

    @property
    def reason(self) -> str:
        """The newest line of its complaint, or its exit code where it said nothing."""
        lines = [line.strip() for line in self.complaint.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def check_programs(names: Iterable[str], *, remedy: str) -> None:
    """Raise ProgramMissingError, with what installs them, for those that are not here."""
    missing = [name for name in names if shutil.which(name, path=os.environ["PATH"] + _PLACES) is None]
    if missing:
        raise ProgramMissingError(", ".join(missing), remedy)


def check_root(sentence: str, *, euid: Callable[[], int] = os.geteuid) -> None:
    """Raise NotRootError, which says this sentence, for anybody else."""
    if euid() != 0:
        raise NotRootError(sentence)


def run(*command: str, work: str | None = None, environment: Mapping[str, str] | None = None) -> None:
    """Run a program that tells whoever sits there, on standard error, what is wrong; raises ProgramFailedError.

    `work` says what it is called for, where the command's first word does not.
    """
    variables = {**os.environ, "PATH": os.environ["PATH"] + _PLACES, **(environment or {})}
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=variables)
    except subprocess.CalledProcessError as error:
        sentence = "{program} failed ({reason}): see what it said above, and run this again."
        raise ProgramFailedError(work or f"'{command[0]}'", f"exit code {error.returncode}", sentence) from error


def output(program: str, *arguments: str, folder: Path | None = None, handed_on: Sequence[int] = ()) -> bytes:
    """Return what a program prints, in English, and show nothing; it gets the descriptors that are handed on.

    Raises ProgramMissingError or ProgramFailedError.
    """
    try:
        done = subprocess.run(
            [program, *arguments],
            cwd=folder,
            env=_QUIET,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            pass_fds=handed_on,
        )
    except FileNotFoundError as error:
        raise missing(program) from error
    if done.returncode:
        raise failed(program, Done(done.returncode, "", done.stderr.decode(errors="replace")).reason)
    return done.stdout


def finish(command: Sequence[str], *, user: str | None = None, lines: str = "") -> Done:
    """Run a program to its end, and return how it ended, whatever that is.

    `lines` go to its standard input, `user` is whom it runs as (None: root). Never through a shell, and with no word of
    `lines` in any list of processes. Lines that it prints are as long as they are: no terminal cuts them.
    """
    try:
        done = subprocess.run(
            command,
            input=lines,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            umask=0o077 if user else 0o022,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "COLUMNS": "10000"},
        )
    except FileNotFoundError:
        return Done(127, "", f"{command[0]} is not installed")
    return Done(done.returncode, done.stdout, done.stderr)


def find(program: str) -> str:
    """Return where a program is; raises ProgramMissingError."""
    place = shutil.which(program, path=_QUIET["PATH"])
    if place is None:
        raise missing(program)
    return place


def missing(program: str) -> ProgramMissingError:
    """Return the error that says which package brings a program."""
    return ProgramMissingError(f"The program {program}", f"install it (on Debian: apt install {_PACKAGES[program]})")


def failed(program: str, reason: str) -> ProgramFailedError:
    """Return the error that says why a program's work is not done."""
    return ProgramFailedError(program, reason, "The program {program} failed ({reason}): see to it, and try again.")
