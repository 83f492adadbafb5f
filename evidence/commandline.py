"""How all four commands end: one sentence for what went wrong, and an exit code that means something."""

import sys
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console

from evidence.errors import ExitCode, MirrorcamError


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
        _complain(name, f"The system refused: {error.strerror or error}{_place(error)}.")
        sys.exit(ExitCode.ENVIRONMENT)
    sys.exit(0)


def _place(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""


def _complain(name: str, sentence: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"{name}:", style="bold red", end=" ")
    console.print(sentence, markup=False)
