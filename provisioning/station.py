"""The station key and the recovery key: identities that exist only under somebody's passphrase, from the first byte."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evidence.age import (
    AgeError,
    HybridIdentity,
    ScryptIdentity,
    ScryptRecipient,
    open_bytes,
    parse_identities,
    seal_bytes,
)
from evidence.age.scrypt import DEFAULT_WORK_FACTOR
from evidence.durable import write_durably
from evidence.errors import MirrorcamError
from provisioning.placing import PRIVATE_FILE, SetUp


class OtherReviewerError(MirrorcamError):
    """The station key has keyslots already, and none is this reviewer's."""

    def __init__(self, reviewer: str, others: list[str]) -> None:
        super().__init__(
            f"The first reviewer of this authority is {', '.join(others)}, not {reviewer}: name the first one again; "
            "further reviewers are added at the dock."
        )


class RecipientLostError(MirrorcamError):
    """A recipient is missing, and nothing here tells it again."""

    def __init__(self, recipient: Path, how: str) -> None:
        super().__init__(f"{recipient} is missing: {how}. Nothing was replaced.")


@dataclass(frozen=True)
class Passphrases:
    """How to learn the two passphrases; each is asked for only when the key that it seals is about to be made."""

    reviewer: Callable[[], str]
    recovery: Callable[[], str]
    work_factor: int = DEFAULT_WORK_FACTOR


@dataclass(frozen=True)
class SealedKey:
    """Where one identity stands under its passphrase, and where its recipient, which everybody may know."""

    sealed: Path
    recipient: Path
    purpose: str

    def make(self, setup: SetUp, passphrase: Callable[[], str], work_factor: int) -> None:
        """Make the identity unless it is there. The recipient is written last and makes it count.

        A sealed identity without a recipient is the leftover of an interrupted run, or its recipient was lost since
        and clips are sealed to it: either way it tells its recipient again. A recipient without its identity is as it
        should be once the identity was carried offline. Raises RecipientLostError.
        """
        if self.recipient.exists():
            if self.sealed.exists():
                setup.found(self.sealed, self.purpose)
            setup.found(self.recipient, f"recipient of the {self.purpose}")
            return
        if self.sealed.exists():
            identity = self._open(passphrase())
            setup.found(self.sealed, self.purpose)
        else:
            identity = HybridIdentity.generate()
            secret = identity.secret_text().encode() + b"\n"
            sealed = seal_bytes(secret, [ScryptRecipient(passphrase(), work_factor)])
            write_durably(self.sealed, sealed, mode=PRIVATE_FILE)
            setup.made(self.sealed, self.purpose)
        setup.file(self.recipient, f"{identity.recipient}\n".encode(), f"recipient of the {self.purpose}")

    def _open(self, passphrase: str) -> HybridIdentity:
        try:
            text = open_bytes(self.sealed.read_bytes(), [ScryptIdentity(passphrase)])
            (identity,) = parse_identities(text.decode("ascii"))
        except (AgeError, ValueError):
            identity = None
        if not isinstance(identity, HybridIdentity):  # raised here: a cause may hold what the file held
            how = f"restore it from a copy, or type the passphrase under which {self.sealed} is sealed"
            raise RecipientLostError(self.recipient, how)
        return identity


def station_key(keyslots: Path, recipient: Path, reviewer: str) -> SealedKey:
    """Return the station key as its first reviewer holds it; raises OtherReviewerError where somebody else does."""
    keyslot = keyslots / f"{reviewer}.age"
    others = sorted(path.stem for path in keyslots.glob("*.age"))
    if others and not keyslot.exists():
        raise OtherReviewerError(reviewer, others)
    return SealedKey(keyslot, recipient, f"station key under the passphrase of {reviewer}")
