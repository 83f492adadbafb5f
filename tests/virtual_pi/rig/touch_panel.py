"""A touch panel made by uinput (multitouch protocol B), touched by lines in a named pipe.

`tap 0.08` and `hold 2` press for so many seconds, `down` and `up` do half of it, `away` takes the panel off and `back`
plugs it in again. Each line is answered in /run/rig/touched by the monotonic moments at which it was done.
"""

import os
import socket
import time
from pathlib import Path

from evdev import AbsInfo, UInput
from evdev import ecodes as e

WIDTH, HEIGHT = 800, 480
COMMANDS = Path("/run/rig/touch")
ANSWERS = Path("/run/rig/touched")


def plug() -> UInput:
    """Make the panel."""
    sizes = {e.ABS_X: WIDTH, e.ABS_MT_POSITION_X: WIDTH, e.ABS_Y: HEIGHT, e.ABS_MT_POSITION_Y: HEIGHT}
    axes = [(axis, AbsInfo(0, 0, size - 1, 0, 0, 0)) for axis, size in sizes.items()]
    axes += [(e.ABS_MT_SLOT, AbsInfo(0, 0, 9, 0, 0, 0)), (e.ABS_MT_TRACKING_ID, AbsInfo(0, 0, 65535, 0, 0, 0))]
    capabilities = {e.EV_KEY: [e.BTN_TOUCH], e.EV_ABS: axes}
    return UInput(capabilities, name="Rig touch panel", input_props=[e.INPUT_PROP_DIRECT])


def press(panel: UInput, finger: int) -> float:
    """Put a finger onto the middle, and return when."""
    for code, value in (
        (e.ABS_MT_SLOT, 0),
        (e.ABS_MT_TRACKING_ID, finger),
        (e.ABS_MT_POSITION_X, WIDTH // 2),
        (e.ABS_MT_POSITION_Y, HEIGHT // 2),
        (e.ABS_X, WIDTH // 2),
        (e.ABS_Y, HEIGHT // 2),
    ):
        panel.write(e.EV_ABS, code, value)
    panel.write(e.EV_KEY, e.BTN_TOUCH, 1)
    panel.syn()
    return time.monotonic()


def lift(panel: UInput) -> float:
    """Take the finger off, and return when."""
    panel.write(e.EV_ABS, e.ABS_MT_TRACKING_ID, -1)
    panel.write(e.EV_KEY, e.BTN_TOUCH, 0)
    panel.syn()
    return time.monotonic()


def obey(panel: UInput, line: str, finger: int) -> tuple[UInput, str]:
    """Do what a line says; return the panel that is there afterwards, and the moments."""
    word, *rest = line.split()
    if word == "away":
        panel.close()
        return panel, f"{time.monotonic()}"
    if word == "back":
        return plug(), f"{time.monotonic()}"
    if word == "down":
        return panel, f"{press(panel, finger)}"
    if word == "up":
        return panel, f"{lift(panel)}"
    pressed = press(panel, finger)
    time.sleep(float(rest[0]))
    return panel, f"{pressed} {lift(panel)}"


def main() -> None:
    """Be the panel."""
    panel = plug()
    os.mkfifo(COMMANDS)
    ANSWERS.write_text("")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    finger = 0
    while True:
        with COMMANDS.open() as commands:
            for line in commands:
                finger += 1
                panel, moments = obey(panel, line, finger)
                with ANSWERS.open("a") as answers:
                    answers.write(f"{line.strip()}: {moments}\n")


main()
