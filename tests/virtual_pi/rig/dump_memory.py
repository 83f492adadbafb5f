"""Writes what a stopped process has in its memory to the scratch disk, as one run of bytes, and prints the moment."""

import os
import re
import signal
import sys
import time
from pathlib import Path

_PIECE = 64 << 10
_UNTOUCHED = bytes(_PIECE)
_GAP = bytes(64)  # so that nothing is found across two places that are not neighbours


def dump(pid: int, disk: Path) -> None:
    """Write what `pid` has in pages that can be written to; the disk's first eight bytes say how many bytes it is.

    What was never touched is left out: the service manager ends a process that is stopped for too long.
    """
    places = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory, disk.open("r+b") as out:
        out.seek(512)
        for first, last in ((int(a, 16), int(b, 16)) for a, b in places):
            for start in range(first, last, _PIECE):
                try:
                    memory.seek(start)
                    piece = memory.read(min(_PIECE, last - start))
                except OSError:
                    continue  # a device's memory, which is nobody's to read
                out.write(_GAP if piece == _UNTOUCHED else piece)
            out.write(_GAP)
        size = out.tell() - 512
        out.seek(0)
        out.write(size.to_bytes(8, "little"))
        out.flush()
        os.fsync(out.fileno())


def main() -> None:
    """Stop the process, so that nothing changes meanwhile; print the monotonic moment; dump; let it go on."""
    pid = int(sys.argv[1])
    os.kill(pid, signal.SIGSTOP)
    try:
        print(time.monotonic())
        dump(pid, Path(sys.argv[2]))
    finally:
        os.kill(pid, signal.SIGCONT)


main()
