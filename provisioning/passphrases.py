"""Passphrases: typed twice at the keyboard or read from a file, never an argument, never shown."""

import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from evidence.commandline import secret
from evidence.errors import MirrorcamError

# Our choice: several words. A keyslot on a stolen disk can be tried offline, at a second and 256 MiB a try.
MIN_LENGTH = 12


class PassphraseTooShortError(MirrorcamError):
    """A passphrase is too easily guessed."""

    def __init__(self, whose: str) -> None:
        super().__init__(f"The passphrase of {whose} is shorter than {MIN_LENGTH} characters: use several words.")


class SamePassphraseError(MirrorcamError):
    """The reviewer and the recovery key were given one passphrase."""

    def __init__(self) -> None:
        super().__init__("The recovery key has the reviewer's passphrase: it needs its own, known to somebody else.")


@dataclass(frozen=True)
class PassphraseSource:
    """Where one passphrase comes from: a file, standard input (`-`), or, with no file, the keyboard."""

    whose: str
    prompt: str
    option: str
    file: Path | None

    def read(self) -> str:
        """Return the passphrase; raises PassphraseTooShortError, or as `evidence.commandline.secret` does."""
        if self.file is None and sys.stdin.isatty():
            typer.echo(self.prompt, err=True)
        passphrase = secret("Passphrase", self.option, self.file, twice=True)
        if len(passphrase) < MIN_LENGTH:
            raise PassphraseTooShortError(self.whose)
        return passphrase

    @property
    def is_standard_input(self) -> bool:
        """Whether the passphrase is the next line of standard input."""
        return str(self.file) == "-"


class TwoPassphrases:
    """The reviewer's and the recovery key's passphrase, each read when it is first needed.

    What stands on standard input is read at once, the reviewer's line first, whether it is needed or not: otherwise
    a second run, which needs only the other one, would take the wrong line.
    """

    def __init__(self, reviewer: PassphraseSource, recovery: PassphraseSource) -> None:
        self._sources = {"reviewer": reviewer, "recovery": recovery}
        self._read: dict[str, str] = {}
        for name, source in self._sources.items():
            if source.is_standard_input:
                self._read[name] = source.read()

    def reviewer(self) -> str:
        """Return the reviewer's passphrase; raises as `PassphraseSource.read`, or SamePassphraseError."""
        return self._get("reviewer")

    def recovery(self) -> str:
        """Return the recovery key's passphrase; raises as `reviewer` does."""
        return self._get("recovery")

    def _get(self, name: str) -> str:
        if name not in self._read:
            self._read[name] = self._sources[name].read()
        if len(self._read) == 2 and self._read["reviewer"] == self._read["recovery"]:
            raise SamePassphraseError
        return self._read[name]
