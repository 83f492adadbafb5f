"""Fitting pictures: any decoded picture to the size of the clip, and the clip's picture to the screen."""

from math import ceil
from typing import cast

import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

_UPRIGHT = {90: ("transpose", "cclock"), -90: ("transpose", "clock")}


class ClipFitter:
    """Brings pictures of any size, turn and pixel format to width × height, yuv420p.

    A picture of another shape fills the whole and loses its margins, as a sensor behind the same lens would see it.
    """

    def __init__(self, *, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self._graph: Graph | None = None
        self._source: tuple[int, int, str, int] | None = None

    def fit(self, picture: VideoFrame) -> VideoFrame:
        """Return the fitted picture, `picture` itself where it fits already; raises av.FFmpegError."""
        source = (picture.width, picture.height, picture.format.name, _turn(picture))
        if source == (self._width, self._height, "yuv420p", 0):
            return picture
        if self._graph is None or source != self._source:
            self._graph = self._graph_for(*source)
            self._source = source
        self._graph.vpush(picture)
        return self._graph.vpull()

    def _graph_for(self, width: int, height: int, pixel_format: str, turn: int) -> Graph:
        graph = Graph()
        size = f"{self._width}:{self._height}"
        source = f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base=1/1000000:pixel_aspect=1/1"
        steps = [graph.add("buffer", source)]
        if turn in _UPRIGHT:
            steps.append(graph.add(*_UPRIGHT[turn]))
        elif turn:
            steps += [graph.add("hflip"), graph.add("vflip")]
        steps += [
            graph.add("scale", f"{size}:force_original_aspect_ratio=increase:force_divisible_by=2:flags=fast_bilinear"),
            graph.add("crop", size),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*steps).configure()
        return graph


class ScreenFitter:
    """Brings pictures of one size to the screen's: filled, margins cut, 32 bits for each pixel."""

    def __init__(self, *, width: int, height: int) -> None:
        self._width = width
        self._height = height
        # Scaling in YUV and converting then is cheaper than both at once: a quarter less time.
        self._scaler = VideoReformatter()
        self._converter = VideoReformatter()

    def fit(self, picture: VideoFrame) -> npt.NDArray[np.uint32]:
        """Return pixels 0x??RRGGBB of shape (height, width); raises av.FFmpegError."""
        width, height = covering_size(picture.width, picture.height, self._width, self._height)
        scaled = self._scaler.reformat(picture, width, height, interpolation=Interpolation.FAST_BILINEAR, threads=1)
        plane = self._converter.reformat(scaled, format="bgra", threads=1).planes[0]
        rows = np.frombuffer(cast(memoryview, plane), np.uint32).reshape(height, plane.line_size // 4)
        left, top = (width - self._width) // 2, (height - self._height) // 2
        return rows[top : top + self._height, left : left + self._width]


def covering_size(width: int, height: int, least_width: int, least_height: int) -> tuple[int, int]:
    """Return the smallest size in the shape of width × height that covers the other size, in even numbers of pixels."""
    scale = max(least_width / width, least_height / height)
    # swscale is four times slower where a row is an odd number of pixels, and cameras offer none.
    return 2 * ceil(round(width * scale) / 2), 2 * ceil(round(height * scale) / 2)


def _turn(picture: VideoFrame) -> int:
    """By how many degrees the camera was turned, to the next quarter: -90, 0, 90 or 180."""
    quarter = round(picture.rotation / 90) * 90
    return 180 if quarter == -180 else quarter
