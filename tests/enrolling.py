"""A town set up as IT does it, for tests of the first docking: authority, dock, IT, and cards for new units."""

import os
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher

from appliance.settings import UnitFolder
from dock_station import running
from dock_station.dock import Dock
from dock_station.people import People
from dock_station.rights import Role
from dock_station.settings import DockFolder
from provisioning.authority import AuthorityFolder, create_authority
from provisioning.demo.processes import PATIENCE_SECONDS, Program, command
from provisioning.dock import DockPlan, create_dock
from provisioning.policies import profile, sign_policy
from provisioning.station import Passphrases

LOGIN, PASSWORD = "it-example", "a password of some words"
CHEAP = Passphrases(lambda: "seven invented demo words", lambda: "other invented demo words", work_factor=2)
TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
PROPOSED = re.compile(r'name="unit_id"[^>]*value="([^"]*)"')
ANY_PORTS = DockPlan("town-hall", ("localhost",), pages_port=0, bays_port=0, address="127.0.0.1")


@dataclass
class Town:
    """The folders of a town, as its commands find them."""

    path: Path

    def __post_init__(self) -> None:
        self.authority = AuthorityFolder(self.path / "town")
        self.dock = DockFolder(self.path / "dock")

    @classmethod
    def create(cls, path: Path) -> "Town":
        """Set a town up, with one person of IT."""
        town, now = cls(path), datetime.now(UTC)
        create_authority(town.authority, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=now)
        sign_policy(town.authority, profile("bocholt"))
        create_dock(town.dock, town.authority, ANY_PORTS, now)
        with town.dock.settings_file.open("a") as settings:
            settings.write("enrolment_port = 0\nvault_reserve_bytes = 0\n")
        running.make_catalogue(town.dock)
        with closing(Dock.open(town.dock)) as dock:
            people = People(dock, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
            people.add(LOGIN, Role.IT, PASSWORD, "shell:test")
        return town

    def card(self, name: str, port: int, settings: str = "") -> UnitFolder:
        """Return a card for a new unit: the authority's public side, and the address of the enrolment door."""
        folder = UnitFolder(self.path / name)
        folder.path.mkdir()
        folder.authority_file.write_bytes(self.authority.certificate_file.read_bytes())
        folder.enrolment_file.write_text(f'dock_url = "https://localhost:{port}"\n{settings}')
        return folder

    def provision(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `mirrorcam-provision` to its end."""
        words = [command("mirrorcam-provision"), *arguments]
        wide = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(words, cwd=self.path, capture_output=True, text=True, check=False, timeout=60, env=wide)


class Signing(Program):
    """`mirrorcam-provision unit enrol --dock` at work."""

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(PATIENCE_SECONDS)
        self.end()
        return code

    @property
    def said(self) -> list[str]:
        return [event["said"] for event in self.events if "said" in event]


@dataclass
class WorkingDock:
    """A dock at work as one process, and the person of IT at its pages."""

    town: Town
    program: Program
    pages_port: int
    bays_port: int

    @contextmanager
    def open_enrolment(self, *arguments: str) -> Iterator[tuple[Signing, int]]:
        """Run the command that signs, and give it with the port of the door that it opens."""
        url = f"https://localhost:{self.bays_port}"
        words = ["unit", "enrol", "--authority", str(self.town.authority.path), "--dock", str(self.town.dock.path)]
        signing = Signing(
            "mirrorcam-provision", *words, "--dock-url", url, *arguments, log=self.town.path / "signing.log"
        )
        try:
            yield signing, self.program.wait_for("listening", listener="enrolment")["port"]
        finally:
            signing.end()

    @contextmanager
    def it(self) -> Iterator["AtThePages"]:
        """Sign a person of IT in."""
        trusted = ssl.create_default_context(cafile=str(self.town.dock.authority_file))
        address = f"https://localhost:{self.pages_port}"
        with httpx.Client(base_url=address, verify=trusted, timeout=30, trust_env=False) as client:
            person = AtThePages(client)
            assert person.send("/sign-in", login=LOGIN, password=PASSWORD).status_code == 302
            yield person


@dataclass
class AtThePages:
    """Somebody at the dock's pages."""

    client: httpx.Client

    def send(self, address: str, **fields: str) -> httpx.Response:
        """Send a form with the token of its own page."""
        found = TOKEN.search(self.client.get(address).text)
        assert found
        return self.client.post(
            address, data={"csrf_token": found[1], **fields}, headers={"Referer": str(self.client.base_url)}
        )

    def proposed_id(self) -> str:
        """Return the id that the page proposes for the next unit."""
        found = PROPOSED.search(self.client.get("/enrolment").text)
        assert found
        return found[1]

    def confirm(self, code: str, unit_id: str) -> httpx.Response:
        """Type a unit's code."""
        return self.send("/enrolment", code=code, unit_id=unit_id)


@contextmanager
def working_dock(town: Town) -> Iterator[WorkingDock]:
    """Run a town's dock as `mirrorcam-dock serve`."""
    with ExitStack() as stack:
        program = Program("mirrorcam-dock", "serve", "--folder", str(town.dock.path), log=town.path / "dock.log")
        stack.callback(program.end)
        ports: dict[str, Any] = {}
        while len(ports) < 2:
            heard = program.wait_for("listening")
            ports[heard["listener"]] = heard["port"]
        yield WorkingDock(town, program, ports["pages"], ports["bays"])
