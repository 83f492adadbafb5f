"""The demo's stage: its folder, its invented people, and where its dock listens."""

import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from appliance.settings import UnitFolder
from dock_station.settings import DockFolder
from evidence.errors import MirrorcamError
from provisioning.authority import AuthorityFolder

MARK = "THROW-AWAY-DEMO"  # only a folder with this file in it is ever cleared
TOWN = "Sampleton (demo)"
REVIEWER = "demo-reviewer"
WEARER = "demo-wearer-7"
DOCK_ID = "demo-dock"
UNIT_ID = "demo-unit-1"
PAGES_PORT, BAYS_PORT = 8443, 8444
ADDRESS = "127.0.0.1"  # a demo is nobody else's business


class NotOurFolderError(MirrorcamError):
    """The folder for the demo holds something else."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there and was not made by the demo: move it away, or name another folder.")


@dataclass(frozen=True)
class Secrets:
    """What the demo's people know by heart, made anew for each demo."""

    password: str
    passphrase: str
    recovery: str

    @classmethod
    def invented(cls) -> "Secrets":
        """Make new ones, in groups that can be typed off a screen."""
        return cls(_groups(), _groups(), _groups())


@dataclass(frozen=True)
class Stage:
    """The folders under the demo's own, and the ports that the dock is to listen at."""

    path: Path
    secrets: Secrets
    pages_port: int
    bays_port: int

    @classmethod
    def set_up(cls, path: Path) -> "Stage":
        """Make the demo's folder anew; raises NotOurFolderError for one that holds anything else."""
        mark = path / MARK
        if mark.exists():
            shutil.rmtree(path)
        elif path.exists() and any(path.iterdir()):
            raise NotOurFolderError(path)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.write_text("Everything here is invented and is replaced by the next demo.\n", encoding="utf-8")
        return cls(path, Secrets.invented(), _free(PAGES_PORT), _free(BAYS_PORT))

    @property
    def town(self) -> AuthorityFolder:
        """The authority."""
        return AuthorityFolder(self.path / "town")

    @property
    def dock(self) -> DockFolder:
        """The dock."""
        return DockFolder(self.path / "dock")

    @property
    def unit(self) -> UnitFolder:
        """The unit."""
        return UnitFolder(self.path / "unit")

    @property
    def pages_url(self) -> str:
        """Where people find the dock."""
        return f"https://localhost:{self.pages_port}"

    @property
    def bays_url(self) -> str:
        """Where the unit finds the dock."""
        return f"https://localhost:{self.bays_port}"


def _free(wanted: int) -> int:
    """Return the wanted port, or another one where somebody is listening there already."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return wanted


def _groups() -> str:
    return "-".join(secrets.token_hex(2) for _ in range(4))
