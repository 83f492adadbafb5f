"""The release of a unit's software: what two of them are compared by, and the file of a unit's root that names it."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from evidence.errors import EnvironmentalError, MirrorcamError, reason_of

# What a unit's root file system says of itself; both lines of it are written and read here alone.
RELEASE_FILE = Path("etc/mirrorcam-release")

# Three numbers (the project's version), and the moment of Debian as snapshot.debian.org writes it. No number begins
# with a zero, so that a release has one text. Four digits each keep it within a certificate's name.
RELEASE_PATTERN = r"^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\+([0-9]{8}T[0-9]{6}Z)\Z"
# What a bundle is for, and what a unit takes: RAUC's word for it.
COMPATIBLE_PATTERN = r"^mirrorcam-[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z"
ReleaseText = Annotated[str, msgspec.Meta(pattern=RELEASE_PATTERN)]
Compatible = Annotated[str, msgspec.Meta(pattern=COMPATIBLE_PATTERN)]

_MOMENT = "%Y%m%dT%H%M%SZ"
_SOFTWARE = "mirrorcam "


class NotAReleaseError(MirrorcamError, ValueError):
    """A text is not a release."""

    def __init__(self, text: str) -> None:
        shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
        super().__init__(f"'{shown[:64]}' is no release: it is written as in 0.1.0+20261120T000000Z.")
        self.text = text


class ReleaseFileError(EnvironmentalError):
    """The file that names a unit's release is missing, or is not one."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} does not name a release ({reason}): have the image made anew.")
        self.path = path


@dataclass(frozen=True, order=True)
class Release:
    """The project's version and the moment of Debian that it was made of (UTC): by them releases are compared."""

    version: tuple[int, int, int]
    moment: datetime

    @classmethod
    def parse(cls, text: str) -> "Release":
        """Read `0.1.0+20261120T000000Z`; raises NotAReleaseError."""
        parts = re.fullmatch(RELEASE_PATTERN, text)
        if parts is None:
            raise NotAReleaseError(text)
        try:
            moment = datetime.strptime(parts[4], _MOMENT).replace(tzinfo=UTC)
        except ValueError as error:
            raise NotAReleaseError(text) from error
        return cls((int(parts[1]), int(parts[2]), int(parts[3])), moment)

    @classmethod
    def made(cls, version: str, moment: datetime) -> "Release":
        """Return the release of a version of the project on one moment (UTC) of Debian; raises NotAReleaseError."""
        return cls.parse(f"{version}+{moment:{_MOMENT}}")

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.version))}+{self.moment:{_MOMENT}}"

    @property
    def name(self) -> str:
        """The release as a name that a certificate can carry: evidence.identifiers.NAME_PATTERN."""
        return re.sub(r"[.+]", "-", str(self)).lower()

    @property
    def software(self) -> str:
        """What a unit of this release calls its software, in its greeting and in its manifests."""
        return f"{_SOFTWARE}{self}"


@dataclass(frozen=True)
class Installed:
    """What a root file system is: its release, and which bundles fit in its place."""

    release: Release
    compatible: str

    def text(self) -> str:
        """Return the two lines that RELEASE_FILE holds."""
        return f"release={self.release}\ncompatible={self.compatible}\n"

    @classmethod
    def parse(cls, text: str, path: Path = RELEASE_FILE) -> "Installed":
        """Read what `text` made; raises ReleaseFileError that names `path`."""
        lines = re.fullmatch(r"release=([^\n]*)\ncompatible=([^\n]*)\n", text)
        if lines is None:
            raise ReleaseFileError(path, "it is not the two lines release=… and compatible=…")
        if re.fullmatch(COMPATIBLE_PATTERN, lines[2]) is None:
            raise ReleaseFileError(path, "its second line names no compatible")
        try:
            return cls(Release.parse(lines[1]), lines[2])
        except NotAReleaseError as error:
            raise ReleaseFileError(path, "its first line names no release") from error

    @classmethod
    def read(cls, path: Path) -> "Installed":
        """Read the file of a root file system, `/` and RELEASE_FILE on a unit; raises ReleaseFileError."""
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise ReleaseFileError(path, reason_of(error)) from error
        return cls.parse(text, path)


def release_in(software: str | None) -> Release | None:
    """Return the release that a unit's software names, None where it names none."""
    if software is None or not software.startswith(_SOFTWARE):
        return None
    try:
        return Release.parse(software.removeprefix(_SOFTWARE))
    except NotAReleaseError:
        return None
