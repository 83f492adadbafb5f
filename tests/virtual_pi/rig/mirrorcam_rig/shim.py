"""Fits picamera2 and libcamera's Python surface to the virtual sensor, so that what runs on top runs as on a Pi."""

from pathlib import Path
from typing import Any

import libcamera
import picamera2.picamera2
from libcamera import controls
from picamera2 import Picamera2
from picamera2.allocators import dmaallocator

from .buffers import TwoPlaneAllocator
from .heap import UdmabufHeap
from .sensor import Capture, Sensor
from .switches import Log, Switches

_HEAP = Path("/dev/dma_heap/system")
_DEFAULT_PERIOD_US = 33_333
_captures: dict[Any, Capture] = {}  # of requests and of their buffers, the newest of each


def install() -> None:
    """Put everything in place; once in a process."""
    picamera2.picamera2.DmaAllocator = TwoPlaneAllocator
    if not _HEAP.exists():
        dmaallocator.DmaHeap = UdmabufHeap
    # It has no raw stream; picamera2 asks for one only where there is a Raspberry Pi's sensor.
    Picamera2._get_raw_modes = lambda _: [{"format": "NV12", "size": (640, 480)}]
    _say_yuv420()
    _pace()
    _number()


def _say_yuv420() -> None:
    """Name the format that the pictures have when they are finished."""
    original = Picamera2._update_stream_config

    def update(self: Any, stream_config: dict[str, Any], libcamera_stream_config: Any) -> None:
        original(self, stream_config, libcamera_stream_config)
        stream_config["format"] = "YUV420"

    Picamera2._update_stream_config = update


def _pace() -> None:
    """Have the sensor decide when a request is filled, and stamp the pictures before anybody sees them."""
    camera, manager = libcamera.Camera, libcamera.CameraManager
    start, stop, queue, ready = camera.start, camera.stop, camera.queue_request, manager.get_ready_requests
    switches, log = Switches(), Log()
    running: dict[Any, Sensor] = {}

    def paced_start(self: Any, wanted: dict[Any, Any] | None = None) -> None:
        period_us = (wanted or {}).get(controls.FrameDurationLimits, (_DEFAULT_PERIOD_US,))[0]
        start(self, wanted or {})

        def expose(request: Any, capture: Capture) -> None:
            _captures[request] = capture
            queue(self, request)

        running[self] = Sensor(expose, switches, log)
        running[self].start(int(period_us) * 1000)

    def paced_stop(self: Any) -> None:
        if self in running:
            running.pop(self).stop()
        stop(self)
        _captures.clear()

    def finished_requests(self: Any) -> list[Any]:
        requests = list(ready(self))
        for request in requests:
            # It is another thread that stops the camera, and forgets all captures, at any moment.
            capture = _captures.get(request)
            if request.status == libcamera.Request.Status.Complete and capture is not None:
                _finish(request, capture, switches)
                log.write("picture", *capture)
        return requests

    camera.start, camera.stop = paced_start, paced_stop
    camera.queue_request = lambda self, request: running[self].queue(request)
    manager.get_ready_requests = finished_requests


def _finish(request: Any, capture: Capture, switches: Switches) -> None:
    is_flashing = switches.is_flashing(capture.moment_ns)
    for buffer in request.buffers.values():
        _captures[buffer] = capture
        TwoPlaneAllocator.pictures[buffer].finish(capture, is_flashing=is_flashing)


def _number() -> None:
    """Give requests and buffers the sensor's moment and number, where a driver would have put them."""
    of_request, of_buffer = libcamera.Request.metadata, libcamera.FrameBuffer.metadata

    def request_metadata(self: Any) -> dict[Any, Any]:
        metadata = dict(of_request.fget(self))
        capture = _captures.get(self)
        if capture is not None:
            metadata[controls.SensorTimestamp] = capture.moment_ns
        return metadata

    libcamera.Request.metadata = property(request_metadata)
    libcamera.FrameBuffer.metadata = property(lambda self: _Numbered(of_buffer.fget(self), _captures.get(self)))


class _Numbered:
    """A buffer's metadata, with the sensor's number."""

    def __init__(self, metadata: Any, capture: Capture | None) -> None:
        self._metadata = metadata
        self.sequence = metadata.sequence if capture is None else capture.number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metadata, name)
