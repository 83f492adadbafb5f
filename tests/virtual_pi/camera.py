"""What makes the virtual machine one with a camera: footage, libcamera's virtual pipeline, the rig's own settings."""

from collections.abc import Iterator
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path

import av
from av.video.frame import VideoFrame
from PIL import Image

from appliance.cameras.fitting import ClipFitter, covering_size
from tests.footage import bikes
from tests.virtual_pi.cards import write

_FRAMES = Path("opt/mirrorcam/footage")
_SCREEN = (800, 480)
_DROP_IN = """\
[Service]
Environment=PYTHONPATH=/opt/mirrorcam/rig
ReadWritePaths=/run/mirrorcam-rig
"""
# As Raspberry Pi OS has it for its own heaps; picamera2 asks for linux,cma. Debian's kernel for arm64 has no heaps.
_HEAP_RULE = 'SUBSYSTEM=="dma_heap", GROUP="video", MODE="0660"\nKERNEL=="udmabuf", GROUP="video", MODE="0660"\n'
_TMPFILES = """\
L+ /dev/dma_heap/linux,cma - - - - /dev/dma_heap/system
d /run/mirrorcam-rig 0777 root root - -
"""


def add_camera(tree: Path, width: int = 640, height: int = 480, frames: int = 60) -> None:
    """Put a camera of this size into the machine whose code disk `tree` becomes; it shows `frames` pictures in turn."""
    folder = tree / _FRAMES
    folder.mkdir(parents=True)
    for number, jpeg in enumerate(islice(_jpegs(width, height), frames)):
        (folder / f"{number}.jpg").write_bytes(jpeg)
    write(tree, "usr/share/libcamera/pipeline/virtual/virtual.yaml", _pipeline(width, height))
    write(tree, "etc/systemd/system/mirrorcam-unit.service.d/rig.conf", _DROP_IN)
    write(tree, "etc/udev/rules.d/60-mirrorcam-rig.rules", _HEAP_RULE)
    write(tree, "etc/tmpfiles.d/mirrorcam-rig.conf", _TMPFILES)


def _pipeline(width: int, height: int) -> str:
    """Return virtual.yaml: the picture's size, and that of the second stream that our camera asks for."""
    sizes = {(width, height), covering_size(width, height, *_SCREEN)}
    formats = "".join(f"  - {{width: {w}, height: {h}, frame_rates: [1, 240]}}\n" for w, h in sizes if w <= width)
    return (
        f'"Virtual0":\n  supported_formats:\n{formats}  frames: {{path: "/{_FRAMES}"}}\n'
        '  location: "CameraLocationFront"\n  model: "Virtual Video Device"\n'
    )


def _jpegs(width: int, height: int) -> Iterator[bytes]:
    fitter = ClipFitter(width=width, height=height)
    for picture in cycle(_film()):
        jpeg = BytesIO()
        Image.fromarray(fitter.fit(picture).to_ndarray(format="rgb24")).save(jpeg, "JPEG", quality=90)
        yield jpeg.getvalue()


def _film() -> list[VideoFrame]:
    with av.open(bikes()) as film:
        return list(islice(film.decode(video=0), 100))
