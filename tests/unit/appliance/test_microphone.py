"""The microphone on ALSA's own file device."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from av.audio.frame import AudioFrame

from appliance.camera import CameraError
from appliance.cameras.microphone import Microphone
from appliance.cameras.sound import SoundCodec, SoundEncoder
from appliance.cameras.source_thread import SourceThread
from tests.cameras import PACED_TONE, Listener, decoded_sound


class Ear:
    """Hears a microphone, and makes packets of what it hears as a unit does."""

    def __init__(self, codec: SoundCodec = "aac") -> None:
        self.listener = Listener()
        self._encoder = SoundEncoder(codec, channels=1)
        self.track = self._encoder.track

    def take(self, sound: AudioFrame, time_us: int) -> None:
        for packet in self._encoder.encode(sound, time_us=time_us):
            self.listener.on_packet(packet)

    @contextmanager
    def at(self, microphone: Microphone) -> Iterator[Listener]:
        thread = SourceThread("microphone")
        thread.start(lambda is_stopping: microphone.listen(self.take, is_stopping), self.listener.on_failure)
        try:
            yield self.listener
        finally:
            thread.stop()


def listen_to(microphone: Microphone) -> None:
    microphone.listen(lambda sound, time_us: None, threading.Event())


@pytest.fixture
def alsa_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of an ALSA device that plays a loud noise and that only this test has."""
    noise = np.random.default_rng(3).integers(-20_000, 20_000, 48_000 * 20, np.int16)
    (tmp_path / "noise.raw").write_bytes(noise.tobytes())
    configuration = tmp_path / "alsa.conf"
    configuration.write_text(
        "pcm.quiet { type null }\n"
        f'pcm.noise {{ type file slave.pcm "quiet" file "/dev/null" infile "{tmp_path}/noise.raw" format "raw" }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(configuration))
    return "noise"


def test_an_alsa_devices_sound_is_encoded(alsa_device: str) -> None:
    ear = Ear("opus")
    with ear.at(Microphone(alsa_device)) as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 30)
    assert np.abs(decoded_sound(ear.track, listener.sounds)).max() > 0.1


def test_a_device_is_opened_with_as_many_channels_as_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tone of 12 kHz to whoever reads one channel; of two, the left one is silent.
    samples = np.tile(np.array([0, 12_000, 0, -12_000], np.int16), 48_000 * 5)
    (tmp_path / "tone.raw").write_bytes(samples.tobytes())
    configuration = tmp_path / "alsa.conf"
    configuration.write_text(
        "pcm.quiet { type null }\n"
        f'pcm.tone {{ type file slave.pcm "quiet" file "/dev/null" infile "{tmp_path}/tone.raw" format "raw" }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(configuration))
    ear = Ear()
    with ear.at(Microphone("tone")) as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 30)
    assert np.abs(decoded_sound(ear.track, listener.sounds)).max() > 0.1


def test_sound_comes_without_a_hole_and_not_from_the_future() -> None:
    with Ear().at(Microphone(PACED_TONE, system="lavfi")) as listener:
        listener.wait_for(lambda: len(listener.sounds) >= 40)
    sounds = listener.sounds
    assert [packet.sequence for packet in sounds] == list(range(len(sounds)))
    assert all(abs(later.time_us - earlier.time_us - earlier.duration_us) <= 1 for earlier, later in pairwise(sounds))


def test_sound_that_waited_in_the_device_keeps_its_capture_moment() -> None:
    # Stamped as libavdevice stamps what it reads from ALSA: with the time of day, here of 0.3 s ago.
    stamped = "sine=sample_rate=48000:samples_per_frame=4800,arealtime,asetpts=(RTCTIME/1000000-0.3)/TB"
    ages: list[float] = []
    is_stopping = threading.Event()

    def take(_sound: AudioFrame, time_us: int) -> None:
        ages.append(time.monotonic() - time_us / 1_000_000)
        is_stopping.set()

    Microphone(stamped, system="lavfi").listen(take, is_stopping)
    assert ages[0] >= 0.29


def test_a_missing_device_is_refused_in_one_sentence(alsa_device: str) -> None:
    for device, system in (("nowhere", "alsa"), (alsa_device, "no-such-system")):
        sentence = (
            rf"The microphone {device} \({system}\) cannot be opened \(.+\): connect it, or turn record_audio off.*"
        )
        with pytest.raises(CameraError, match=f"^{sentence}$"):
            listen_to(Microphone(device, system=system))


def test_alsa_reads_no_configuration_from_a_folder_that_anyone_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("ALSA_CONFIG_DIR", "ALSA_CONFIG_PATH", "ALSA_PLUGIN_DIR")
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with pytest.raises(CameraError):
        listen_to(Microphone("nowhere"))
    assert all(os.environ[name].startswith("/usr/") for name in names)


def test_a_device_that_breaks_off_is_told_once() -> None:
    with Ear().at(Microphone(PACED_TONE.replace("sine=", "sine=duration=0.3:"), system="lavfi")) as listener:
        listener.wait_for(lambda: bool(listener.failures))
    assert len(listener.failures) == 1
    assert str(listener.failures[0]).endswith("connect it again.")
