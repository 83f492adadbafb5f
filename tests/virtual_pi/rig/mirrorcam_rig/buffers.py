"""Buffers as the virtual pipeline wants them, two planes in one dma-buf; given out as YUV420, as a Pi's ISP does."""

import mmap
import os
from typing import Any

import libcamera
import numpy as np
from picamera2.allocators import DmaAllocator

from .sensor import Capture
from .stamp import Pixels, Stamp, draw, flash

# As many as picamera2 asks for a video, and a Pi has: the virtual pipeline insists on four.
_BUFFERS = 6


class Picture:
    """One buffer's pixels."""

    def __init__(self, memory: mmap.mmap, width: int, height: int, stride: int) -> None:
        self._memory = memory
        self._width = width
        self._height = height
        self._stride = stride

    def finish(self, capture: Capture, *, is_flashing: bool) -> None:
        """Turn NV12 into YUV420 in place, and stamp it."""
        # No array outlives this call: picamera2 could not unmap the memory then.
        planes = self._planar(np.frombuffer(self._memory, np.uint8))
        if is_flashing:
            flash(*planes)
        draw(*planes, Stamp(capture.number, capture.moment_ns // 1_000_000))

    def _planar(self, content: Pixels) -> tuple[Pixels, Pixels, Pixels]:
        luma_bytes = self._stride * self._height
        colour_bytes = luma_bytes // 4
        pairs = content[luma_bytes : luma_bytes + 2 * colour_bytes].copy()
        blue = content[luma_bytes : luma_bytes + colour_bytes]
        red = content[luma_bytes + colour_bytes : luma_bytes + 2 * colour_bytes]
        blue[:], red[:] = pairs[0::2], pairs[1::2]
        return (
            content[:luma_bytes].reshape(self._height, self._stride)[:, : self._width],
            blue.reshape(self._height // 2, self._stride // 2)[:, : self._width // 2],
            red.reshape(self._height // 2, self._stride // 2)[:, : self._width // 2],
        )


class TwoPlaneAllocator(DmaAllocator):  # type: ignore[misc]  # picamera2 comes without types
    """DmaAllocator for a pipeline that asks for each plane by itself; `pictures` are the newest allocated ones."""

    pictures: dict[Any, Picture] = {}  # noqa: RUF012 – there is one camera
    frame_buffers: dict[Any, list[Any]]
    libcamera_fds: list[int]
    open_fds: list[int]

    def allocate(self, libcamera_config: Any, _: Any) -> None:
        self.libcamera_fds = []
        self.cleanup()
        for handle in self.open_fds:
            os.close(handle)
        self.frame_buffers, self.open_fds = {}, []
        self.pictures.clear()
        for stream in libcamera_config:
            self.frame_buffers[stream.stream] = [self._buffer(stream, count) for count in range(_BUFFERS)]

    def close(self) -> None:
        for buffer in (each for buffers in self.frame_buffers.values() for each in buffers):
            self.pictures.pop(buffer, None)
        super().close()

    def _buffer(self, stream: Any, count: int) -> Any:
        handle = self.dmaHeap.alloc(f"picamera2-{count}", stream.frame_size).get()
        self.open_fds.append(handle)
        luma_bytes = stream.stride * stream.size.height
        planes = []
        for offset, length in ((0, luma_bytes), (luma_bytes, stream.frame_size - luma_bytes)):
            plane = libcamera.FrameBuffer.Plane()
            plane.fd, plane.offset, plane.length = handle, offset, length
            planes.append(plane)
        known_as = planes[0].fd  # libcamera's own copy of the descriptor
        self.libcamera_fds.append(known_as)
        self.mapped_buffers_used[known_as] = False
        buffer = libcamera.FrameBuffer(planes)
        memory = mmap.mmap(handle, stream.frame_size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.mapped_buffers[buffer] = memory
        self.pictures[buffer] = Picture(memory, stream.size.width, stream.size.height, stream.stride)
        return buffer
