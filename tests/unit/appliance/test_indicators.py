"""Tones that can be told apart, and silence without complaint where there is no sound."""

from pathlib import Path

import numpy as np
import pygame
import pytest

from appliance.board.battery import Battery
from appliance.front.indicators import Signal, Tones, find_indicators, synthesize, tell


def strongest_hertz(samples: bytes) -> float:
    wave = np.frombuffer(samples, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(wave))) * 44_100 / wave.size)


def test_a_tone_has_its_pitch_its_length_and_no_crack_at_its_ends() -> None:
    samples = synthesize([(1047, 0.25)])
    wave = np.frombuffer(samples, "<i2")
    assert wave.size == round(0.25 * 44_100)
    assert strongest_hertz(samples) == pytest.approx(1047, abs=4)
    assert abs(int(wave[0])) < 200
    assert abs(int(wave[-1])) < 200
    assert wave.max() > 15_000


def test_a_pause_is_silent() -> None:
    assert not any(synthesize([(0, 0.1)]))


def test_every_signal_is_played_where_there_is_a_sound_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    (tones,) = find_indicators()
    for signal in Signal:
        tones.give(signal)
        assert pygame.mixer.get_busy()
    tones.close()
    assert pygame.mixer.get_init() is None


def test_without_a_sound_device_the_unit_is_silent_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SDL_AUDIODRIVER", raising=False)
    indicators = find_indicators([tmp_path / "controlC0"])
    tell(indicators, Signal.STARTED)
    assert indicators == ()
    assert capfd.readouterr() == ("", "")


def test_a_place_that_may_not_be_asked_for_has_no_sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SDL_AUDIODRIVER", raising=False)
    assert find_indicators([tmp_path / ("x" * 300)]) == ()  # the system refuses to look, as it does where it is locked


def test_a_sound_device_that_does_not_open_leaves_the_unit_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "no-such-driver")
    assert find_indicators() == ()


def test_start_and_stop_are_different_melodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    pygame.mixer.quit()
    tones = Tones()
    raw = {sound.get_raw() for sound in tones._sounds.values()}
    assert len(raw) == len(Signal)
    tones.close()


def supply(folder: Path, name: str, kind: str, capacity: str) -> None:
    (folder / name).mkdir()
    (folder / name / "type").write_text(kind + "\n", encoding="ascii")
    (folder / name / "capacity").write_text(capacity, encoding="ascii")


def test_the_battery_tells_its_charge(tmp_path: Path) -> None:
    supply(tmp_path, "AC", "Mains", "0")
    supply(tmp_path, "BAT0", "Battery", "82\n")
    assert Battery(tmp_path).percent() == 82


@pytest.mark.parametrize("capacity", ["", "full"])
def test_a_battery_without_a_figure_is_not_known(tmp_path: Path, capacity: str) -> None:
    supply(tmp_path, "BAT0", "Battery", capacity)
    assert Battery(tmp_path).percent() is None


def test_a_board_without_a_battery_has_none(tmp_path: Path) -> None:
    assert Battery(tmp_path / "nothing").percent() is None
