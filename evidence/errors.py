"""The one base of every error that a person is shown: its text is a sentence that says what is wrong and what to do."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means, the same for all four commands (2 is the shell's word for wrong usage)."""

    FAILED = 1
    USAGE = 2
    NOT_GENUINE = 3
    KEY_DOES_NOT_FIT = 4
    ENVIRONMENT = 5


class MirrorcamError(Exception):
    """Something went wrong that a person can act on; `str()` is the one clear sentence for that person."""

    exit_code = ExitCode.FAILED


class NotGenuineError(MirrorcamError):
    """Evidence does not verify: changed, cut, swapped, or signed by nobody we trust."""

    exit_code = ExitCode.NOT_GENUINE


class KeyDoesNotFitError(MirrorcamError):
    """The passphrase or key that was given does not open what it was given for."""

    exit_code = ExitCode.KEY_DOES_NOT_FIT


class EnvironmentalError(MirrorcamError):
    """Hardware, disk, network or a file of the set-up is missing or refuses to work."""

    exit_code = ExitCode.ENVIRONMENT


def reason_of(error: Exception) -> str:
    """Return in a few words why a file could not be used, without the place and the web address in a library's text."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition(". See http")[0]
