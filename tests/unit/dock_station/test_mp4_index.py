"""The index of real clips from the unit's own muxer, whole, cut and broken."""

import io
import struct
from contextlib import suppress
from dataclasses import replace

import av
import pytest
from av.container import InputContainer

from dock_station.playback import mp4_index
from dock_station.playback.mp4_boxes import NotPlayableError, Sample, Track
from dock_station.playback.mp4_index import index_of
from tests.films import (
    Content,
    muxed,
    padded,
    places,
    silent,
    virtual,
    with_late_sound,
    with_lost_pictures,
    with_sound,
)
from tests.recording import FRAME_US, decoded, pictures

HALF_A_FRAME = FRAME_US / 2 / 1_000_000
CLIPS = [silent, padded, with_sound, with_late_sound, with_lost_pictures]


def sought(mp4: bytes, seconds: float) -> list[float]:
    """Return the times of the pictures that a player reads after a jump; the first is one that it can begin with."""
    with av.open(io.BytesIO(mp4), mode="r") as container:
        return read_from(container, seconds)


def read_from(container: InputContainer, seconds: float) -> list[float]:
    container.seek(round(seconds * 1_000_000))
    packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    assert packets[0].is_keyframe
    return [float((packet.pts or 0) * (packet.time_base or 0)) for packet in packets]


@pytest.mark.parametrize("clip", CLIPS)
def test_the_index_of_a_whole_clip_and_the_walk_through_it_find_the_same_fragments(clip: object) -> None:
    mp4 = clip()  # type: ignore[operator]
    listed = index_of(Content(mp4))
    walked = index_of(Content(mp4[: places(mp4, b"mfra")[0]]))
    last_key_frame = max(fragment.offset for fragment in listed.fragments if fragment.has_key_frame)
    moofs = places(mp4, b"moof")
    assert [fragment.offset for fragment in listed.fragments] == moofs[: moofs.index(last_key_frame) + 1]
    assert (listed.fragments, listed.tail) == (walked.fragments, walked.tail)
    assert listed.seconds == walked.seconds == pytest.approx(8, abs=HALF_A_FRAME)


@pytest.mark.parametrize("clip", CLIPS)
def test_the_virtual_file_plays_every_picture_and_knows_its_length(clip: object) -> None:
    mp4 = clip()  # type: ignore[operator]
    played = virtual(mp4)
    assert decoded(played) == decoded(mp4)
    with av.open(io.BytesIO(played), mode="r") as container:
        assert container.duration == pytest.approx(8_000_000, abs=FRAME_US)


@pytest.mark.parametrize("clip", CLIPS)
def test_a_jump_anywhere_begins_with_the_key_frame_before_it_and_goes_on_without_a_hole(clip: object) -> None:
    mp4 = clip()  # type: ignore[operator]
    played = virtual(mp4)
    every = decoded(mp4)
    for tenths in range(79):
        seconds = tenths / 10 + 0.001
        times = sought(played, seconds)
        assert seconds - 2 <= times[0] <= seconds, seconds
        assert times == pytest.approx(every[-len(times) :]), seconds


class Watched(io.BytesIO):
    """A file that remembers from where it was read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.places: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.places.append(self.tell())
        return super().read(size)


@pytest.mark.parametrize("clip", CLIPS)
def test_a_jump_reads_nothing_before_the_fragment_that_it_leads_to(clip: object) -> None:
    mp4 = clip()  # type: ignore[operator]
    played, index = virtual(mp4), index_of(Content(mp4))
    moved = len(index.header) + len(index.sidx()) - index.fragments[0].offset
    for seconds in (2.501, 4.301, 6.501, 7.501):
        starts = [
            fragment.offset + moved
            for fragment in index.fragments
            if fragment.has_key_frame and fragment.time <= seconds * index.video.time_scale
        ]
        file = Watched(played)
        with av.open(file, mode="r", buffer_size=4096) as container:
            file.places.clear()
            read_from(container, seconds)
            assert min(file.places) >= starts[-1], seconds


def test_jumping_back_and_forth_in_one_file_skips_nothing() -> None:
    mp4 = with_sound()
    every = decoded(mp4)
    with av.open(io.BytesIO(virtual(mp4)), mode="r") as container:
        for seconds in (5.3, 2.1, 7.9, 0.0, 5.0, 4.99, 2.0):
            times = read_from(container, seconds)
            assert times == pytest.approx(every[-len(times) :]), seconds
            assert times[0] <= seconds + HALF_A_FRAME


@pytest.mark.parametrize("piece", [1, 3, 7, 1000, 65_536])
def test_the_virtual_file_is_the_same_however_it_is_read(piece: int) -> None:
    mp4 = muxed(pictures(1), pad_every=1)
    assert virtual(mp4, piece) == virtual(mp4)


def test_the_virtual_file_changes_nothing_but_the_sizes_of_mdat_boxes_and_how_the_last_fragments_are_framed() -> None:
    mp4 = padded()
    played = virtual(mp4)
    index = index_of(Content(mp4))
    first, last = index.fragments[0].offset, index.fragments[-1].offset
    head = len(index.header) + len(index.sidx())
    body = played[head : head + last - first]
    differing = {at for at in range(last - first) if body[at] != mp4[first + at]}
    assert differing
    assert differing <= {at - first + byte for at in places(mp4, b"mdat") for byte in range(4)}
    stored = b"".join(mp4[stretch.offset : stretch.offset + stretch.length] for stretch in index.tail.stretches)
    assert played[head + last - first :] == index.tail.head + stored
    assert places(played, b"free") == places(played, b"mfra") == []


@pytest.mark.parametrize("clip", CLIPS)
def test_a_jump_to_the_very_end_or_beyond_begins_with_the_last_key_frame(clip: object) -> None:
    mp4 = clip()  # type: ignore[operator]
    played, seconds = virtual(mp4), index_of(Content(mp4)).seconds
    for beyond in (-0.001, 0, 0.001, 5):
        times = sought(played, seconds + beyond)
        assert times == pytest.approx(decoded(mp4)[-len(times) :])
        assert times[0] >= seconds - 1.1


@pytest.mark.parametrize("clip", [silent, with_sound])
def test_a_clip_cut_anywhere_plays_up_to_its_last_whole_fragment(clip: object) -> None:
    mp4 = clip()  # type: ignore[operator]
    moofs, mdats = places(mp4, b"moof"), places(mp4, b"mdat")
    whole = decoded(mp4)
    for number in (0, 5, len(moofs) - 2):
        (size,) = struct.unpack_from(">I", mp4, mdats[number])
        end = mdats[number] + size
        next_mdat = mdats[number + 1]
        for cut in (end, end + 3, end + 8, next_mdat - 1, next_mdat + 4, next_mdat + 100):
            index = index_of(Content(mp4[:cut]))
            assert index.fragments[-1].offset <= moofs[number], cut
            assert index.fragments_end == end
            times = sought(virtual(mp4[:cut]), 0)
            assert times == pytest.approx(whole[: len(times)])
            assert sought(virtual(mp4[:cut]), index.seconds)[-1] == times[-1]
            assert index.seconds == pytest.approx(times[-1] + FRAME_US / 1_000_000, abs=HALF_A_FRAME)


def test_a_clip_cut_before_its_first_fragment_is_whole_is_told_in_a_sentence() -> None:
    mp4 = silent()
    (size,) = struct.unpack_from(">I", mp4, places(mp4, b"mdat")[0])
    for cut in range(0, places(mp4, b"mdat")[0] + size, 97):
        with pytest.raises(NotPlayableError, match="cannot be played: it"):
            index_of(Content(mp4[:cut]))


def test_a_whole_clip_is_indexed_by_reading_its_ends_only() -> None:
    content = Content(silent())
    index_of(content)
    moov_end = places(content.content, b"moof")[0]
    index_size = content.size - places(content.content, b"mfra")[0]
    assert content.bytes_read < moov_end + index_size + 1000


def test_an_index_that_does_not_fit_the_clip_is_not_believed() -> None:
    mp4 = bytearray(silent())
    expected = index_of(Content(bytes(mp4)))
    mfra = places(bytes(mp4), b"mfra")[0]
    for at, value in ((mfra + 8 + 24 + 8 + 4, 1), (mfra + 20, 0), (mfra + 8 + 3, 9), (len(mp4) - 1, 25)):
        changed = bytearray(mp4)
        changed[at] = value
        assert index_of(Content(bytes(changed))).fragments == expected.fragments, at


def test_the_sound_has_an_index_of_its_own_in_its_own_time() -> None:
    index = index_of(Content(with_sound()))
    assert index.sound
    boxes, found = index.sidx(), []
    for at in places(boxes, b"sidx"):
        track, scale, first, distance, _, count = struct.unpack_from(">IIQQHH", boxes, at + 12)
        references = struct.iter_unpack(">III", boxes[at + 40 : at + 40 + 12 * count])
        sizes, durations, _ = zip(*references, strict=True)
        fragments_at = at + 40 + 12 * count + distance
        found.append((track, first / scale + sum(durations) / scale, fragments_at, sizes))
    video, sound = found
    assert (video[0], sound[0]) == (index.video.number, index.sound.number)
    assert video[1] == pytest.approx(index.seconds)
    assert sound[1] == pytest.approx(index.seconds, abs=1 / index.sound.time_scale)
    assert video[2:] == sound[2:] == (len(boxes), video[3])


def test_a_clip_that_claims_to_begin_after_the_end_of_time_is_indexed_all_the_same() -> None:
    index = index_of(Content(with_sound()))
    late = tuple(replace(fragment, time=1 << 63) for fragment in index.fragments)
    sound = Track(number=2, time_scale=0xFFFF_FFFF, default=Sample())
    assert len(replace(index, fragments=late, sound=sound).sidx()) == len(index.sidx())


def test_no_changed_byte_of_the_description_or_the_index_ends_in_a_traceback() -> None:
    mp4 = muxed(pictures(1))
    mfra = places(mp4, b"mfra")[0]
    moof, mdat = places(mp4, b"moof")[0], places(mp4, b"mdat")[0]
    for at in [*range(mdat), *range(mfra, len(mp4))]:
        changed = bytearray(mp4)
        changed[at] ^= 0xFF
        with suppress(NotPlayableError):
            index_of(Content(bytes(changed))).sidx()
    assert moof < mdat < mfra


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"no film at all, but some text", b"\x00\x00\x00\x00ftyp" * 9])
def test_what_is_no_mp4_is_told_in_a_sentence(content: bytes) -> None:
    with pytest.raises(NotPlayableError):
        index_of(Content(content))


def test_more_fragments_than_one_box_can_list_go_into_several(monkeypatch: pytest.MonkeyPatch) -> None:
    # 65 536 fragments take over four hours of film; the limit is lowered instead.
    monkeypatch.setattr(mp4_index, "MAX_REFERENCES", 7)
    mp4 = with_sound()
    index = index_of(Content(mp4))
    assert index.sidx().count(b"sidx") == 2 * -(-len(index.fragments) // 7) > 6
    played = virtual(mp4)
    assert decoded(played) == decoded(mp4)
    times = sought(played, 6.5)
    assert times[0] <= 6.5
    assert times == pytest.approx(decoded(mp4)[-len(times) :])


def test_a_fragment_that_claims_millions_of_pictures_in_no_bytes_is_not_counted_through() -> None:
    mp4 = bytearray(silent())
    at = -1
    while (at := mp4.find(b"trun", at + 1)) >= 0:
        struct.pack_into(">II", mp4, at + 4, 1, 3_000_000)
    with pytest.raises(NotPlayableError, match="a fragment is damaged"):
        index_of(Content(bytes(mp4)))


def test_a_clip_of_empty_boxes_is_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4_index, "MAX_BOXES", 1000)
    header = silent()[: places(silent(), b"moof")[0]]
    content = Content(header + struct.pack(">I4s", 8, b"free") * 100_000)
    with pytest.raises(NotPlayableError, match="more boxes than a clip"):
        index_of(content)
    assert content.bytes_read < len(header) + 20_000
