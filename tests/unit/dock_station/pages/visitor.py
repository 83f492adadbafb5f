"""A dock's pages without a socket: people of each role, and browsers that keep cookies and send the forms' tokens."""

import html
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dock_station.catalogue import entries
from dock_station.catalogue.entries import Entry
from dock_station.dock import Dock
from dock_station.opening.opener import Opener
from dock_station.pages import create_app
from dock_station.people import People
from dock_station.rights import Role
from tests.stored import StoredDock

PASSWORD = "a password of some words"
SITE = "https://localhost"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # for accounts whose password nobody guesses at


@dataclass
class Browser:
    """Somebody's browser."""

    client: FlaskClient

    def get(self, address: str, **arguments: object) -> TestResponse:
        return self.client.get(address, base_url=SITE, **arguments)

    def post(self, address: str, *, token: str | None = None, **fields: str) -> TestResponse:
        """Send a form with the token of a page that this browser may see, or with another one."""
        if token is None:
            token = self.token()
        return self.client.post(address, base_url=SITE, data={"csrf_token": token, **fields})

    def token(self) -> str:
        page = self.get("/sign-in", follow_redirects=True).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found
        return found[1]

    def sign_in(self, login: str, password: str = PASSWORD, **fields: str) -> TestResponse:
        return self.post("/sign-in", login=login, password=password, **fields)


@dataclass
class Pages:
    """The pages of a dock with stored clips, at times that a test moves."""

    path: Path
    seconds: float = 1000.0
    stored: StoredDock = field(init=False)
    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        self.stored = StoredDock(self.path)
        self.people = People(self.stored.dock, QUICK)
        self.restart()

    def restart(self) -> None:
        """Start the pages' process anew."""
        opener = Opener(self.stored.folder.opener_socket)
        self.app = create_app(self.stored.dock, opener, monotonic=lambda: self.seconds)

    def reopen(self) -> None:
        """Start the pages' process anew with what dock.toml says now."""
        self.stored.dock.close()
        self.stored.dock = Dock.open(self.stored.folder, self.stored.time.now)
        self.people = People(self.stored.dock, QUICK)
        self.restart()

    def person(self, role: Role, login: str | None = None, wearer: str | None = None) -> str:
        """Add a person and return the login."""
        login = login or str(role)
        self.people.add(login, role, PASSWORD, "shell:test", wearer=wearer)
        return login

    def stranger(self) -> Browser:
        """Return the browser of somebody who is not signed in."""
        return Browser(self.app.test_client())

    def signed_in(self, role: Role, login: str | None = None, wearer: str | None = None) -> Browser:
        """Return the browser of a new person who has signed in."""
        browser = self.stranger()
        assert browser.sign_in(self.person(role, login, wearer)).status_code == 302
        return browser

    def pass_(self, span: timedelta) -> None:
        """Let time go by on every clock."""
        self.seconds += span.total_seconds()
        self.stored.time.pass_(span)

    def log(self) -> list[Entry]:
        with self.stored.dock.catalogue.reading() as connection:
            return list(entries.all_in_order(connection))

    def deeds(self) -> list[tuple[str, str, str]]:
        """Return actor, action and subject of each entry of the custody log."""
        return [(entry.actor, entry.action, entry.subject) for entry in self.log()]


def text_of(response: TestResponse) -> str:
    """Return what a page says, without its tags."""
    body = re.sub(r"<(script|style).*?</\1>", " ", response.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
