"""What all four commands share: how help is written, how secrets are typed, and how an error ends a command."""

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

import typer
from rich.console import Console

from evidence.errors import EnvironmentalError, ExitCode, MirrorcamError
from evidence.identifiers import LINE_PATTERN

# What to do where the system says no more than what is wrong.
_ADVICE = {
    errno.ENOENT: "name one that is there",
    errno.EEXIST: "name another place, or move it away",
    errno.ENOTDIR: "name a folder",
    errno.EISDIR: "name a file",
    errno.EACCES: "run this as the user to whom it belongs",
    errno.EPERM: "run this as the user to whom it belongs",
    errno.EROFS: "name a place that can be written to",
    errno.ENOSPC: "make room, and try again",
    errno.EDQUOT: "make room, and try again",
}


class NoTerminalError(EnvironmentalError):
    """A secret must be typed, and nobody sits at a keyboard."""

    def __init__(self, option: str) -> None:
        super().__init__(f"There is no terminal to type at: give {option} FILE, or '-' for standard input.")


class NotTextError(EnvironmentalError):
    """A file that should hold a secret on its first line holds no text."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"The first line of {file} is no UTF-8 text: name the file that the secret stands in.")


def group(help_text: str) -> typer.Typer:
    """Return a command, or a group of commands, that shows its help when nothing else is asked of it."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False
    )


def examples(*commands: str) -> str:
    """Return a command's epilogue: how it is typed."""
    return "\n".join(("For example:\n", "```text", *commands, "```"))


def pseudonym(text: str | None) -> str | None:
    """Refuse what no manifest takes as its wearer (for typer's callbacks)."""
    if text is not None and (not 1 <= len(text) <= 64 or not re.match(LINE_PATTERN, text)):
        raise typer.BadParameter("a pseudonym is one line of 1 to 64 characters, as in 'wearer-7'")
    return text


def secret(prompt: str, option: str, file: Path | None, *, twice: bool = False) -> str:
    """Return what is typed at the keyboard or stands in a file's first line; never an argument, never shown.

    `option` is how the file is named on the command line. Raises NoTerminalError, or as `secret_in` does.
    """
    if file is not None:
        return secret_in(file)
    if not sys.stdin.isatty():
        raise NoTerminalError(option)
    again: bool | str = "The same again" if twice else False
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=again, err=True))


def secret_in(file: Path) -> str:
    """Return the first line of a file ('-': the next line of standard input); raises NotTextError or OSError."""
    try:
        if str(file) == "-":
            return _first_line(sys.stdin.buffer)
        with file.open("rb") as lines:
            return _first_line(lines)
    except UnicodeDecodeError as error:
        raise NotTextError(file) from error


def _first_line(lines: BinaryIO) -> str:
    return lines.readline().decode("utf-8").rstrip("\r\n")


def run(command: Callable[[], object], name: str) -> NoReturn:
    """Run a typer application as the command `name` and exit; no traceback reaches the person at the keyboard."""
    try:
        command()
    except MirrorcamError as error:
        _complain(name, str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _complain(name, "Interrupted; what was finished is kept.")
        sys.exit(ExitCode.FAILED)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "see to it, and try again")
        _complain(name, f"The system refused: {error.strerror or error}{_place(error)}; {advice}.")
        sys.exit(ExitCode.ENVIRONMENT)
    sys.exit(0)


def _place(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""


def _complain(name: str, sentence: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(f"{name}:", style="bold red", end=" ")
    console.print(shown(sentence))


def shown(text: str) -> str:
    """Return a text so that a terminal shows it and does not obey it: file names and certificates may hold anything."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
