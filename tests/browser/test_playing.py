"""A real browser plays real clips: after the passphrase, from anywhere, reading little, and not a picture too much."""

import collections
import io
import itertools
from typing import Any

import av
import numpy as np
import pytest
from playwright.sync_api import Page

from appliance.camera import VideoTrack
from tests.browser.conftest import Visit
from tests.browser.town import LOGIN, Film, Town
from tests.dock import SealedClip, until
from tests.recording import decoded

# A frame as a small grey picture, the same way in the browser and here.
WIDTH, HEIGHT = 32, 24
PICTURE = """() => {
  const player = document.querySelector("video");
  const canvas = Object.assign(document.createElement("canvas"), {width: 32, height: 24});
  const paper = canvas.getContext("2d");
  paper.imageSmoothingQuality = "high";
  paper.drawImage(player, 0, 0, 32, 24);
  const pixels = Array.from(paper.getImageData(0, 0, 32, 24).data);
  return {currentTime: player.currentTime, readyState: player.readyState, pixels};
}"""
SEEK = f"""async (seconds) => {{
  const player = document.querySelector("video");
  const arrived = new Promise((resolve) => player.addEventListener("seeked", resolve, {{once: true}}));
  player.currentTime = seconds;
  await arrived;
  return ({PICTURE})();
}}"""
HD = VideoTrack(width=1280, height=720, frames_per_second=30)


@pytest.fixture(scope="module")
def film(here: Town) -> Film:
    return here.film(30)


@pytest.fixture(scope="module")
def clip(here: Town, film: Film) -> SealedClip:
    return here.bring(film)


@pytest.fixture(scope="module")
def long_clip(here: Town) -> SealedClip:
    return here.bring(here.film(600))


def seek(page: Page, seconds: float) -> dict[str, Any]:
    page.evaluate(SEEK, seconds)
    found: dict[str, Any] = {}

    def shows_a_picture() -> bool:  # on a busy machine the first one comes a little later than the event
        found.update(page.evaluate(f"({PICTURE})()"))
        return bool(found["pixels"][3])

    until(shows_a_picture)
    return found


def duration(page: Page) -> float:
    until(lambda: bool(page.evaluate("document.querySelector('video').readyState >= 1")))
    return float(page.evaluate("document.querySelector('video').duration"))


def likeness(found: dict[str, Any], film: bytes, seconds: float) -> float:
    """Return how far the browser's picture is from the film's picture at a moment (mean difference, 0 to 255)."""
    pixels = np.array(found["pixels"], dtype=float).reshape(HEIGHT, WIDTH, 4)[..., :3].mean(axis=2)
    with av.open(io.BytesIO(film), mode="r") as container:
        shown = itertools.takewhile(lambda frame: (frame.time or 0.0) <= seconds, container.decode(video=0))
        frame = collections.deque(shown, maxlen=1).pop()
    wanted = frame.reformat(WIDTH, HEIGHT, format="gray").to_ndarray().astype(float)
    return float(np.abs(pixels - wanted).mean())


def test_the_clip_plays_after_the_passphrase(here: Town, reviewer: Visit, clip: SealedClip) -> None:
    reviewer.open_clip(clip.clip_id)
    page = reviewer.page
    assert duration(page) == pytest.approx(30, abs=0.3)
    page.evaluate("document.querySelector('video').play()")
    until(lambda: bool(page.evaluate("document.querySelector('video').currentTime > 1")))
    page.evaluate("document.querySelector('video').pause()")
    assert page.evaluate("document.querySelector('video').error") is None
    assert reviewer.complaints == []
    mine = [
        action for actor, action, subject in here.deeds() if subject == f"clip:{clip.clip_id}" and "unit" not in actor
    ]
    assert mine == ["clip-viewed", "clip-viewed", "clip-played"]
    assert (f"person:{LOGIN}", "unlocked", f"person:{LOGIN}") in here.deeds()


def test_a_jump_shows_the_picture_of_that_moment(here: Town, reviewer: Visit, clip: SealedClip, film: Film) -> None:
    reviewer.open_clip(clip.clip_id)
    duration(reviewer.page)
    mp4 = film.opened(here.identity)
    for seconds in (21.51, 3.22, 28.91):
        found = seek(reviewer.page, seconds)
        assert found["readyState"] >= 2
        assert found["currentTime"] == seconds
        assert likeness(found, mp4, seconds) < 10
        assert likeness(found, mp4, (seconds + 4) % 30) > 30
    assert reviewer.complaints == []


def test_a_jump_in_a_clip_with_sound_shows_the_picture_there_and_reads_nothing_in_between(
    here: Town, reviewer: Visit
) -> None:
    film = here.film(120, with_sound=True)
    mp4 = film.opened(here.identity)
    assert decoded(mp4, "audio")[-1] == pytest.approx(120, abs=0.5)
    reviewer.open_clip(here.bring(film).clip_id)
    assert duration(reviewer.page) == pytest.approx(120, abs=0.3)
    found = seek(reviewer.page, 119.71)
    assert (found["currentTime"], found["readyState"] >= 2) == (119.71, True)
    assert likeness(found, mp4, 119.71) < 10
    between = range(len(mp4) // 4, len(mp4) * 3 // 4)
    assert [place for place in reviewer.media_places() if place in between] == []
    assert reviewer.complaints == []


@pytest.mark.parametrize("with_sound", [False, True])
def test_jumps_from_the_end_back_and_to_the_end_again_show_the_picture_of_each_moment(
    here: Town, reviewer: Visit, *, with_sound: bool
) -> None:
    film = here.film(30, with_sound=with_sound)
    mp4 = film.opened(here.identity)
    reviewer.open_clip(here.bring(film).clip_id)
    duration(reviewer.page)
    for seconds in (29.71, 23.22, 29.71, 7.51, 0.03, 29.93, 15.36, 22.05, 0.03, 29.31):
        found = seek(reviewer.page, seconds)
        assert (found["currentTime"], found["readyState"] >= 2) == (seconds, True)
        assert likeness(found, mp4, seconds) < 10, seconds
        assert likeness(found, mp4, (seconds + 4) % 30) > 30, seconds
    assert reviewer.complaints == []


def test_opening_a_long_clip_reads_less_than_a_megabyte(reviewer: Visit, long_clip: SealedClip) -> None:
    assert len(long_clip.sealed) > 30_000_000
    reviewer.open_clip(long_clip.clip_id)
    assert duration(reviewer.page) == pytest.approx(600, abs=0.5)
    until(lambda: bool(reviewer.page.evaluate("document.querySelector('video').readyState >= 2")))
    assert reviewer.media_bytes() <= 1_000_000
    found = seek(reviewer.page, 431.7)
    assert (found["currentTime"], found["readyState"] >= 2) == (431.7, True)
    assert reviewer.media_bytes() <= 3_000_000


def test_a_film_of_full_size_is_hardly_read_before_somebody_presses_play(here: Town, reviewer: Visit) -> None:
    clip = here.bring(here.film(30, video=HD, bits_per_second=8_000_000))
    assert len(clip.sealed) > 25_000_000
    reviewer.open_clip(clip.clip_id)
    assert duration(reviewer.page) == pytest.approx(30, abs=0.3)
    reviewer.page.wait_for_load_state("networkidle")
    assert reviewer.media_bytes() <= 1_000_000
    reviewer.page.locator("video").click()
    until(lambda: bool(reviewer.page.evaluate("document.querySelector('video').currentTime > 1")))
    assert reviewer.complaints == []


def test_a_link_to_a_marker_shows_the_picture_there_at_once(
    here: Town, reviewer: Visit, clip: SealedClip, film: Film
) -> None:
    reviewer.open_clip(clip.clip_id)
    reviewer.go(f"/clips/{clip.clip_id}?at=21")
    until(lambda: bool(reviewer.page.evaluate("document.querySelector('video').readyState >= 2")))
    found = reviewer.page.evaluate(f"({PICTURE})()")
    assert found["currentTime"] == 21
    assert likeness(found, film.opened(here.identity), 21.01) < 10
    assert reviewer.page.locator("video[poster]").count() == 0


def test_a_clip_whose_end_is_missing_plays_up_to_the_cut(here: Town, reviewer: Visit, film: Film) -> None:
    cut = here.cut(film, len(film.sealed) // 2)
    clip = here.bring(cut, complete=False, ended_by="power-lost", ended_at=None, frames_written=None, frames_lost=None)
    reviewer.open_clip(clip.clip_id)
    assert reviewer.page.get_by_text("The end of this clip is missing").is_visible()
    assert 12 < duration(reviewer.page) < 16
    assert seek(reviewer.page, 11.0)["readyState"] >= 2
    assert reviewer.complaints == []


def test_a_clip_that_is_locked_while_it_plays_says_so_in_a_sentence(reviewer: Visit, long_clip: SealedClip) -> None:
    reviewer.open_clip(long_clip.clip_id)
    duration(reviewer.page)
    other = reviewer.page.context.new_page()
    other.goto(reviewer.page.url)
    other.get_by_role("button", name="Lock now").click()
    other.get_by_label("Your passphrase").wait_for()
    reviewer.page.evaluate("document.querySelector('video').currentTime = 500")
    reviewer.page.get_by_text("it may be locked again").wait_for()
    reviewer.page.get_by_role("link", name="Load this page again").click()
    reviewer.page.get_by_label("Your passphrase").wait_for()


def test_a_flipped_bit_is_never_played_and_is_named(here: Town, reviewer: Visit, film: Film) -> None:
    clip = here.bring(film)
    stored = here.running.stored(clip.clip_id)
    assert stored
    file = here.running.dock.vault.sealed_file(stored.vault_key)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    reviewer.open_clip(clip.clip_id)
    duration(reviewer.page)
    reviewer.page.evaluate("document.querySelector('video').currentTime = 15")
    reviewer.page.get_by_text("The clip does not play on").wait_for()
    reviewer.page.get_by_role("button", name="Read the whole file").click()
    reviewer.page.get_by_text("This clip is damaged").wait_for()
