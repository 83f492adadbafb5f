"""USB ports in a test's hand, for what watches them: what is there, and what happens next."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, Queue

from dock_station.bays.presence import watching
from dock_station.bays.usb import Plugged, Unplugged, UsbFailsError
from dock_station.dock import Dock

DEVICES = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1"


def unit(port: str, serial: str, began: float = 0.0) -> Plugged:
    return Plugged(f"{DEVICES}/{port}", port, serial, began)


def gone(port: str) -> Unplugged:
    return Unplugged(f"{DEVICES}/{port}")


@dataclass
class Ports:
    """Some USB ports; `listened` and `looked` count how often."""

    there: list[Plugged] = field(default_factory=list)
    news: Queue[Plugged | Unplugged | UsbFailsError] = field(default_factory=Queue)
    listened: int = 0
    looked: int = 0

    @contextmanager
    def listen(self) -> Iterator["Ports"]:
        self.listened += 1
        yield self

    def present(self) -> list[Plugged]:
        self.looked += 1
        return list(self.there)

    def wait(self, seconds: float) -> Plugged | Unplugged | None:
        try:
            news = self.news.get(timeout=0.01)
        except Empty:
            return None
        if isinstance(news, UsbFailsError):
            raise news
        return news

    @contextmanager
    def watched_by(self, dock: Dock) -> Iterator[None]:
        """Let a dock watch these ports."""
        with watching(dock, self.listen, lambda: None, lambda: lambda: None):
            yield
