"""The stock tools that build an image: which are missing, and one sentence when one of them fails."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping

from evidence.errors import EnvironmentalError

_PLACES = ":/sbin:/usr/sbin"


class ToolsMissingError(EnvironmentalError):
    """Programs that the work needs are not installed here."""

    def __init__(self, missing: Iterable[str], remedy: str) -> None:
        super().__init__(f"{', '.join(missing)} is missing: {remedy}.")


class NotRootError(EnvironmentalError):
    """The files of a root file system belong to root, so whoever makes them must be root."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} belong to root: run it as root, or with sudo.")


class ToolFailedError(EnvironmentalError):
    """A tool ended with an error; what it said stands above."""

    def __init__(self, tool: str, code: int) -> None:
        super().__init__(f"'{tool}' failed (exit code {code}): see what it said above, and run this again.")


def check_tools(tools: Iterable[str], *, remedy: str) -> None:
    """Raise ToolsMissingError, with what installs them, for those that are not here."""
    place = os.environ["PATH"] + _PLACES
    missing = [tool for tool in tools if shutil.which(tool, path=place) is None]
    if missing:
        raise ToolsMissingError(missing, remedy)


def check_root(what: str) -> None:
    """Raise NotRootError for anybody else; `what` are the files that belong to root, in the plural."""
    if os.geteuid() != 0:
        raise NotRootError(what)


def run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a tool, which says on standard error what is wrong; raises ToolFailedError."""
    variables = {**os.environ, "PATH": os.environ["PATH"] + _PLACES, **(environment or {})}
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=variables)
    except subprocess.CalledProcessError as error:
        raise ToolFailedError(command[0], error.returncode) from error
