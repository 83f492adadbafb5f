"""What an image is made of: the packages that all profiles share, and where each profile has them from."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from evidence.errors import EnvironmentalError
from provisioning.image.bootstrap import Packages

RECIPE = Path(__file__).parent / "recipe"
PROFILES = ("raspios", "debian")

KEYRINGS = Path("/usr/share/keyrings")  # where packages put the keys of archives: apt-secure(8)

_SECONDS = 30.0
_DATE = "%Y%m%dT%H%M%SZ"  # as snapshot.debian.org writes it


class NoSuchProfileError(EnvironmentalError):
    """PROFILE names none that there is."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no image profile '{name}': PROFILE is {' or '.join(PROFILES)}.")


class NotADateError(EnvironmentalError):
    """SNAPSHOT is not a moment as snapshot.debian.org writes it."""

    def __init__(self, text: str) -> None:
        super().__init__(f"SNAPSHOT '{text}' is no date: write it as snapshot.debian.org does, as in 20261120T000000Z.")


class KeyringMissingError(EnvironmentalError):
    """The key by which an archive's packages are known is not on this computer."""

    def __init__(self, keyring: Path, url: str) -> None:
        super().__init__(
            f"{keyring} is missing, by which the packages of {url} are known: install the package {keyring.stem}, "
            "which that archive and Raspberry Pi OS have, or build Debian's image with PROFILE=debian."
        )


class ArchiveUnreachableError(EnvironmentalError):
    """A package archive is not where it should be."""

    def __init__(self, place: str, reason: str, variable: str) -> None:
        super().__init__(
            f"No packages can be fetched from {place} ({reason}): name a mirror in {variable}, or try later."
        )


@dataclass(frozen=True)
class Archive:
    """A package archive: its address, and what is taken from it."""

    url: str
    mirror: str  # the variable that names another address for it
    suites: Sequence[str]
    components: Sequence[str]
    keyring: str | None = None

    def check_keyring(self) -> None:
        """Raise KeyringMissingError where its key is not on this computer."""
        if self.keyring and not (KEYRINGS / self.keyring).is_file():
            raise KeyringMissingError(KEYRINGS / self.keyring, self.url)

    def check(self) -> None:
        """Raise ArchiveUnreachableError where its suites' lists are not there."""
        for suite in self.suites:
            place = f"{self.url}/dists/{suite}/InRelease"
            try:
                httpx.head(place, timeout=_SECONDS, follow_redirects=True).raise_for_status()
            except httpx.HTTPStatusError as error:
                raise ArchiveUnreachableError(place, f"it answers {error.response.status_code}", self.mirror) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or "it does not answer"
                raise ArchiveUnreachableError(place, reason, self.mirror) from error

    def lines(self, *, signed_by: bool = True) -> Iterator[str]:
        """Yield its lines for apt, with the name of its key or without: sources.list(5)."""
        options = f"[signed-by={KEYRINGS / self.keyring}] " if self.keyring and signed_by else ""
        for suite in self.suites:
            yield f"deb {options}{self.url} {suite} {' '.join(self.components)}\n"


@dataclass(frozen=True)
class Profile:
    """One kind of image, of the packages as they were at one moment."""

    name: str
    archives: Sequence[Archive]
    epoch: int  # Unix seconds: nothing in the image is younger
    packages: Packages

    @property
    def snapshot(self) -> str:
        """That moment, as snapshot.debian.org writes it."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime(_DATE)

    @property
    def digest(self) -> str:
        """What stands for everything that a root of packages is made from."""
        facts = (repr(self), *(file.name + file.read_text(encoding="utf-8") for file in _files_of_packages()))
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


def load_profile(name: str, environment: Mapping[str, str]) -> Profile:
    """Read a profile; SNAPSHOT and the archives' own variables in `environment` win over what it says.

    Raises NoSuchProfileError or NotADateError.
    """
    if name not in PROFILES:
        raise NoSuchProfileError(name)
    shared, own = _read("unit"), _read(name)
    date = environment.get("SNAPSHOT") or shared["snapshot"]
    try:
        moment = datetime.strptime(date, _DATE).replace(tzinfo=UTC)
    except ValueError as error:
        raise NotADateError(date) from error
    epoch = int(moment.timestamp())
    archives = tuple(_archive(archive, date, environment) for archive in own["archives"])
    packages = Packages(
        suite=shared["suite"],
        sources="".join(line for archive in archives for line in archive.lines()),
        names=(*shared["packages"], *own["packages"]),
        kernels={"arm64": own["kernel"], "amd64": "linux-image-amd64"},
        preferences=own.get("preferences", ""),
        left_out=("/usr/share/doc/*", "/usr/share/bash-completion/*"),
        epoch=epoch,
    )
    return Profile(name, archives, epoch, packages)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((RECIPE / f"{name}.toml").read_text(encoding="utf-8"))


def _archive(table: Mapping[str, Any], date: str, environment: Mapping[str, str]) -> Archive:
    url = environment.get(table["mirror"]) or table["snapshot"].format(date=date)
    return Archive(
        url.rstrip("/"), table["mirror"], tuple(table["suites"]), tuple(table["components"]), table.get("keyring")
    )


def _files_of_packages() -> Iterator[Path]:
    yield RECIPE / "requirements.lock"
    yield from (Path(__file__).with_name(f"{module}.py") for module in ("bootstrap", "python_packages"))
