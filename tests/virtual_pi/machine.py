"""One emulated machine: started, asked, looked at, touched by the test from outside, and cut off from its power."""

import base64
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from provisioning.image.bootstrap import Arch
from tests.virtual_pi.root import EMULATORS, Root
from tests.virtual_pi.talking import Line, NoAnswerError, RefusedError, until

BOOT_SECONDS = 240.0

# With -cpu max the software renderer crashes under emulation.
_PROCESSORS: dict[Arch, Sequence[str]] = {
    "amd64": ("-cpu", "Nehalem,-pcid"),
    "arm64": ("-M", "virt", "-cpu", "cortex-a72"),
}
# The kernel patches its own code while it starts, by way of an int3. At times QEMU's second processor goes on with what
# it had translated before, and meets it: once in some thirty starts here.
_PATCHED = "Oops: int3"
_PANICS = 3
# With this the kernel does not use cmpxchg16b: right behind one QEMU 7.2 once had for flags what was in RAX, and the
# machine ended by a double fault in kmem_cache_alloc. Programs may use it: with a processor that has none the unit's
# service did not start.
_LEFT_OUT: dict[Arch, str] = {"amd64": "clearcpuid=cx16", "arm64": ""}
# A test run that is killed leaves no machine behind that would take a processor from the next one.
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_CONSOLES: dict[Arch, str] = {"amd64": "ttyS0", "arm64": "ttyAMA0"}


@dataclass(frozen=True)
class Drive:
    """A disk image: read-only, or written through to the file at once, as a medium without a write cache is."""

    file: Path
    is_written: bool


@dataclass(frozen=True)
class Ran:
    """What a command inside the machine came to."""

    code: int
    out: str
    err: str


class CommandFailedError(AssertionError):
    """A command inside the machine did not succeed."""


class PatchedError(NoAnswerError):
    """The emulated kernel met its own patching."""


class Machine:
    """A machine that is switched on by `start` and always off after `stop` or `cut_power`."""

    def __init__(
        self,
        arch: Arch,
        boot: Sequence[str],
        drives: Sequence[Drive],
        folder: Path,
        *,
        processors: int = 2,
        mebibytes: int = 1536,
        screen: tuple[int, int] = (800, 480),
        extra: Sequence[str] = (),
    ) -> None:
        """`boot` is how QEMU finds what to start, `extra` are further arguments for it.

        `folder` takes the machine's sockets, console and screenshots.
        """
        self._arch = arch
        self._boot = boot
        self._drives = drives
        self._folder = folder
        self._processors = processors
        self._mebibytes = mebibytes
        self._screen = screen
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: Line | None = None
        self._monitor: Line | None = None

    @property
    def console(self) -> str:
        """What the machine has written to its serial console since it was started."""
        return self._console_file.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Switch on, and return when commands can be run inside; raises NoAnswerError with the console's end."""
        for _ in range(_PANICS):
            with suppress(PatchedError):
                self._switch_on()
                self._wait_for_agent()
                return
        raise NoAnswerError(f"The kernel did not start in {_PANICS} tries. Its console ends: {self.console[-2000:]}")

    def save(self, state: Path) -> None:
        """Write what the machine is just doing, RAM and devices, to `state`, and switch it off; its disks stay."""
        self.qemu("stop")
        self.qemu("migrate", uri=f"exec:cat > {state}")
        until(self._is_saved, seconds=300, what="the machine's state to be saved")
        self.cut_power()

    def resume(self, state: Path) -> None:
        """Go on from `state`, of a machine like this one, with disks that must be as they were to it."""
        self._switch_on("-incoming", f"exec:cat {state}")
        until(self._is_loaded, seconds=300, what="the machine's state to be loaded", pause=0.02)
        self.qemu("cont")
        self._wait_for_agent()

    def _switch_on(self, *more: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in ("agent.sock", "monitor.sock"):
            (self._folder / name).unlink(missing_ok=True)
        with self._console_file.open("wb") as console:
            self._process = subprocess.Popen(
                [*_ENDS_WITH_US, *self._arguments(), *more],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        self._monitor = Line(self._folder / "monitor.sock")
        self._monitor.ask("qmp_capabilities")
        self._agent = Line(self._folder / "agent.sock")

    def _wait_for_agent(self) -> None:
        try:
            until(self._answers, seconds=BOOT_SECONDS, what="the machine to start", pause=0.05)
        except NoAnswerError as error:
            self.cut_power()
            if _PATCHED in self.console:
                raise PatchedError from error
            raise NoAnswerError(f"{error} Its console ends: {self.console[-2000:]}") from error

    def _is_saved(self) -> bool:
        status = self.qemu("query-migrate")
        if status.get("status") == "failed":
            raise NoAnswerError(f"The machine's state was not saved: {status}.")
        return bool(status.get("status") == "completed")

    def _is_loaded(self) -> bool:
        return bool(self.qemu("query-status")["status"] in ("paused", "running"))

    def run(self, command: str, *, seconds: float = 60.0) -> str:
        """Run a shell command inside as root, and return its output; raises CommandFailedError."""
        ran = self.try_run(command, seconds=seconds)
        if ran.code:
            raise CommandFailedError(f"'{command}' ended with {ran.code}: {ran.out[-3000:]}{ran.err[-3000:]}")
        return ran.out

    def try_run(self, command: str, *, seconds: float = 60.0) -> Ran:
        """Run a shell command inside as root, and return what it came to; raises NoAnswerError."""
        asked: dict[str, Any] = {"path": "/bin/bash", "arg": ["-c", command], "capture-output": True}
        started = self._ask_agent("guest-exec", **asked)
        status = until(lambda: self._ended(started["pid"]), seconds=seconds, what=f"'{command[:200]}'", pause=0.03)
        return Ran(status.get("exitcode", -1), _text(status, "out-data"), _text(status, "err-data"))

    def read(self, path: str) -> bytes:
        """Return a file's content from inside; for less than some ten megabytes."""
        handle = self._ask_agent("guest-file-open", path=path, mode="rb")
        content = b""
        while True:
            piece = self._ask_agent("guest-file-read", handle=handle, count=4 << 20)
            content += base64.b64decode(piece["buf-b64"])
            if piece["eof"]:
                self._ask_agent("guest-file-close", handle=handle)
                return content

    def write(self, path: str, content: bytes) -> None:
        """Write a file inside."""
        handle = self._ask_agent("guest-file-open", path=path, mode="wb")
        for start in range(0, len(content), 1 << 20):
            piece: dict[str, Any] = {"buf-b64": base64.b64encode(content[start : start + (1 << 20)]).decode()}
            self._ask_agent("guest-file-write", handle=handle, **piece)
        self._ask_agent("guest-file-close", handle=handle)

    def picture(self) -> npt.NDArray[np.uint8]:
        """Return what the screen shows, as rows of RGB."""
        file = self._folder / "screen.ppm"
        self.qemu("screendump", filename=str(file))
        return read_ppm(file.read_bytes())

    def qemu(self, command: str, **arguments: Any) -> Any:
        """Ask QEMU itself; raises RefusedError."""
        assert self._monitor is not None
        return self._monitor.ask(command, **arguments)

    def cut_power(self) -> None:
        """End QEMU at once, in the middle of whatever the machine does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._hang_up()

    @property
    def is_off(self) -> bool:
        """Whether the machine has switched itself off, or was never on."""
        return self._process is None or self._process.poll() is not None

    def wait_until_off(self, *, seconds: float) -> None:
        """Wait until the machine has switched itself off, or restarts, which is the same here; raises NoAnswerError."""
        until(lambda: self.is_off, seconds=seconds, what="the machine to switch itself off", pause=0.2)
        self._hang_up()

    def stop(self) -> None:
        """Have the machine shut down by itself; it is cut off where it does not within a minute."""
        if self._process is None:
            return
        with suppress(NoAnswerError, RefusedError, OSError):  # it answers nothing when it has understood
            self._ask_agent("guest-shutdown", seconds=1)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=60)
        self.cut_power()

    def _hang_up(self) -> None:
        for line in (self._agent, self._monitor):
            if line is not None:
                line.close()
        self._agent = self._monitor = self._process = None

    @property
    def _console_file(self) -> Path:
        return self._folder / "console.log"

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise NoAnswerError(f"QEMU ended with {self._process.returncode}.")
        try:
            self._ask_agent("guest-ping", seconds=0.5)
        except NoAnswerError:
            return False
        return True

    def _ended(self, pid: int) -> dict[str, Any] | None:
        status: dict[str, Any] = self._ask_agent("guest-exec-status", pid=pid)
        return status if status["exited"] else None

    def _ask_agent(self, command: str, *, seconds: float = 30.0, **arguments: Any) -> Any:
        assert self._agent is not None
        return self._agent.ask(command, seconds=seconds, **arguments)

    def _arguments(self) -> Sequence[str]:
        width, height = self._screen
        words = [
            *(EMULATORS[self._arch], *_PROCESSORS[self._arch]),
            *("-accel", "tcg,thread=multi,tb-size=512", "-smp", str(self._processors), "-m", str(self._mebibytes)),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-serial", "stdio", *self._boot),
            *("-chardev", f"socket,id=monitor,path={self._folder / 'monitor.sock'},server=on,wait=off"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-device", "virtio-serial-pci", "-device", "virtio-rng-pci"),
            *("-chardev", f"socket,id=agent,path={self._folder / 'agent.sock'},server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *("-device", f"virtio-gpu-pci,xres={width},yres={height}"),
        ]
        for drive in self._drives:
            how = "cache=writethrough" if drive.is_written else "readonly=on"
            words += ["-drive", f"file={drive.file},format=raw,if=virtio,{how}"]
        return [*words, *self._extra]


def kernel_of(root: Root, initrd: Path) -> Sequence[str]:
    """Return how QEMU starts the kernel of `root` by itself, with this initial RAM disk."""
    quiet = "quiet loglevel=4 panic=-1 mitigations=off random.trust_cpu=on"
    words = f"console={_CONSOLES[root.arch]} {quiet} {_LEFT_OUT[root.arch]}"
    return ("-kernel", str(root.kernel), "-initrd", str(initrd), "-append", words)


def read_ppm(content: bytes) -> npt.NDArray[np.uint8]:
    """Return a binary PPM's pixels, shape (height, width, 3)."""
    width, height = content.split(maxsplit=3)[1:3]
    # What follows the last number is one byte of white space, and pixels may look like white space too.
    size = int(width) * int(height) * 3
    return np.frombuffer(content[-size:], np.uint8).reshape(int(height), int(width), 3)


def _text(status: dict[str, Any], field: str) -> str:
    return base64.b64decode(status.get(field, "")).decode(errors="replace")
