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
_FIRST_SECONDS, _EVERY_SECONDS, _BEEP_SECONDS = 3.0, 2.0, 0.3


def main() -> None:
    """Argument: how many beeps."""
    count = int(sys.argv[1])
    begin = time.monotonic() + _FIRST_SECONDS
    planned = [begin + number * _EVERY_SECONDS for number in range(count)]
    flashes = "".join(f"{moment:.6f} {moment + _BEEP_SECONDS:.6f}\n" for moment in planned)
    (FOLDER / "flash").write_text(flashes, encoding="ascii")
    card = _opened()
    silence = np.zeros(_PERIOD, np.int16).tobytes()
    while planned:
        card.write(silence)
        moment = _next_moment(card)
        if moment >= planned[0]:
            planned.pop(0)
            for piece in _beep():
                card.write(piece)
            print(json.dumps({"beep": moment}), flush=True)
    for _ in range(_RATE // _PERIOD):
        card.write(silence)
    card.close()


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
