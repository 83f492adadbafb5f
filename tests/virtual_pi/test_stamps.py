"""The virtual camera's stamp survives what the project does to a picture: no machine is needed for this."""

from collections.abc import Iterator
from itertools import islice

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame

from appliance.cameras.encoder import PictureEncoder
from appliance.cameras.fitting import ClipFitter, ScreenFitter
from tests.footage import bikes
from tests.virtual_pi.rig.mirrorcam_rig.stamp import Stamp, draw, flash
from tests.virtual_pi.stamps import is_flashing, read_stamp, stamps_in_memory

SIZES = [(320, 240), (640, 480), (1280, 720)]


def stamped(size: tuple[int, int], stamp: Stamp, *, with_flash: bool = False) -> VideoFrame:
    return next(stamped_film(size, [stamp], with_flash=with_flash))


def stamped_film(size: tuple[int, int], stamps: list[Stamp], *, with_flash: bool = False) -> Iterator[VideoFrame]:
    width, height = size
    fitter = ClipFitter(width=width, height=height)
    with av.open(bikes()) as film:
        for stamp, picture in zip(stamps, islice(film.decode(video=0), 40), strict=False):
            content = np.asarray(fitter.fit(picture).to_ndarray(format="yuv420p"), np.uint8).ravel()
            luma = content[: width * height].reshape(height, width)
            blue, red = content[width * height :].reshape(2, height // 2, width // 2)
            if with_flash:
                flash(luma, blue, red)
            draw(luma, blue, red, stamp)
            yield VideoFrame.from_ndarray(content.reshape(height * 3 // 2, width), format="yuv420p")


def luma_of(picture: VideoFrame) -> npt.NDArray[np.uint8]:
    return np.asarray(picture.to_ndarray(format="yuv420p"), np.uint8)[: picture.height]


@pytest.mark.parametrize("size", SIZES)
def test_a_stamp_is_read_from_a_clip_of_few_bits(size: tuple[int, int]) -> None:
    stamps = [Stamp(0xFFFFF0 + number, 3_999_999_000 + 100 * number) for number in range(15)]
    encoder = PictureEncoder(width=size[0], height=size[1], frames_per_second=10, bits_per_second=200_000)
    decoder = av.CodecContext.create("h264", "r")
    pictures = []
    for number, picture in enumerate(stamped_film(size, stamps)):
        for packet in encoder.encode(picture, time_us=number * 100_000, sequence=number):
            pictures += decoder.decode(av.Packet(bytes(packet.data)))
    pictures += decoder.decode(None)
    assert [read_stamp(luma_of(picture)) for picture in pictures] == stamps


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_stamp_is_read_from_a_screen_that_crops_and_mirrors(size: tuple[int, int], *, is_mirrored: bool) -> None:
    stamp = Stamp(77, 123_456_789)
    pixels = ScreenFitter(width=800, height=480).fit(stamped(size, stamp))
    rgb = np.stack([pixels >> 16 & 255, pixels >> 8 & 255, pixels & 255], axis=-1).astype(np.uint8)
    shown = rgb[:, ::-1] if is_mirrored else rgb
    assert read_stamp(shown, size=size, mirrored=is_mirrored) == stamp
    assert read_stamp(shown, size=size, mirrored=not is_mirrored) is None


def test_a_stamp_is_found_in_raw_memory() -> None:
    stamp = Stamp(5, 42)
    picture = stamped((320, 240), stamp)
    noise = np.random.default_rng(1).integers(0, 256, 100_001, np.uint8).tobytes()
    luma = noise + luma_of(picture).tobytes() + noise
    assert {found for _, found in stamps_in_memory(luma, stride=320)} == {stamp}
    pixels = picture.reformat(format="bgra").to_ndarray()[:, ::-1]
    screen = noise + pixels.tobytes() + noise
    assert {found for _, found in stamps_in_memory(screen, stride=1280, pixel_bytes=4, mirrored=True)} == {stamp}
    assert not list(stamps_in_memory(noise, stride=320))


def test_a_picture_without_a_stamp_has_none() -> None:
    with av.open(bikes()) as film:
        picture = next(film.decode(video=0))
    assert read_stamp(luma_of(picture.reformat(640, 480, "yuv420p"))) is None


@pytest.mark.parametrize("is_lit", [False, True])
def test_the_flash_is_seen_where_it_is(*, is_lit: bool) -> None:
    assert is_flashing(luma_of(stamped((320, 240), Stamp(1, 1), with_flash=is_lit))) is is_lit
