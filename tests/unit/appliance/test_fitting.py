"""Fitting pictures to the clip and to the screen, on pictures whose halves can be told apart."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from appliance.cameras.fitting import ClipFitter, ScreenFitter, covering_size
from tests.cameras import colour, film, halves


def picture(size: tuple[int, int], *, pixel_format: str = "yuv420p") -> VideoFrame:
    return VideoFrame.from_ndarray(halves(size), format="rgb24").reformat(format=pixel_format)


def corner_colours(fitted: VideoFrame) -> list[str]:
    """Return the colours of the corners, clockwise from the upper left."""
    pixels = fitted.to_ndarray(format="bgra").view(np.uint32)[..., 0]
    return [colour(pixels[row, column]) for row, column in ((2, 2), (2, -3), (-3, -3), (-3, 2))]


@pytest.mark.parametrize("size", [(320, 240), (640, 272), (240, 320), (101, 77), (1280, 720)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuyv422", "rgb24"])
def test_pictures_of_any_size_and_format_fill_the_clip_without_bars(size: tuple[int, int], pixel_format: str) -> None:
    fitted = ClipFitter(width=320, height=180).fit(picture(size, pixel_format=pixel_format))
    assert (fitted.width, fitted.height, fitted.format.name) == (320, 180, "yuv420p")
    assert corner_colours(fitted) == ["red", "blue", "blue", "red"]


def test_a_picture_that_fits_already_is_not_copied() -> None:
    fitting = picture((320, 180))
    assert ClipFitter(width=320, height=180).fit(fitting) is fitting


def test_a_picture_keeps_its_proportions() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = (255, 0, 0)
    fitted = ClipFitter(width=200, height=200).fit(VideoFrame.from_ndarray(pixels, format="rgb24"))
    assert corner_colours(fitted) == ["red"] * 4, "the middle third of the picture is the whole square"


def test_the_source_may_change_its_size_while_it_runs() -> None:
    fitter = ClipFitter(width=320, height=180)
    for size in ((640, 480), (320, 240), (640, 480)):
        assert fitter.fit(picture(size)).width == 320


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        ((1, 0, 0, 1), ["red", "blue", "blue", "red"]),
        ((0, 1, -1, 0), ["red", "red", "blue", "blue"]),
        ((-1, 0, 0, -1), ["blue", "red", "red", "blue"]),
        ((0, -1, 1, 0), ["blue", "blue", "red", "red"]),
    ],
)
def test_a_film_from_a_telephone_held_sideways_stands_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], corners: list[str]
) -> None:
    path = film(tmp_path / "film.mp4", pictures=1)
    turn(path, matrix)
    with av.open(path) as container:
        fitted = ClipFitter(width=200, height=200).fit(next(container.decode(video=0)))
    assert corner_colours(fitted) == corners


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write the matrix of ISO/IEC 14496-12, 8.3.2 into the track's header: (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    begin = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[begin : begin + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (854, 480), (320, 568)])
def test_the_screen_is_filled_with_pixels_in_its_own_order(size: tuple[int, int]) -> None:
    pixels = ScreenFitter(width=800, height=480).fit(picture(size))
    assert pixels.shape == (480, 800)
    assert [colour(pixels[240, column]) for column in (1, 390, 410, 798)] == ["red", "red", "blue", "blue"]


def test_the_covering_size_is_even_covers_and_keeps_the_shape() -> None:
    assert covering_size(1280, 720, 800, 480) == (854, 480)
    assert covering_size(640, 480, 800, 480) == (800, 600)
    assert covering_size(800, 480, 800, 480) == (800, 480)
    assert covering_size(1920, 1080, 161, 121) == (216, 122)
