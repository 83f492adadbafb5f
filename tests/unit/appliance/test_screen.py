"""The screen, by its pixels: what is seen is what is so."""

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

os.environ["SDL_VIDEODRIVER"] = "dummy"

import pygame

from appliance.camera import Frame
from appliance.front.messages import Message, Tone
from appliance.front.overlay import AMBER, REC_RED, WHITE
from appliance.front.screen import Screen, open_display
from appliance.front.view import DARK, View

SIZE = (800, 480)
LIVE = View(has_picture=True, date_and_time="24 Nov 2026  15:04:12", storage_minutes=312, battery_percent=82)
RECORDING = replace(LIVE, recorded_seconds=42)


@pytest.fixture
def screen() -> Iterator[Screen]:
    shown = Screen(open_display(SIZE))
    yield shown
    shown.close()


def frame(sequence: int = 1, *, width: int = SIZE[0], height: int = SIZE[1]) -> Frame:
    """A picture whose left half is green and whose right half is blue."""
    pixels = np.full((height, width), 0x0000A000, np.uint32)
    pixels[:, width // 2 :] = 0x000000A0
    return Frame(pixels, sequence * 33_333, sequence)


def pixels(screen: Screen) -> npt.NDArray[np.uint8]:
    """What stands on the display now, as rows of red, green, blue."""
    return pygame.surfarray.array3d(screen.display.surface).swapaxes(0, 1)


def has_colour(part: npt.NDArray[np.uint8], colour: tuple[int, ...]) -> bool:
    return bool((np.abs(part.astype(int) - colour[:3]) <= 3).all(axis=-1).any())


def rec_mark_is_shown(screen: Screen) -> bool:
    everywhere = (pixels(screen) == np.array(REC_RED, np.uint8)).all(axis=-1)
    rows, columns = np.nonzero(everywhere)
    if not rows.size:
        return False
    assert rows.max() < 80
    assert columns.max() < 170
    return int(everywhere.sum()) > 3000


def test_in_standby_every_pixel_is_black(screen: Screen) -> None:
    screen.show(RECORDING, frame())
    screen.show(DARK, frame(2))
    assert not pixels(screen).any()


def test_in_standby_nothing_is_drawn_however_many_pictures_come(screen: Screen) -> None:
    screen.show(DARK, frame(1))
    assert [screen.show(DARK, frame(sequence)) for sequence in range(2, 9)] == [False] * 7


def test_the_picture_is_mirrored_when_the_policy_says_so(screen: Screen) -> None:
    screen.show(LIVE, frame())
    assert tuple(pixels(screen)[240, 100]) == (0, 0, 0xA0)
    assert tuple(pixels(screen)[240, 700]) == (0, 0xA0, 0)


def test_the_picture_is_not_mirrored_when_the_policy_does_not_want_it(screen: Screen) -> None:
    screen.show(replace(LIVE, mirrored=False), frame())
    assert tuple(pixels(screen)[240, 100]) == (0, 0xA0, 0)


def test_writing_is_never_mirrored(screen: Screen) -> None:
    screen.show(RECORDING, frame())
    mirrored = pixels(screen)[:90, :300].copy()
    screen.show(replace(RECORDING, mirrored=False), frame())
    letters = (mirrored == 255).all(axis=-1)
    assert (letters == (pixels(screen)[:90, :300] == 255).all(axis=-1)).all()
    assert letters.any()


def test_the_rec_mark_stands_at_the_top_left_while_something_is_written(screen: Screen) -> None:
    screen.show(RECORDING, frame())
    assert rec_mark_is_shown(screen)


def test_the_rec_mark_is_not_there_when_nothing_is_written(screen: Screen) -> None:
    screen.show(RECORDING, frame())
    screen.show(LIVE, frame())
    assert not rec_mark_is_shown(screen)


def test_the_rec_mark_is_there_even_before_the_first_picture_and_over_a_message(screen: Screen) -> None:
    screen.show(View(recorded_seconds=0), None)
    assert rec_mark_is_shown(screen)
    screen.show(View(recorded_seconds=0, message=Message("Out of order")), None)
    assert rec_mark_is_shown(screen)


def test_the_clock_runs(screen: Screen) -> None:
    screen.show(RECORDING, frame())
    before = pixels(screen)[:90, 160:300].copy()
    assert screen.show(replace(RECORDING, recorded_seconds=43), frame())
    assert (before != pixels(screen)[:90, 160:300]).any()


def test_a_view_that_is_on_the_screen_already_is_not_drawn_again(screen: Screen) -> None:
    assert screen.show(RECORDING, frame())
    assert not screen.show(RECORDING, frame())
    assert screen.show(RECORDING, frame(2))


def test_storage_turns_amber_when_it_is_low(screen: Screen) -> None:
    lower_left = np.s_[400:, :300]
    screen.show(RECORDING, frame())
    assert not has_colour(pixels(screen)[lower_left], AMBER)
    screen.show(replace(RECORDING, storage_minutes=28, storage_is_low=True), frame())
    assert has_colour(pixels(screen)[lower_left], AMBER)


def test_that_there_is_no_sound_stands_below_the_rec_mark_in_amber(screen: Screen) -> None:
    below = np.s_[85:150, :300]
    screen.show(RECORDING, frame())
    assert not has_colour(pixels(screen)[below], AMBER)
    screen.show(replace(RECORDING, is_deaf=True), frame())
    assert has_colour(pixels(screen)[below], AMBER)


def test_what_is_not_known_is_not_shown(screen: Screen) -> None:
    screen.show(View(has_picture=True, mirrored=False, date_and_time="24 Nov 2026  15:04:12"), frame())
    lower = pixels(screen)[400:]
    assert (lower == lower[0]).all()


@pytest.mark.parametrize(("part", "reached"), [(0.25, {"top"}), (0.6, {"top", "right"})])
def test_the_hold_runs_along_the_edge(screen: Screen, part: float, reached: set[str]) -> None:
    screen.show(replace(RECORDING, hold=part), frame())
    edge = pixels(screen)
    sides = {"top": edge[4, 300], "right": edge[240, 796], "left": edge[240, 3]}
    assert {name for name, pixel in sides.items() if tuple(pixel) == WHITE} == reached
    assert tuple(sides["left"]) == (0, 0, 0)


def test_a_fault_is_told_on_a_dark_page_in_letters_of_a_tenth_of_the_screen(screen: Screen) -> None:
    screen.show(View(message=Message("No camera", "The camera has stopped.", Tone.FAULT)), None)
    rows = np.nonzero(pixels(screen).any(axis=(1, 2)))[0]
    headline = rows[: int(np.argmax(np.diff(rows) > 1)) + 1]
    assert headline.size >= 40


def test_the_longest_sentence_stays_on_the_screen(screen: Screen) -> None:
    sentence = (
        "The storage did not take the recording fast enough and it broke off. It goes on by itself; touch to try."
    )
    screen.show(View(message=Message("Recording broke off", sentence, Tone.FAULT)), None)
    page = pixels(screen)
    assert page.any()
    for border in (page[:4], page[-4:], page[:, :4], page[:, -4:]):
        assert not border.any()


def test_a_message_over_the_picture_leaves_the_middle_free(screen: Screen) -> None:
    screen.show(replace(RECORDING, message=Message("Storage is low", "28 minutes left.", Tone.WARNING)), frame())
    assert tuple(pixels(screen)[240, 100]) == (0, 0, 0xA0)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (400, 240)])
def test_a_picture_of_another_size_stands_in_the_middle(screen: Screen, size: tuple[int, int]) -> None:
    screen.show(View(has_picture=True), frame(width=size[0], height=size[1]))
    assert tuple(pixels(screen)[240, 398]) == (0, 0, 0xA0)
    assert tuple(pixels(screen)[240, 402]) == (0, 0xA0, 0)
    if size[0] < SIZE[0]:
        assert not pixels(screen)[:, 0].any()


@pytest.mark.parametrize("size", [(320, 240), (480, 320), (1280, 720)])
def test_all_sizes_of_panel_show_everything(size: tuple[int, int]) -> None:
    screen = Screen(open_display(size))
    screen.show(replace(RECORDING, hold=0.5), frame(width=size[0], height=size[1]))
    assert has_colour(pixels(screen), REC_RED)
    screen.close()


def test_a_display_of_16_bits_shows_the_same_picture() -> None:
    display = open_display(SIZE)
    coarse = replace(display, surface=pygame.display.set_mode(SIZE, 0, 16))
    screen = Screen(coarse)
    screen.show(LIVE, frame())
    red, green, blue = (int(value) for value in pixels(screen)[240, 700])
    assert (red, blue) == (0, 0)
    assert abs(green - 0xA0) <= 4
    screen.close()


def test_a_screen_that_nobody_sees_says_why() -> None:
    assert open_display(SIZE).why_headless == "SDL_VIDEODRIVER is dummy"
    assert open_display(SIZE, headless=True).why_headless == "it was asked for"


def test_a_driver_that_draws_for_nobody_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame.display.quit()
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")
    assert open_display(SIZE).why_headless == "SDL_VIDEODRIVER is offscreen"


def test_where_sdl_takes_a_driver_that_draws_for_nobody_by_itself_there_is_no_display(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pygame.display.quit()
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11,offscreen")  # what SDL tries, in this order, where none is named
    monkeypatch.setenv("DISPLAY", ":99999")
    assert open_display(SIZE).why_headless == "there is no display"


def test_without_any_display_the_unit_gets_a_surface_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame.display.quit()
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.setenv("DISPLAY", ":99999")
    display = open_display(SIZE)
    assert display.why_headless == "there is no display"
    assert display.surface.get_size() == SIZE


def test_a_device_without_its_display_waits_for_it_and_reads_its_touch_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame.display.quit()
    monkeypatch.setenv("SDL_VIDEODRIVER", "kmsdrm,nothing")  # as on a device; this computer's KMS is left alone
    display = open_display(SIZE)
    assert (display.is_panel, display.why_headless) == (True, "there is no display")
    assert pygame.display.get_driver() == "evdev"
    assert os.environ["SDL_VIDEODRIVER"] == "kmsdrm,nothing"


def test_a_screen_that_is_asked_for_by_nobody_waits_for_no_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "kmsdrm")
    assert not open_display(SIZE, headless=True).is_panel


def test_closing_gives_the_display_back() -> None:
    Screen(open_display(SIZE)).close()
    assert not pygame.display.get_init()
