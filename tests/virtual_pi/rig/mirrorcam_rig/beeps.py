"""Plays beeps into the loopback's sound card and shows the flash with each; says when each was really heard."""

import json
import sys
import time

import alsaaudio
import numpy as np

from .switches import FOLDER

_DEVICE = "hw:Loopback,0"
_RATE = 48_000
_PERIOD = 480
_PERIODS = 40  # four tenths of a second: an emulated processor is late at times
_SURE_SECONDS = 0.008  # the loopback counts in its kernel's ticks of 4 ms
_SILENCE = np.zeros(_PERIOD, np.int16).tobytes()
_FIRST_SECONDS, _EVERY_SECONDS, _BEEP_SECONDS = 3.0, 2.0, 0.3
_TRIES = 4  # for one beep of which it is sure when it was heard


def main() -> None:
    """Argument: how many beeps of which it is sure when they were heard."""
    wanted = int(sys.argv[1])
    begin = time.monotonic() + _FIRST_SECONDS
    planned = [begin + number * _EVERY_SECONDS for number in range(_TRIES * wanted)]
    flashes = "".join(f"{moment:.6f} {moment + _BEEP_SECONDS:.6f}\n" for moment in planned)
    (FOLDER / "flash").write_text(flashes, encoding="ascii")
    card = _opened()
    while planned and wanted:
        try:
            wanted -= _play_next(card, planned)
        except alsaaudio.ALSAAudioError:  # it ran dry; a beep that this cuts off is not told of
            card.close()
            card = _opened()
    card.close()


def _play_next(card: alsaaudio.PCM, planned: list[float]) -> bool:
    """Play silence until the next beep's moment, the beep, and half a second more that carries it out of the buffer.

    Return whether a beep was played, and when is sure.
    """
    card.write(_SILENCE)
    moment = _next_moment(card)
    if moment < planned[0]:
        return False
    planned.pop(0)
    pieces = [*_beep(), *[_SILENCE] * (_PERIODS + 10)]
    for piece in pieces:
        card.write(piece)
    # Where the emulated processor stood still before the beep was in the buffer nobody knows when it was heard.
    is_sure = abs(_next_moment(card) - len(pieces) * _PERIOD / _RATE - moment) < _SURE_SECONDS
    if is_sure:
        print(json.dumps({"beep": moment}), flush=True)
    return is_sure


def _opened() -> alsaaudio.PCM:
    card = alsaaudio.PCM(
        type=alsaaudio.PCM_PLAYBACK,
        device=_DEVICE,
        channels=1,
        rate=_RATE,
        format=alsaaudio.PCM_FORMAT_S16_LE,
        periodsize=_PERIOD,
        periods=_PERIODS,
    )
    card.set_tstamp_mode(alsaaudio.PCM_TSTAMP_ENABLE)
    card.set_tstamp_type(alsaaudio.PCM_TSTAMP_TYPE_MONOTONIC)
    return card


def _next_moment(card: alsaaudio.PCM) -> float:
    """Return when the next sample that is written will be heard, on the monotonic clock."""
    seconds, nanoseconds, free = card.htimestamp()
    queued = card.info()["buffer_size"] - free
    return float(seconds + nanoseconds / 1e9 + queued / _RATE)


def _beep() -> list[bytes]:
    times = np.arange(round(_BEEP_SECONDS * _RATE)) / _RATE
    wave = (20_000 * np.sin(2 * np.pi * 1000 * times)).astype(np.int16)
    return [piece.tobytes() for piece in wave.reshape(-1, _PERIOD)]


if __name__ == "__main__":
    main()
