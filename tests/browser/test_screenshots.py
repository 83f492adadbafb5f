"""The pictures in the guides: made of invented data and the tests' own footage, kept when MIRRORCAM_PICTURES is set."""

import dataclasses
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser

from appliance.camera import VideoTrack
from dock_station.catalogue import bays
from dock_station.clock import utc_now
from dock_station.decisions import hold
from tests.browser.conftest import Visit
from tests.browser.town import Town, town
from tests.conftest import ROOT
from tests.dock import SealedClip, until
from tests.ports import Ports

# Hours ago, unit, wearer, seconds: all invented.
SHIFTS = (
    (70.4, "unit-03", "w-114", 83),
    (69.1, "unit-07", "w-102", 24),
    (50.2, "unit-12", "w-131", 112),
    (47.8, "unit-03", "w-114", 31),
    (46.5, "unit-07", "w-102", 65),
    (27.3, "unit-12", "w-131", 47),
    (26.0, "unit-03", "w-127", 92),
    (22.7, "unit-07", "w-102", 18),
    (5.6, "unit-03", "w-127", 61),
    (2.2, "unit-12", "w-131", 42),
)
LOST_PICTURES, HELD, SHOWN = 2, 4, 9  # which of them are special
CUT_SHORT = (1.4, "unit-07", "w-102", 40)
VIDEO = VideoTrack(width=640, height=272, frames_per_second=25)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, SealedClip]]:
    with town(tmp_path_factory.mktemp("demo")) as demo:
        brought = [
            bring(demo, *shift, frames_lost=4 if number == LOST_PICTURES else 0) for number, shift in enumerate(SHIFTS)
        ]
        bring(
            demo, *CUT_SHORT, complete=False, ended_by="power-lost", ended_at=None, frames_written=None,
            frames_lost=None,
        )  # fmt: skip
        for clip, case in ((brought[HELD], "TEST-2026/0417"), (brought[SHOWN], "TEST-2026/0431")):
            hold(
                demo.running.dock,
                clip.clip_id,
                actor="person:a-example",
                case_number=case,
                reason="Invented for this picture: a cyclist was hit at the crossing.",
                review_on=(utc_now() + timedelta(days=60)).date(),
            )
        yield demo, brought[SHOWN]


def bring(demo: Town, hours: float, unit_id: str, wearer: str, seconds: int, **special: object) -> SealedClip:
    """Record a clip now, and bring it as one of an earlier hour."""
    film = demo.film(seconds, video=VIDEO, bits_per_second=1_200_000)
    if special.get("ended_by") == "power-lost":
        film = demo.cut(film, len(film.sealed) // 2)
    facts = {"wearer": wearer, "software": "mirrorcam 0.1.0", "policy_id": "bocholt", **special}
    return demo.bring(film, unit_id=unit_id, started_at=morning() - timedelta(hours=hours), **facts)


def morning() -> datetime:
    return utc_now().replace(minute=0, second=14, microsecond=0)


@pytest.mark.parametrize(("width", "name"), [(1280, ""), (390, "-phone")])
def test_the_guide_s_pictures(
    demo: tuple[Town, SealedClip], chromium: Browser, tmp_path: Path, width: int, name: str
) -> None:
    folder = ROOT / "docs" / "images" if os.environ.get("MIRRORCAM_PICTURES") else tmp_path
    here, clip = demo
    with here.pages() as address:
        size = {"width": width, "height": 860 if width > 1000 else 844}
        context = chromium.new_context(ignore_https_errors=True, viewport=size, device_scale_factor=1.5, locale="en-GB")  # type: ignore[arg-type]
        visit = Visit(context.new_page(), address)
        visit.sign_in()
        visit.page.screenshot(path=folder / f"dock-clips{name}.png")
        visit.open_clip(clip.clip_id)
        until(lambda: bool(visit.page.evaluate("document.querySelector('video').readyState >= 2")))
        visit.page.evaluate(
            """new Promise((resolve) => {
              const player = document.querySelector("video");
              player.addEventListener("seeked", resolve, {once: true});
              player.currentTime = 6.5;
            })"""
        )
        visit.page.wait_for_timeout(1000)  # the player's sign that it seeks fades away
        visit.page.screenshot(path=folder / f"dock-clip{name}.png")
        assert visit.complaints == []
        context.close()
    assert (folder / f"dock-clip{name}.png").stat().st_size > 20_000


def test_the_guide_s_picture_of_the_bays(demo: tuple[Town, SealedClip], chromium: Browser, tmp_path: Path) -> None:
    folder = ROOT / "docs" / "images" if os.environ.get("MIRRORCAM_PICTURES") else tmp_path
    here = with_bay_names(demo[0])
    dock, pki, ports = here.running.dock, here.running.pki, Ports()
    with ports.watched_by(dock), here.pages() as address:
        until(lambda: ports.looked > 0)
        with dock.catalogue.writing() as connection:
            for port, unit_id in (("1-1.1", "unit-03"), ("1-1.2", "unit-07"), ("1-1.3", "unit-12"), ("1-1.5", None)):
                bays.plug_in(connection, port, unit_id, utc_now() - timedelta(minutes=10))
            bays.plug_in(connection, "1-1.4", "unit-15", utc_now())
        for unit_id, waiting in (("unit-03", 0), ("unit-07", 3)):
            here.greet(here.running.visitor(pki.unit(unit_id)), unit_id, waiting=waiting)
        context = chromium.new_context(
            ignore_https_errors=True, viewport={"width": 1280, "height": 760}, locale="en-GB"
        )
        visit = Visit(context.new_page(), address)
        visit.go("/bays")
        assert visit.page.locator(".bay").count() == 6
        visit.page.screenshot(path=folder / "dock-bays.png")
        assert visit.complaints == []
        context.close()
    assert (folder / "dock-bays.png").stat().st_size > 20_000


def with_bay_names(here: Town) -> Town:
    """Return the town with a name for each of six bays."""
    names = {f"1-1.{number}": f"Bay {number}" for number in range(1, 7)}
    dock = here.running.dock
    named = dataclasses.replace(dock, settings=msgspec.structs.replace(dock.settings, bay_names=names))
    return dataclasses.replace(here, running=dataclasses.replace(here.running, dock=named))
