"""The pages in a real browser: by keyboard alone, on a phone, in the dark, and without a single complaint of it."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page

from dock_station.clock import utc_now
from tests.browser.conftest import Visit
from tests.browser.town import LOGIN, PASSPHRASE, PASSWORD, Town
from tests.dock import SealedClip, until

MAX_TABS = 60

# The lowest contrast of any visible text with what is behind it, WCAG 2.2 §1.4.3, and where that text is.
CONTRAST = """() => {
  const paper = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
  const rgba = (color) => {
    paper.clearRect(0, 0, 1, 1); paper.fillStyle = color; paper.fillRect(0, 0, 1, 1);
    return Array.from(paper.getImageData(0, 0, 1, 1).data);
  };
  const over = (top, under) => [0, 1, 2].map((i) => (top[i] * top[3] + under[i] * (255 - top[3])) / 255).concat(255);
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 255]);
  };
  const light = (color) => {
    const [r, g, b] = color.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let worst = [21, ""];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.right < 0) continue;
    const ground = behind(element), ink = over(rgba(getComputedStyle(element).color), ground);
    const [low, high] = [light(ground), light(ink)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < worst[0]) worst = [contrast, texts.currentNode.textContent.trim()];
  }
  return worst;
}"""


@pytest.fixture(scope="module")
def clip(here: Town) -> SealedClip:
    return here.bring(here.film(5, unit_id="unit-2"), unit_id="unit-2")


def tab_to(page: Page, is_there: Callable[[], bool]) -> None:
    """Press Tab until the wanted element has the focus."""
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        if is_there():
            return
    raise AssertionError("the keyboard does not reach it")


def has_focus(page: Page, selector: str) -> bool:
    return bool(page.evaluate("(selector) => document.activeElement.matches(selector)", selector))


def test_signing_in_finding_and_playing_a_clip_needs_no_mouse(here: Town, visit: Visit, clip: SealedClip) -> None:
    page = visit.page
    visit.go("/")
    until(lambda: has_focus(page, "#login"))
    page.keyboard.type(LOGIN)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/clips")

    page.keyboard.press("Tab")
    assert has_focus(page, ".skip")
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0"), "the skip link is out of sight"
    page.keyboard.press("Enter")
    assert has_focus(page, "main")
    tab_to(page, lambda: has_focus(page, f"a[href='/clips/{clip.clip_id}']"))
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px", "the focus cannot be seen"
    page.keyboard.press("Enter")

    page.wait_for_url("**/clips/*")
    tab_to(page, lambda: has_focus(page, "#passphrase"))
    page.keyboard.type(PASSPHRASE)
    page.keyboard.press("Enter")
    page.wait_for_selector("video")
    tab_to(page, lambda: has_focus(page, "video"))
    page.keyboard.press("Space")
    until(lambda: bool(page.evaluate("document.querySelector('video').currentTime > 0.2")))


def test_a_wrong_passphrase_is_answered_with_one_sentence_beside_its_field(reviewer: Visit, clip: SealedClip) -> None:
    reviewer.go(f"/clips/{clip.clip_id}")
    field = reviewer.page.get_by_label("Your passphrase")
    field.fill("not the passphrase")
    reviewer.page.get_by_role("button", name="Unlock").click()
    refusal = reviewer.page.get_by_role("alert")
    refusal.wait_for()
    assert refusal.inner_text() == "This passphrase does not open your keyslot: type it again."
    assert field.get_attribute("aria-describedby") == refusal.get_attribute("id")
    assert reviewer.page.locator("video").count() == 0


def test_a_clip_is_held_with_case_number_reason_and_review_date(here: Town, reviewer: Visit, clip: SealedClip) -> None:
    page = reviewer.page
    reviewer.go(f"/clips/{clip.clip_id}")
    page.get_by_text("Hold this clip as evidence").click()
    page.get_by_label("Case number").fill("TEST-2026/1")
    page.get_by_role("button", name="Hold it").click()
    page.get_by_text("Say why this clip is needed").wait_for()
    assert page.get_by_label("Case number").input_value() == "TEST-2026/1"
    page.get_by_label("Reason").fill("An invented case.")
    page.get_by_label("Review on").fill(f"{utc_now() + timedelta(days=30):%Y-%m-%d}")
    page.get_by_role("button", name="Hold it").click()
    page.get_by_text("The clip is held: it is kept until the hold is released.").wait_for()
    assert page.get_by_text("Case TEST-2026/1").is_visible()
    assert (f"person:{LOGIN}", "hold-set", f"clip:{clip.clip_id}") in here.deeds()
    reviewer.go("/clips?held=1")
    assert page.locator("tbody tr").count() == 1


def test_after_signing_out_nothing_plays_and_no_page_comes_back(reviewer: Visit, clip: SealedClip) -> None:
    page = reviewer.page
    reviewer.open_clip(clip.clip_id)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    page.go_back()
    page.get_by_label("Password").wait_for()
    answer = page.request.get(f"{reviewer.address}/clips/{clip.clip_id}/media")
    assert (answer.status, answer.text()) == (401, "Sign in first.\n")


@pytest.fixture(params=["light", "dark"])
def wide(request: pytest.FixtureRequest, chromium: Browser, address: str) -> Iterator[Visit]:
    context = chromium.new_context(
        ignore_https_errors=True, viewport={"width": 1280, "height": 900}, color_scheme=request.param
    )
    visit = Visit(context.new_page(), address)
    visit.sign_in()
    yield visit
    context.close()


def every_page(clip: SealedClip) -> tuple[str, ...]:
    return (
        "/clips",
        f"/clips/{clip.clip_id}",
        "/bays",
        "/custody",
        "/units",
        "/health",
        "/clips?from=nonsense",
        "/sign-in?x",
    )


def test_every_text_stands_out_from_what_is_behind_it(wide: Visit, clip: SealedClip) -> None:
    for path in every_page(clip):
        wide.go(path)
        contrast, text = wide.page.evaluate(CONTRAST)
        assert contrast >= 4.5, (path, text)


def test_no_page_makes_the_browser_complain(reviewer: Visit, clip: SealedClip) -> None:
    for path in every_page(clip):
        reviewer.go(path)
        assert reviewer.page.locator("h1").count() == 1
        assert reviewer.page.locator("html").get_attribute("lang") == "en"
    reviewer.open_clip(clip.clip_id)
    assert reviewer.complaints == []


@pytest.mark.parametrize("width", [320, 390])
def test_no_page_is_wider_than_a_phone(reviewer: Visit, clip: SealedClip, width: int) -> None:
    reviewer.page.set_viewport_size({"width": width, "height": 700})
    for path in every_page(clip):
        reviewer.go(path)
        assert reviewer.page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_every_field_has_a_label(visit: Visit, clip: SealedClip) -> None:
    unlabelled = "Array.from(document.querySelectorAll('input:not([type=hidden]), select, textarea'))"
    unlabelled += ".filter((field) => !field.labels.length).map((field) => field.name)"
    visit.go("/sign-in")
    assert visit.page.evaluate(unlabelled) == []
    visit.sign_in()
    for path in every_page(clip):
        visit.go(path)
        assert visit.page.evaluate(unlabelled) == [], path
