"""The recorder's contract, sentence by sentence, on a real spool: all that was seen around a touch is in the clip."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.camera import AudioTrack, Packet
from appliance.recorder import AlreadyRecordingError, Recorder, RecorderStatus
from appliance.spool import Spool, SpooledClip
from evidence.age.errors import RecipientTextError
from evidence.manifest import EndedBy, Manifest
from tests.recording import FRAME_US, PATIENCE, Hand, Unit, close_left, decoded, in_order, pictures, sound

SECOND = 1_000_000
IDLE = RecorderStatus(
    writing=False, clip_id=None, started=None, ciphertext_bytes=0, frames_written=0, frames_lost=0, failure=None
)
ENDINGS: list[EndedBy] = ["wearer", "docked", "shutdown", "camera-failed"]


class Stage:
    """A recorder, its spool, and a clock that the packets move."""

    def __init__(self, folder: Path) -> None:
        self.hand = Hand()
        self.unit = Unit(folder)
        self.spool: Spool = self.unit.spool()
        self.start_us = round(self.hand.seconds * SECOND)
        self._recorders: list[Recorder] = []

    def recorder(self, *, pre_record_seconds: int = 30, audio: AudioTrack | None = None, **settings: Any) -> Recorder:
        recorder = self.unit.recorder(
            self.spool, hand=self.hand, audio=audio, pre_record_seconds=pre_record_seconds, **settings
        )
        self._recorders.append(recorder)
        return recorder

    def push(self, recorder: Recorder, packets: list[Packet]) -> None:
        for packet in packets:
            self.hand.seconds = packet.time_us / SECOND
            recorder.push(packet)

    def clips(self, recorder: Recorder) -> list[SpooledClip]:
        assert recorder.wait_closed(PATIENCE)
        return list(self.spool.waiting())

    def clip(self, recorder: Recorder) -> tuple[Manifest, bytes]:
        (clip,) = self.clips(recorder)
        return clip.manifest, self.unit.open(clip)

    def pictures(self, seconds: float) -> list[Packet]:
        return pictures(seconds, start_us=self.start_us)

    def shut_down(self) -> None:
        assert all(recorder.shut_down(PATIENCE) for recorder in self._recorders)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    on_stage = Stage(tmp_path)
    yield on_stage
    on_stage.shut_down()


def files(stage: Stage) -> list[str]:
    return [path.name for path in (stage.unit.folder / "data").iterdir()]


# In standby


def test_in_standby_nothing_is_written_however_long(stage: Stage) -> None:
    recorder = stage.recorder(pre_record_seconds=2)
    packets = stage.pictures(20)
    stage.push(recorder, packets)
    assert files(stage) == []
    assert recorder.status() == IDLE
    assert not any(any(packet.data) for packet in packets[:500]), "what is older than the pre-record time is in memory"


def test_while_the_camera_stands_still_what_has_become_too_old_is_overwritten(stage: Stage) -> None:
    recorder = stage.recorder(pre_record_seconds=2)
    packets = stage.pictures(1)
    stage.push(recorder, packets)
    stage.hand.seconds += 10
    turn = threading.Event()
    for _ in range(PATIENCE * 100):
        if not any(any(packet.data) for packet in packets):
            return
        turn.wait(0.01)
    pytest.fail("the ring holds what is too old")


# From a touch on


@pytest.mark.parametrize("pre_record_seconds", [0, 1, 3, 30])
def test_a_clip_has_the_pre_record_time_in_it_and_every_picture_after_it(stage: Stage, pre_record_seconds: int) -> None:
    recorder = stage.recorder(pre_record_seconds=pre_record_seconds)
    packets = stage.pictures(10)
    stage.push(recorder, packets[:165])
    touched = stage.hand.seconds
    clip_id = recorder.begin(wearer="w-7")
    stage.push(recorder, packets[165:])
    recorder.end("wearer")
    manifest, mp4 = stage.clip(recorder)
    times = decoded(mp4)
    first = len(packets) - len(times)
    assert packets[first].is_key
    assert times == pytest.approx([(p.time_us - packets[first].time_us) / SECOND for p in packets[first:]], abs=0.001)
    before = touched - packets[first].time_us / SECOND
    assert manifest.pre_record_seconds == pytest.approx(max(0, before))
    assert pre_record_seconds - 1.1 < before <= pre_record_seconds or pre_record_seconds == 30
    assert (manifest.clip_id, manifest.wearer, manifest.ended_by) == (clip_id, "w-7", "wearer")
    assert (manifest.frames_written, manifest.frames_lost) == (len(times), 0)
    late = max(0, -before)
    assert manifest.started_monotonic_seconds == pytest.approx(touched + late)


@pytest.mark.parametrize(("pre_record_seconds", "begins_at"), [(0, 60), (1, 30)])
def test_a_picture_in_flight_at_the_touch_is_in_the_clip_only_where_the_policy_allows_it(
    stage: Stage, pre_record_seconds: int, begins_at: int
) -> None:
    recorder = stage.recorder(pre_record_seconds=pre_record_seconds)
    packets = stage.pictures(4)
    stage.hand.seconds = packets[30].time_us / SECOND + 0.000_042
    recorder.begin(wearer="w")
    stage.push(recorder, packets[30:])  # the key frame at 30 was captured 42 µs before the touch
    recorder.end("wearer")
    manifest, mp4 = stage.clip(recorder)
    assert len(decoded(mp4)) == len(packets) - begins_at
    assert manifest.pre_record_seconds == (0 if pre_record_seconds == 0 else 0.000_042)
    assert manifest.frames_lost == 0
    assert not any(any(packet.data) for packet in packets[30:])


def test_a_key_frame_captured_at_the_very_touch_begins_a_clip_without_pre_record(stage: Stage) -> None:
    recorder = stage.recorder(pre_record_seconds=0)
    packets = stage.pictures(2)
    stage.hand.seconds = packets[30].time_us / SECOND
    recorder.begin(wearer="w")
    stage.push(recorder, packets[30:])
    recorder.end("wearer")
    manifest, mp4 = stage.clip(recorder)
    assert (len(decoded(mp4)), manifest.pre_record_seconds) == (30, 0)


def test_pictures_that_come_late_make_no_clip_longer_than_the_policys_pre_record(stage: Stage) -> None:
    recorder = stage.recorder(pre_record_seconds=2)
    packets = stage.pictures(4)
    stage.push(recorder, packets[:60])
    stage.hand.seconds += 0.5  # the pictures of this half second are on their way
    recorder.begin(wearer="w")
    for packet in packets[60:]:
        recorder.push(packet)
    recorder.end("wearer")
    manifest, mp4 = stage.clip(recorder)
    assert 1 < manifest.pre_record_seconds <= 2
    assert len(decoded(mp4)) == 90


def test_every_packet_that_was_handed_over_is_overwritten_when_it_is_written(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(4)
    stage.push(recorder, packets[:60])
    recorder.begin(wearer="w")
    stage.push(recorder, packets[60:])
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    assert not any(any(packet.data) for packet in packets)


def test_a_clip_that_never_gets_a_key_frame_makes_no_file(stage: Stage) -> None:
    recorder = stage.recorder()
    recorder.begin(wearer="w")
    packets = stage.pictures(1)[1:]
    stage.push(recorder, packets)
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    assert not any(any(packet.data) for packet in packets)
    assert files(stage) == []
    assert recorder.status().failure is not None


@pytest.mark.parametrize("ended_by", ENDINGS)
def test_a_clip_says_how_it_was_ended_and_when(stage: Stage, ended_by: EndedBy) -> None:
    recorder = stage.recorder()
    recorder.begin(wearer="w")
    stage.push(recorder, stage.pictures(2))
    recorder.end(ended_by)
    manifest, _ = stage.clip(recorder)
    assert manifest.ended_at is not None
    assert (manifest.complete, manifest.ended_by) == (True, ended_by)
    assert (manifest.ended_at - manifest.started_at).total_seconds() == pytest.approx(59 / 30, abs=0.002)


def test_an_end_without_a_clip_changes_nothing(stage: Stage) -> None:
    recorder = stage.recorder()
    for ended_by in (*ENDINGS, "longest-clip"):
        recorder.end(ended_by)
    assert recorder.status() == IDLE
    stage.push(recorder, stage.pictures(2))
    recorder.begin(wearer="w")
    recorder.end("wearer")
    assert stage.clip(recorder)[0].frames_written == 60


def test_a_second_touch_is_refused_while_a_clip_runs(stage: Stage) -> None:
    recorder = stage.recorder()
    clip_id = recorder.begin(wearer="w")
    with pytest.raises(AlreadyRecordingError, match="end it before"):
        recorder.begin(wearer="w")
    stage.push(recorder, stage.pictures(1))
    recorder.end("wearer")
    assert stage.clip(recorder)[0].clip_id == clip_id


def test_the_next_clip_may_begin_before_the_last_one_is_closed(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(12)
    for number in range(6):
        recorder.begin(wearer="w")
        stage.push(recorder, packets[number * 60 : number * 60 + 60])
        recorder.end("wearer")
    clips = stage.clips(recorder)
    assert [clip.sequence for clip in clips] == [1, 2, 3, 4, 5, 6]
    assert [len(decoded(stage.unit.open(clip))) for clip in clips] == [60] * 6


def test_what_comes_after_the_end_goes_into_the_ring_and_from_there_into_the_next_clip(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(6)
    recorder.begin(wearer="w")
    stage.push(recorder, packets[:45])
    recorder.end("wearer")
    stage.push(recorder, packets[45:120])
    recorder.begin(wearer="w")
    stage.push(recorder, packets[120:])
    recorder.end("wearer")
    first, second = stage.clips(recorder)
    assert first.manifest.frames_written == 45
    assert second.manifest.frames_written == 120  # from the key frame at 60
    assert second.manifest.pre_record_seconds == pytest.approx(59 / 30, abs=0.01)


# The longest clip


@pytest.mark.parametrize("begin_after", [0, 5, 20])
def test_no_frame_is_lost_between_a_longest_clip_and_the_next(stage: Stage, begin_after: int) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(6)
    recorder.begin(wearer="w")
    stage.push(recorder, packets[:70])
    recorder.end("longest-clip")
    stage.push(recorder, packets[70 : 70 + begin_after])
    following = recorder.begin(wearer="w")
    with pytest.raises(AlreadyRecordingError):
        recorder.begin(wearer="w")
    stage.push(recorder, packets[70 + begin_after :])
    recorder.end("wearer")
    first, second = stage.clips(recorder)
    assert (first.manifest.frames_written, first.manifest.ended_by) == (90, "longest-clip")
    assert (second.clip_id, second.manifest.frames_written) == (following, 90)
    assert [len(decoded(stage.unit.open(clip))) for clip in (first, second)] == [90, 90]


def test_a_longest_clip_that_nobody_follows_ends_at_its_key_frame(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(5)
    recorder.begin(wearer="w")
    stage.push(recorder, packets[:70])
    recorder.end("longest-clip")
    stage.push(recorder, packets[70:100])
    recorder.begin(wearer="w")  # only now: what has come since the key frame is in the ring
    stage.push(recorder, packets[100:])
    recorder.end("wearer")
    first, second = stage.clips(recorder)
    assert (first.manifest.frames_written, second.manifest.frames_written) == (90, 60)


def test_a_wearers_end_wins_over_a_longest_clip_that_waits_for_its_key_frame(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(4)
    recorder.begin(wearer="w")
    stage.push(recorder, packets[:70])
    recorder.end("longest-clip")
    recorder.begin(wearer="w")
    recorder.end("wearer")
    stage.push(recorder, packets[70:])
    manifest, _ = stage.clip(recorder)
    assert (manifest.frames_written, manifest.ended_by) == (70, "wearer")


# Sound


@pytest.mark.parametrize(
    ("records", "pre_records", "first", "last"),
    [(True, True, 0.0, 6.0), (True, False, 3.0, 6.0), (False, True, None, None), (False, False, None, None)],
)
def test_sound_is_kept_only_where_the_policy_says_so(
    stage: Stage, *, records: bool, pre_records: bool, first: float | None, last: float | None
) -> None:
    track, noise = sound(6, start_us=stage.start_us)
    recorder = stage.recorder(audio=track, record_audio=records, pre_record_audio=pre_records)
    packets = in_order(stage.pictures(6), noise)
    touch_us = stage.start_us + 3 * SECOND
    stage.push(recorder, [packet for packet in packets if packet.time_us < touch_us])
    recorder.begin(wearer="w")
    stage.push(recorder, [packet for packet in packets if packet.time_us >= touch_us])
    recorder.end("wearer")
    manifest, mp4 = stage.clip(recorder)
    assert manifest.has_audio is records
    assert len(decoded(mp4)) == 180
    assert not any(any(packet.data) for packet in noise)
    if first is None or last is None:
        with pytest.raises(IndexError):
            decoded(mp4, "audio")
        return
    times = decoded(mp4, "audio")
    assert times[0] == pytest.approx(first, abs=0.05)
    assert times[-1] == pytest.approx(last, abs=0.1)


def test_sound_in_flight_at_the_touch_is_not_in_a_clip_whose_policy_keeps_none_from_before(stage: Stage) -> None:
    track, noise = sound(2, start_us=stage.start_us)
    recorder = stage.recorder(audio=track, record_audio=True)
    stage.push(recorder, stage.pictures(1))
    recorder.begin(wearer="w")
    for packet in noise:  # all of its first second was captured before the touch
        recorder.push(packet)
    recorder.end("wearer")
    _, mp4 = stage.clip(recorder)
    assert decoded(mp4, "audio")[0] == pytest.approx(1, abs=0.05)


def test_the_manifest_says_what_of_a_clip_is_silence_in_place_of_sound(stage: Stage) -> None:
    track, noise = sound(4, start_us=stage.start_us)
    heard = [
        packet._replace(is_silence=1 <= (packet.time_us - stage.start_us) / SECOND < 2 or packet is noise[-1])
        for packet in noise
    ]
    recorder = stage.recorder(audio=track, record_audio=True, pre_record_audio=True)
    packets = in_order(stage.pictures(4), heard)
    stage.push(recorder, packets[: len(packets) // 2])
    recorder.begin(wearer="w")
    stage.push(recorder, packets[len(packets) // 2 :])
    recorder.end("wearer")
    manifest, _ = stage.clip(recorder)
    bounds = [bound for span in manifest.mute_spans for bound in (span.start_seconds, span.end_seconds)]
    last = (noise[-1].time_us - stage.start_us) / SECOND
    assert bounds == pytest.approx([1, 2, last, last], abs=0.05)


def test_a_clip_that_begins_in_silence_is_mute_from_its_first_picture_on(stage: Stage) -> None:
    track, noise = sound(3, start_us=stage.start_us)
    recorder = stage.recorder(audio=track, record_audio=True, pre_record_audio=True, pre_record_seconds=1)
    packets = in_order(stage.pictures(3), [packet._replace(is_silence=True) for packet in noise])
    stage.push(recorder, packets[: len(packets) // 2])
    recorder.begin(wearer="w")
    stage.push(recorder, packets[len(packets) // 2 :])
    recorder.end("wearer")
    manifest, mp4 = stage.clip(recorder)
    (span,) = manifest.mute_spans
    assert span.start_seconds == pytest.approx(0, abs=0.03)
    assert span.end_seconds == pytest.approx(decoded(mp4, "audio")[-1], abs=0.1)
    assert decoded(mp4, "audio")


def test_the_shipped_default_records_no_sound_from_before_the_touch(stage: Stage) -> None:
    track, noise = sound(2, start_us=stage.start_us)
    recorder = stage.recorder(audio=track)
    stage.push(recorder, in_order(stage.pictures(2), noise))
    assert not any(any(packet.data) for packet in noise)


# Standing


def wait_until(holds: Callable[[], bool]) -> None:
    turn = threading.Event()
    for _ in range(PATIENCE * 200):
        if holds():
            return
        turn.wait(0.005)
    pytest.fail("it has not come about")


def test_status_follows_a_clip_from_the_touch_to_its_last_byte(stage: Stage) -> None:
    recorder = stage.recorder()
    touched = stage.hand.seconds
    clip_id = recorder.begin(wearer="w")
    status = recorder.status()
    assert (status.writing, status.clip_id, status.started, status.ciphertext_bytes) == (False, clip_id, touched, 0)
    stage.push(recorder, stage.pictures(3))
    wait_until(lambda: recorder.status().frames_written >= 60)
    status = recorder.status()
    assert (status.writing, status.clip_id, status.started) == (True, clip_id, touched)
    assert status.ciphertext_bytes > 1000
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    assert recorder.status() == IDLE


def test_a_failure_is_shown_until_the_next_clip_begins(stage: Stage) -> None:
    recorder = stage.recorder()
    recorder.begin(wearer="w")
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    assert recorder.status().failure is not None
    recorder.begin(wearer="w")
    assert recorder.status().failure is None


def test_shutting_down_closes_the_clip_and_overwrites_what_comes_after(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(4)
    recorder.begin(wearer="w")
    stage.push(recorder, packets[:60])
    assert recorder.shut_down(PATIENCE)
    stage.push(recorder, packets[60:])
    manifest, _ = stage.clip(recorder)
    assert (manifest.frames_written, manifest.ended_by) == (60, "shutdown")
    assert not any(any(packet.data) for packet in packets)


def test_shutting_down_in_standby_overwrites_the_ring(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(2)
    stage.push(recorder, packets)
    assert recorder.shut_down(PATIENCE)
    assert not any(any(packet.data) for packet in packets)
    assert files(stage) == []


def test_a_policy_without_usable_recipients_is_refused_at_once(stage: Stage) -> None:
    with pytest.raises(RecipientTextError):
        stage.unit.recorder(stage.spool, recipients=("age1nobody",))


def test_the_chain_goes_on_after_a_crash_in_the_middle_of_a_clip(stage: Stage) -> None:
    recorder = stage.recorder()
    packets = stage.pictures(6)
    recorder.begin(wearer="w")
    stage.push(recorder, packets[:60])
    recorder.end("wearer")
    assert recorder.wait_closed(PATIENCE)
    recorder.begin(wearer="w")
    stage.push(recorder, packets[60:120])
    wait_until(lambda: recorder.status().frames_written > 30)
    after = Unit(stage.unit.folder.with_name("after"), stage.unit.identity, stage.unit.pki, stage.unit.signer)
    (after.folder / "data").mkdir(parents=True)
    for path in sorted((stage.unit.folder / "data").iterdir()):
        (after.folder / "data" / path.name).write_bytes(path.read_bytes())
    spool = after.spool()
    (recovered,) = spool.recover()
    close_left(spool)
    again = after.recorder(spool, hand=stage.hand)
    again.begin(wearer="w")
    for packet in packets[120:]:
        again.push(packet)
    again.end("wearer")
    assert again.shut_down(PATIENCE)
    clips = spool.waiting()
    assert [(clip.sequence, clip.manifest.complete) for clip in clips] == [(1, True), (2, False), (3, True)]
    assert clips[1].clip_id == recovered.clip_id
    assert clips[2].manifest.started_monotonic_seconds == pytest.approx(packets[120].time_us / SECOND, abs=0.1)
    assert len(decoded(after.open(clips[2]))) * FRAME_US == 60 * FRAME_US
