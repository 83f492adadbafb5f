"""Debian's Chromium, driven by Playwright, at the pages of a dock with real clips."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect, sync_playwright

from tests.browser.town import LOGIN, PASSPHRASE, PASSWORD, Town, town

CHROMIUM = "/usr/bin/chromium"
expect.set_options(timeout=30_000)  # a busy machine takes longer than Playwright's five seconds
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Visit:
    """One person's browser window at the dock, and all that it complained about."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)
    media: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("response", self._count)

    def go(self, path: str) -> None:
        self.page.goto(self.address + path)

    def sign_in(self) -> None:
        self.go("/sign-in")
        self.page.get_by_label("Login").fill(LOGIN)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/clips")

    def open_clip(self, clip_id: str) -> None:
        """Go to a clip and unlock it."""
        self.go(f"/clips/{clip_id}")
        self.page.get_by_label("Your passphrase").fill(PASSPHRASE)
        self.page.get_by_role("button", name="Unlock").click()
        self.page.wait_for_selector("video")

    def media_bytes(self) -> int:
        """Return how many bytes of the clip the dock was made to give."""
        return sum(int(response.headers["content-length"]) for response in self.media)

    def media_places(self) -> list[int]:
        """Return from where on the player asked for the clip, each time."""
        ranges = [response.request.headers["range"] for response in self.media]
        return [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in ranges]

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _count(self, response: Response) -> None:
        if response.url.endswith("/media"):
            self.media.append(response)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("town")) as here:
        yield here


@pytest.fixture
def address(here: Town) -> Iterator[str]:
    with here.pages() as address:
        yield address


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, address: str) -> Visit:
    return Visit(context.new_page(), address)


@pytest.fixture
def reviewer(visit: Visit) -> Visit:
    """A reviewer who has signed in."""
    visit.sign_in()
    return visit
