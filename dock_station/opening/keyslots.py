"""Keyslots: the station identity as one age file for each reviewer, under that reviewer's own passphrase."""

import re
from pathlib import Path

from evidence.age import (
    AgeError,
    HybridIdentity,
    ScryptIdentity,
    ScryptRecipient,
    X25519Identity,
    open_bytes,
    parse_identities,
    seal_bytes,
)
from evidence.age.errors import NoIdentityMatchesError, PassphraseMemoryError
from evidence.age.scrypt import DEFAULT_WORK_FACTOR
from evidence.durable import create_durably, sync_folder
from evidence.errors import EnvironmentalError, KeyDoesNotFitError, MirrorcamError, NotGenuineError
from evidence.identifiers import NAME_PATTERN

StationIdentity = HybridIdentity | X25519Identity

MIN_PASSPHRASE = 12  # as when the first keyslot is made: a stolen disk can be tried offline, a second a try
MAX_KEYSLOT = 64 * 1024  # bytes; a real one has some 350


class NoKeyslotError(KeyDoesNotFitError):
    """A person has no keyslot, so no passphrase of theirs opens anything."""

    def __init__(self, login: str) -> None:
        self.facts = (login,)
        super().__init__(
            f"'{login}' has no keyslot and cannot open clips: a reviewer adds one with 'mirrorcam-dock keyslot add'."
        )


class WrongPassphraseError(KeyDoesNotFitError):
    """The passphrase does not open the reviewer's keyslot."""

    def __init__(self) -> None:
        self.facts = ()
        super().__init__("This passphrase does not open your keyslot: type it again.")


class KeyslotDamagedError(NotGenuineError):
    """A keyslot's file is not what was written there."""

    def __init__(self, login: str) -> None:
        self.facts = (login,)
        super().__init__(
            f"The keyslot of '{login}' is damaged: remove it and let another reviewer add it anew, or restore its file."
        )


class KeyslotTakenError(MirrorcamError):
    """A reviewer has a keyslot already."""

    def __init__(self, login: str) -> None:
        super().__init__(f"'{login}' has a keyslot already: remove it first to give another passphrase.")


class LastKeyslotError(MirrorcamError):
    """Without its last keyslot a dock could open no clip any more."""

    def __init__(self, login: str) -> None:
        super().__init__(f"The keyslot of '{login}' is the last one: add another reviewer's before it is removed.")


class PassphraseTooShortError(MirrorcamError):
    """A new passphrase is too easily guessed."""

    def __init__(self) -> None:
        super().__init__(f"A passphrase has at least {MIN_PASSPHRASE} characters: use several words.")


class NotEnoughMemoryError(EnvironmentalError):
    """The machine has not the memory that a passphrase takes."""

    def __init__(self, sentence: str) -> None:
        self.facts = (sentence,)
        super().__init__(sentence)


class Keyslots:
    """The keyslots of one dock: `<login>.age` in a folder.

    Contract: the identity is never written but under a passphrase. A keyslot is there whole or not at all, and one
    that is there is never overwritten; the last one is never removed.
    """

    def __init__(self, folder: Path, work_factor: int = DEFAULT_WORK_FACTOR) -> None:
        self._folder = folder
        self._work_factor = work_factor

    def reviewers(self) -> list[str]:
        """Return the logins that have a keyslot, in order."""
        return sorted(path.stem for path in self._folder.glob("*.age") if re.fullmatch(NAME_PATTERN, path.stem))

    def open(self, login: str, passphrase: str) -> StationIdentity:
        """Return the station identity; takes about a second and 256 MiB, right or wrong.

        Raises NoKeyslotError, WrongPassphraseError, KeyslotDamagedError or NotEnoughMemoryError.
        """
        sealed = self._read(login)
        try:
            text = open_bytes(sealed, [ScryptIdentity(passphrase)])
        except NoIdentityMatchesError as error:
            raise WrongPassphraseError from error
        except UnicodeEncodeError as error:  # half of a surrogate pair: no keyboard sends it
            raise WrongPassphraseError from error
        except PassphraseMemoryError as error:
            raise NotEnoughMemoryError(str(error)) from error
        except AgeError as error:
            raise KeyslotDamagedError(login) from error
        try:
            return parse_identities(text.decode("ascii"))[0]
        except (AgeError, UnicodeDecodeError):
            # Without its cause, which may hold what the keyslot held.
            raise KeyslotDamagedError(login) from None

    def add(self, login: str, passphrase: str, identity: StationIdentity) -> None:
        """Give a reviewer a keyslot; raises KeyslotTakenError, PassphraseTooShortError or NotEnoughMemoryError."""
        path = self._path(login)
        if len(passphrase) < MIN_PASSPHRASE:
            raise PassphraseTooShortError
        if path.exists():
            raise KeyslotTakenError(login)
        secret = identity.secret_text().encode() + b"\n"
        try:
            sealed = seal_bytes(secret, [ScryptRecipient(passphrase, self._work_factor)])
        except PassphraseMemoryError as error:
            raise NotEnoughMemoryError(str(error)) from error
        try:
            create_durably(path, sealed, mode=0o600)
        except FileExistsError as error:
            raise KeyslotTakenError(login) from error

    def remove(self, login: str) -> None:
        """Remove a reviewer's keyslot durably; raises NoKeyslotError or LastKeyslotError."""
        path = self._path(login)
        reviewers = self.reviewers()
        if login not in reviewers:
            raise NoKeyslotError(login)
        if len(reviewers) == 1:
            raise LastKeyslotError(login)
        path.unlink()
        sync_folder(self._folder)

    def _read(self, login: str) -> bytes:
        try:
            with self._path(login).open("rb") as file:
                return file.read(MAX_KEYSLOT)
        except FileNotFoundError as error:
            raise NoKeyslotError(login) from error

    def _path(self, login: str) -> Path:
        # A login becomes a file name here, so it must be one and nothing more.
        if not re.fullmatch(NAME_PATTERN, login):
            raise NoKeyslotError(login)
        return self._folder / f"{login}.age"
