"""Every way an age file, key or passphrase can be wrong, as one type each with its facts and one sentence."""

from collections.abc import Sequence

_FETCH = "fetch a fresh copy of the file from where it was made"


class AgeError(Exception):
    """Something given to this library is wrong; ``str()`` says what, and what to do."""


class KeyTextError(AgeError):
    """A text that should be a recipient or an identity is neither. Never carries the text itself."""


class RecipientTextError(KeyTextError):
    """A text is no recipient. ``reason`` is the rule that it breaks."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"This is no age recipient, because {reason}: paste the whole text that begins with age1.")


class IdentityTextError(KeyTextError):
    """A text is no identity. ``reason`` is the rule that it breaks."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"This is no age secret key, because {reason}: "
            "use the whole line that begins with AGE-SECRET-KEY- in the key file."
        )


class RecipientsError(AgeError):
    """The recipients to seal to do not go together."""


class NoRecipientsError(RecipientsError):
    """Nobody could open what would be sealed."""

    def __init__(self) -> None:
        super().__init__("There is nobody to seal to: name at least one recipient.")


class ScryptNotAloneError(RecipientsError):
    """A passphrase was combined with another recipient, which the specification forbids."""

    def __init__(self) -> None:
        super().__init__("A file sealed with a passphrase can have no other recipient: seal one file for each of them.")


class MixedRecipientsError(RecipientsError):
    """A post-quantum recipient was combined with one that is not, which would undo its protection."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        super().__init__(
            f"Recipients of the kinds {' and '.join(self.kinds)} cannot share a file, because the weaker kind would "
            "undo the post-quantum protection: use recipients that all begin with age1pq1, or none."
        )


class EmptyPassphraseError(RecipientsError):
    """A passphrase of no characters."""

    def __init__(self) -> None:
        super().__init__("The passphrase is empty: type one of several words.")


class PassphraseMemoryError(AgeError):
    """This machine has not the memory free that a passphrase of this ``work_factor`` takes."""

    def __init__(self, work_factor: int) -> None:
        self.work_factor = work_factor
        # scrypt with r = 8 takes 1024 bytes for each of its 2 ** work_factor steps.
        needed = max(1, (1 << work_factor) // 1024)
        super().__init__(f"Trying a passphrase takes {needed} MiB of memory: close other programs and try again.")


class HeaderError(AgeError):
    """The header breaks a rule of the format, so nothing was opened."""


class NotAgeFileError(HeaderError):
    """The first line is not an age file's."""

    def __init__(self) -> None:
        super().__init__(
            "This is no age file, because it does not begin with age-encryption.org/v1: choose the sealed file."
        )


class UnsupportedVersionError(HeaderError):
    """The file is an age file of a version that this library does not know."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"This age file has version {version}, and only v1 is understood here: seal it again as v1.")


class HeaderTooLongError(HeaderError):
    """The header exceeds ``limit`` bytes, or has no end within them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"The header of the age file has more than the {limit} bytes allowed here: seal it to fewer recipients."
        )


class HeaderCutError(HeaderError):
    """The file ends inside its header."""

    def __init__(self) -> None:
        super().__init__(f"The age file ends inside its header: {_FETCH}.")


class NonceCutError(HeaderError):
    """The file ends after the header, inside the 16 bytes that begin the payload."""

    def __init__(self) -> None:
        super().__init__(f"The age file ends right after its header and holds no data: {_FETCH}.")


class HeaderLineError(HeaderError):
    """A line of the header is not as the grammar wants it. ``line`` counts from 1."""

    def __init__(self, line: int, rule: str) -> None:
        self.line = line
        self.rule = rule
        super().__init__(f"Line {line} of the age header is wrong, because {rule}: {_FETCH}.")


class StanzaError(HeaderError):
    """A recipient stanza of a known ``kind`` breaks the rules of that kind."""

    def __init__(self, kind: str, rule: str) -> None:
        self.kind = kind
        self.rule = rule
        super().__init__(f"The {kind} recipient in the age header is wrong, because {rule}: {_FETCH}.")


class WorkFactorTooHighError(StanzaError):
    """Trying a passphrase would cost more memory and time than allowed."""

    def __init__(self, work_factor: int, limit: int) -> None:
        self.work_factor = work_factor
        self.limit = limit
        super().__init__("scrypt", f"its work factor is {work_factor} and at most {limit} is allowed here")


class HeaderMacError(AgeError):
    """A key fits the file, but the header was changed after sealing."""

    def __init__(self) -> None:
        super().__init__(f"The header of the age file was changed after it was sealed: {_FETCH}.")


class NoIdentityMatchesError(AgeError):
    """None of the identities given opens the file. ``kinds`` are the kinds of its recipients."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        if "scrypt" in self.kinds:
            sentence = "The passphrase does not open this file: type the one it was sealed with again."
        else:
            sentence = (
                f"None of the keys given opens this file, which is sealed to {', '.join(self.kinds)}: "
                "use the secret key of one of its recipients."
            )
        super().__init__(sentence)


class ArmorError(AgeError):
    """The text form of an age file is not strict PEM. ``line`` counts from 1."""

    def __init__(self, line: int, rule: str) -> None:
        self.line = line
        self.rule = rule
        super().__init__(f"Line {line} of the armored age file is wrong, because {rule}: copy the whole text again.")


class PayloadError(AgeError):
    """The sealed data is not what was sealed, from ``chunk`` on (chunks of 64 KiB, counted from 0)."""

    def __init__(self, chunk: int, sentence: str) -> None:
        self.chunk = chunk
        super().__init__(sentence)


class ChunkCorruptedError(PayloadError):
    """A whole chunk does not authenticate: changed, moved, or of another file."""

    def __init__(self, chunk: int) -> None:
        super().__init__(chunk, f"Chunk {chunk} of the sealed data was changed after it was sealed: {_FETCH}.")


class PayloadCutError(PayloadError):
    """The file ends before a final chunk; ``leftover`` bytes after the last whole chunk open as nothing.

    A cut and a change inside a short last chunk cannot be told apart by the format; with a ``leftover`` of 0
    it was cut between two chunks.
    """

    def __init__(self, chunk: int, leftover: int) -> None:
        self.leftover = leftover
        if leftover:
            fault = f"was cut inside chunk {chunk}, or its last {leftover} bytes were changed"
        else:
            fault = f"was cut before chunk {chunk}"
        super().__init__(chunk, f"The end of the sealed data is missing, because the file {fault}: {_FETCH}.")


class FinalChunkEmptyError(PayloadError):
    """The final chunk is empty although data precedes it, which no honest writer makes."""

    def __init__(self, chunk: int) -> None:
        super().__init__(chunk, f"Chunk {chunk} of the sealed data is final and empty, which is not allowed: {_FETCH}.")


class DataAfterEndError(PayloadError):
    """More bytes follow the final chunk."""

    def __init__(self, chunk: int) -> None:
        super().__init__(chunk, f"Bytes were added after chunk {chunk}, the end of the sealed data: {_FETCH}.")
