"""The one machine that a worker has running at a time, which goes on from module to module as long as it fits.

What one test leaves behind, the next one finds. A start takes a minute and more, and a machine in standby keeps a
processor busy with its camera: so each is started once, and switched off before another one is.
"""

from collections.abc import Callable
from functools import partial

from tests.virtual_pi.pi import DOCK_SERVICES, UNIT_SERVICES, Rig, VirtualPi
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import PANEL, Town


class Machines:
    """Whoever asks for a machine gets the running one, if it is of that kind; any other is switched off first."""

    def __init__(self, rig: Rig, town: Town) -> None:
        self._rig = rig
        self._town = town
        self._kind = ""
        self._started = 0
        self._running: VirtualPi | None = None

    def with_panel(self) -> VirtualPi:
        """Return a machine with the panel that a unit has, as it is when it was switched on."""
        return self._of_kind("panel", lambda name: self._rig.pi(name, self._town, screen=PANEL))

    def in_standby(self) -> VirtualPi:
        """Return a machine with a small panel and a disk for dumps, off the dock and in standby; its dock is ready."""
        pi = self._of_kind("standby", lambda name: self._rig.pi(name, self._town, scratch_mebibytes=1024))
        for service in (*UNIT_SERVICES, *DOCK_SERVICES):
            until(partial(pi.is_active, service), seconds=600, what=service, pause=1.0)
        pi.unplug()
        pi.wait_for_state("standby")
        return pi

    def switch_off(self) -> None:
        """Have no machine running: for those who start their own."""
        running, self._running, self._kind = self._running, None, ""
        if running is not None:
            running.machine.stop()

    def _of_kind(self, kind: str, make: Callable[[str], VirtualPi]) -> VirtualPi:
        if self._running is None or self._kind != kind:
            self.switch_off()
            self._started += 1
            running = make(f"{kind}-{self._started}")
            running.machine.start()
            self._running, self._kind = running, kind
        return self._running
